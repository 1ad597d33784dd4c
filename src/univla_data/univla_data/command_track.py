"""The commands of an episode as functions of time."""

from __future__ import annotations

import numpy as np

from univla_data.episode import SentCommands


class CommandTrack:
    """Set-points between the commands sent, and past both ends.

    Args:
        sent: The commands.
        begin: Where the episode begins [s].
        value: What is in force until the first command (n,).
        opening: The same of the gripper, NaN without one.
    """

    def __init__(
        self, sent: SentCommands, begin: float, value: np.ndarray, opening: float
    ) -> None:
        late = len(sent.times) == 0 or begin < sent.times[0]
        self._times = np.append([begin] if late else [], sent.times)
        self._values = np.concatenate([value[None], sent.values]) if late else sent.values
        openings = np.append([opening] if late else [], sent.openings)
        # A command that says nothing about the gripper leaves it as it was asked for before.
        known = np.where(np.isfinite(openings), np.arange(len(openings)), 0)
        self._openings = openings[np.maximum.accumulate(known)]

    def at(self, times: np.ndarray) -> np.ndarray:
        """Set-points (…, n), linear between two commands; the last one stands for ever."""
        columns = [np.interp(times, self._times, column) for column in self._values.T]
        return np.stack(columns, axis=-1)

    def openings_until(self, ends: np.ndarray) -> np.ndarray:
        """Openings (…) of the last commands before some times [s]."""
        index = np.searchsorted(self._times, ends, side='left') - 1
        return self._openings[np.maximum(index, 0)]

    def mean_between(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Mean values (…, n) from some times to others [s]; each command holds until the next.

        The last command ends with its own period, afterwards the values are zero.
        """
        period = float(np.median(np.diff(self._times))) if len(self._times) > 1 else 0.0
        edges = np.append(self._times, self._times[-1] + period)
        steps = np.diff(edges)[:, None] * self._values
        areas = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0)])
        columns = [
            np.interp(ends, edges, column) - np.interp(begins, edges, column) for column in areas.T
        ]
        return np.stack(columns, axis=-1) / (ends - begins)[..., None]
