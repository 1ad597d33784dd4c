"""A grasp that goes wrong on purpose: a demonstration shows what to do with empty fingers."""

from __future__ import annotations

import numpy as np

#: Share of the demonstrations with one.
CHANCE = 0.6
#: How far beside where it should grasp the hand closes, and how far above [m]: over the cube, or
#: beside it. Anything nearer would hold it.
ABOVE = ((0.0, 0.025), (0.028, 0.06))
BESIDE = ((0.035, 0.05), (0.0, 0.02))
#: Share of the misses that are over the cube.
ABOVE_SHARE = 0.7
#: The hand goes astray once it is this near to the place, along the table [m].
NEAR_M = 0.06
# The fingers close here [m], or after so long [s].
_THERE_M, _LOST_S = 0.008, 2.4
_CLOSING_S, _LIFTING_S = 0.8, 1.0
# Times of steps are compared with this much slack [s].
_SLACK = 1e-6


class Miss:
    """Aims beside the object, closes the fingers there and goes up with nothing in them.

    Args:
        rng: Decides whether, where and how far up.

    Attributes:
        off: Where it grasps instead, from where it should [m], shape (3,).
        phase: `waiting`, `aiming`, `closing`, `lifting` or `over`.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        asides, heights = ABOVE if rng.random() < ABOVE_SHARE else BESIDE
        angle, aside = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(*asides)
        self.off = np.array([aside * np.cos(angle), aside * np.sin(angle), rng.uniform(*heights)])
        self._lifting_s = rng.uniform(0.0, _LIFTING_S)
        self.phase = 'waiting' if rng.random() < CHANCE else 'over'
        self._until = np.inf

    @property
    def going(self) -> bool:
        """Whether the robot goes astray now."""
        return self.phase in ('aiming', 'closing', 'lifting')

    def look(self, time: float, hand: np.ndarray, goal: np.ndarray) -> None:
        """See how far it has come; call it once a step.

        Args:
            time: Now [s].
            hand: Where the hand is [m], shape (3,).
            goal: Where it should grasp [m], shape (3,).
        """
        if self.phase == 'waiting' and np.linalg.norm((hand - goal)[:2]) < NEAR_M:
            self._go('aiming', time + _LOST_S)
        there = np.linalg.norm(hand - goal - self.off) < _THERE_M
        if self.phase == 'aiming' and (there or self._late(time)):
            self._go('closing', time + _CLOSING_S)
        elif self.phase == 'closing' and self._late(time):
            self._go('lifting', time + self._lifting_s)
        if self.phase == 'lifting' and self._late(time):
            self._go('over', np.inf)

    def _go(self, phase: str, until: float) -> None:
        self.phase, self._until = phase, until

    def _late(self, time: float) -> bool:
        return time >= self._until - _SLACK
