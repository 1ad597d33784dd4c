"""How a robot moved, in figures that mean the same on every body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.poses import vector_from_rotation

#: A hand or base that went less than this went nowhere [m].
_NOWHERE_M = 0.005


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A measured motion.

    Attributes:
        times: From its begin [s], (T,).
        places: End effector in the base frame, or base in the frame it began in [m], (T, 3).
        turned_rad: Turn from begin to end [rad]; of a base its heading.
        openings: Gripper openings in [0, 1], NaN without a gripper, (T,).
    """

    times: np.ndarray
    places: np.ndarray
    turned_rad: float
    openings: np.ndarray

    @property
    def net(self) -> np.ndarray:
        """Way from begin to end [m], (3,)."""
        return self.places[-1] - self.places[0]

    @property
    def path_m(self) -> float:
        """Length of the way that was gone [m]."""
        return float(np.linalg.norm(np.diff(self.places, axis=0), axis=1).sum())

    @property
    def closings(self) -> int:
        """How often the gripper closed past one half."""
        closed = self.openings < 0.5
        return int((closed[1:] & ~closed[:-1]).sum())


def motion_of(
    times: np.ndarray, axes: np.ndarray, openings: np.ndarray, embodiment: Embodiment
) -> Motion:
    """From measured axes.

    Args:
        times: When [s], (T,).
        axes: Joint angles [rad], or a base's v [m/s] and w [rad/s], (T, n).
        openings: Openings, NaN without a gripper, (T,).
        embodiment: The robot.
    """
    if embodiment.chain is None:
        places, turned = _driven(times, axes)
    else:
        poses = np.array([embodiment.chain.forward(joints) for joints in axes])
        places = poses[:, :3, 3]
        rotation = poses[-1, :3, :3] @ poses[0, :3, :3].T
        turned = float(np.linalg.norm(vector_from_rotation(rotation)))
    return Motion(times=times - times[0], places=places, turned_rad=turned, openings=openings)


def alignment(one: Motion, other: Motion) -> float | None:
    """Cosine between the ways of two motions; None if one went nowhere."""
    lengths = [float(np.linalg.norm(motion.net)) for motion in (one, other)]
    if min(lengths) < _NOWHERE_M:
        return None
    return float(one.net @ other.net / (lengths[0] * lengths[1]))


def _driven(times: np.ndarray, twists: np.ndarray) -> tuple[np.ndarray, float]:
    """Places (T, 3) and last heading of a base from its measured twists, by the midpoint rule."""
    steps = np.diff(times)
    mean = 0.5 * (twists[1:] + twists[:-1])
    headings = np.concatenate([[0.0], np.cumsum(mean[:, 1] * steps)])
    middle = 0.5 * (headings[1:] + headings[:-1])
    ways = (mean[:, 0] * steps)[:, None] * np.stack([np.cos(middle), np.sin(middle)], axis=1)
    places = np.zeros((len(times), 3))
    places[1:, :2] = np.cumsum(ways, axis=0)
    return places, float(headings[-1])
