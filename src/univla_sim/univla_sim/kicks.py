"""Random disturbances that a demonstration has to recover from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Most kicks in an episode.
MOST_KICKS = 2
_CHANCE = 0.08
_STEPS = (2, 4)
_TRIES = 8
# Times of steps are compared with this much slack [s].
_SLACK = 1e-6

#: Draws the motion of one step, given how many steps it will last; None if it would do harm.
Proposal = Callable[[np.random.Generator, int], 'np.ndarray | None']


class Kicks:
    """At most two spells of 2 to 4 steps in which something else than the expert moves the robot.

    Args:
        rng: Decides when and where to.
        step_s: Duration of a step [s].
    """

    def __init__(self, rng: np.random.Generator, step_s: float) -> None:
        self._rng, self._step = rng, step_s
        self._left = MOST_KICKS
        self._row: np.ndarray | None = None
        self._stop = self._decided = -np.inf

    def rows(self, time: float, propose: Proposal) -> list[np.ndarray]:
        """Motions of the steps that a kick still lasts at `time` [s], none without a kick.

        Args:
            time: Beginning of the first step [s].
            propose: Draws a kick that does no harm.
        """
        if time >= self._stop - _SLACK:
            self._row = None
            if self._left and time >= self._decided + self._step - _SLACK:
                self._decided = time
                self._begin(time, propose)
        if self._row is None:
            return []
        return [self._row] * max(1, round((self._stop - time) / self._step))

    def _begin(self, time: float, propose: Proposal) -> None:
        if self._rng.random() >= _CHANCE:
            return
        count = int(self._rng.integers(_STEPS[0], _STEPS[1] + 1))
        for _ in range(_TRIES):
            row = propose(self._rng, count)
            if row is not None:
                self._row, self._stop = row, time + count * self._step
                self._left -= 1
                return
