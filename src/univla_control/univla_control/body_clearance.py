"""Keeps the parts of a body apart along a whole motion, with few looks at its shapes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

#: Asked for on top of the clearance at the samples, to cover the way between two of them [m].
MARGIN = 0.002
_SLACK = 1e-7
_STEP_RAD = 1e-3  # in which an axis is tried alone


class CollisionModel(Protocol):
    """Knows the shapes of a body and the floor; `univla_sim.collision` has one."""

    #: How far one radian of each joint moves any point of the body at most [m], shape (n,).
    reach: np.ndarray

    def nearest(self, joints: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Smallest distances [m] (K,) at joint angles (K, n) [rad], and the pairs so near."""
        ...


class BodyClearance:
    """Judges motions by the distance between the shapes of the body.

    No distance changes by more than Σ reach · |Δq|. Hence one look at a posture vouches for all
    postures around it, and looks at both ends of a motion of length L = Σ reach · |Δq| bound all
    distances in between by (d₀ + d₁ − L) / 2 from below. Where that is not enough, the motion is
    halved down to its samples. Each sample must keep clearance + `MARGIN`, the motion between
    two samples the clearance.

    A body that is found nearer may stay as near and go apart, but not come nearer.

    Args:
        model: The shapes.
        clearance: Distance to keep [m].
    """

    def __init__(self, model: CollisionModel, clearance: float) -> None:
        self._model = model
        self._needed = self._allowed = clearance + MARGIN
        self._center, self._radius_gap = np.zeros(len(model.reach)), -np.inf
        self._path = self._judged = np.zeros((1, len(model.reach)))
        self.gap, self.pair = np.inf, ''  # of the posture that failed last

    def begin(self, joints: np.ndarray) -> None:
        """Stand at joint angles (n,) [rad]."""
        self._path = np.array(joints, dtype=float)[None]
        self._relax()

    def set_clearance(self, clearance: float) -> None:
        """Change the distance to keep; where the way ahead is nearer, it may end as planned."""
        self._needed = clearance + MARGIN
        self._relax()

    def keeps(self, path: np.ndarray) -> bool:
        """Whether a motion (K, n) [rad], its first row the present posture, keeps apart."""
        self._judged = path[1:]
        if self._vouched(path):
            return True
        if self._look(path[1]) < self._allowed - _SLACK:
            return False
        self._center, self._radius_gap = path[1], self.gap
        if self._vouched(path):
            return True
        ways = np.append(0.0, np.cumsum(np.abs(np.diff(path, axis=0)) @ self._model.reach))
        ends = {1: self._radius_gap}
        last = len(path) - 1
        return (last == 1 or self._apart(path, ways, ends, 1, last)) and self._apart(
            path, ways, ends, 0, 1
        )

    def accept(self) -> None:
        """The motion judged last is the one that is made."""
        self._path = self._judged
        if self._allowed < self._needed:
            self._relax()

    def rest_gap(self) -> float:
        """Distance [m] at the end of the motion that was accepted."""
        return self._look(self._path[-1])

    def harmless(self, joints: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Whether the body comes no nearer by each of the steps (K, n) from angles (n,)."""
        around = np.vstack([joints, joints + _STEP_RAD * steps])
        distances, _ = self._model.nearest(around)
        return np.asarray(distances[1:] >= distances[0] - _SLACK)

    @property
    def needed(self) -> float:
        """Distance that every sample must keep now [m]."""
        return self._allowed

    def _relax(self) -> None:
        distances, _ = self._model.nearest(self._path)
        self._allowed = min(self._needed, float(distances.min()))

    def _vouched(self, path: np.ndarray) -> bool:
        way = float((np.abs(path - self._center) @ self._model.reach).max())
        return self._radius_gap - way >= self._allowed

    def _apart(
        self, path: np.ndarray, ways: np.ndarray, gaps: dict[int, float], first: int, last: int
    ) -> bool:
        """Whether the motion between two samples keeps apart."""
        for index in (last, first):  # motions mostly go wrong at their end
            if index not in gaps:
                gaps[index] = self._look(path[index])
            if index > 0 and gaps[index] < self._allowed - _SLACK:
                self.gap = gaps[index]
                return False
        least = 0.5 * (gaps[first] + gaps[last] - (ways[last] - ways[first]))
        if least >= self._allowed:
            return True
        if last - first == 1:
            self.gap = least + MARGIN
            return bool(least >= self._allowed - MARGIN - _SLACK)
        middle = (first + last) // 2
        return self._apart(path, ways, gaps, first, middle) and self._apart(
            path, ways, gaps, middle, last
        )

    def _look(self, joints: np.ndarray) -> float:
        distances, pairs = self._model.nearest(joints[None])
        self.gap, self.pair = float(distances[0]), pairs[0]
        return self.gap
