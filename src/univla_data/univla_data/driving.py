"""Who drove a recorded robot, and with which commands."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import DataError

from univla_data import topics
from univla_data.command_track import CommandTrack
from univla_data.episode import SentCommands

#: Sources that spoil a frame if they drove at least this share of it.
_SPOILERS, _SPOILING_SHARE = ('kick', 'detour'), 0.05


class Driving:
    """Hears commands, chunks and the controller's state.

    Args:
        embodiment: The robot.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._embodiment = embodiment
        self._times: list[float] = []
        self._values: list[np.ndarray] = []
        self._openings: list[float] = []
        self._chunk_sources: dict[int, str] = {}
        self._changes: list[tuple[float, str, int]] = []

    @property
    def commands(self) -> int:
        """How many commands were heard."""
        return len(self._times)

    def hear(self, relative: str, msg: Any) -> None:
        """Take in a message of a topic, by its name in the robot's namespace.

        Raises:
            DataError: If it belongs to another robot or is malformed.
        """
        if relative == topics.COMMAND.name:
            self._hear_command(msg)
        elif relative == topics.ACTION_CHUNK.name:
            self._check_robot(msg.robot)
            self._chunk_sources[msg.sequence] = msg.source
        elif relative == topics.CONTROL_STATE.name:
            self._check_robot(msg.robot)
            change = (_stamp(msg), msg.control_source, msg.chunk_sequence)
            if not self._changes or self._changes[-1][1:] != change[1:]:
                self._changes.append(change)

    def sent(self) -> SentCommands:
        """All commands."""
        return SentCommands(
            times=np.array(self._times),
            values=np.array(self._values),
            openings=np.array(self._openings),
        )

    def commands_at(
        self, stamps: np.ndarray, ends: np.ndarray, positions: np.ndarray, opening: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Commands (T, n) and openings (T,) of frames that last from `stamps` to `ends` [s].

        Before the first command the measured `positions` and `opening` are in force.
        """
        track = CommandTrack(self.sent(), stamps[0], positions[0], opening[0])
        asked = track.openings_until(ends)
        if self._embodiment.kind == 'base':
            return track.mean_between(stamps, ends), asked
        return track.at(stamps), asked

    def sources(self, stamps: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Who drove most of each frame; kicks and detours count however short. Shape (T,)."""
        frames = zip(stamps.tolist(), ends.tolist(), strict=True)
        return np.array([self._source(begin, end) for begin, end in frames])

    def _source(self, begin: float, end: float) -> str:
        times = [change[0] for change in self._changes]
        index = max(0, bisect_right(times, begin) - 1)
        shares: defaultdict[str, float] = defaultdict(float)
        while index < len(times) and (times[index] < end or not shares):
            start = max(begin, times[index])
            stop = min(end, times[index + 1]) if index + 1 < len(times) else end
            shares[self._name(*self._changes[index][1:])] += max(0.0, stop - start)
            index += 1
        for name in _SPOILERS:
            if shares[name] >= _SPOILING_SHARE * (end - begin):
                return name
        return max(shares, key=shares.__getitem__) if shares else 'hold'

    def _name(self, source: str, sequence: int) -> str:
        if source == 'policy':
            return self._chunk_sources.get(sequence, 'policy')
        return 'hold' if source in ('', 'none') else source

    def _hear_command(self, msg: Any) -> None:
        stamp, opening = _stamp(msg), np.nan
        if self._embodiment.kind == 'base':
            values = np.array([msg.twist.linear.x, msg.twist.angular.z])
        else:
            asked = dict(zip(msg.joint_names, msg.points[0].positions.tolist(), strict=True))
            opening = asked.get(topics.GRIPPER, np.nan)
            missing = [name for name in self._embodiment.axis_names if name not in asked]
            if missing:
                raise DataError(f'lacks {", ".join(missing)}; it holds {", ".join(asked)}')
            values = np.array([asked[name] for name in self._embodiment.axis_names])
        if not np.isfinite(values).all():
            raise DataError('holds a command that is not finite')
        if not self._times or stamp > self._times[-1]:
            self._times.append(stamp)
            self._values.append(values)
            self._openings.append(float(opening))

    def _check_robot(self, robot: str) -> None:
        if robot != self._embodiment.name:
            raise DataError(
                f'is of robot {robot!r} in an episode of {self._embodiment.name!r}; '
                'record every robot in a bag of its own'
            )


def _stamp(msg: Any) -> float:
    return msg.header.stamp.sec + 1e-9 * msg.header.stamp.nanosec
