"""How far chunks lie apart, dimension by dimension, in units that a person knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.action_space import action_space
from univla_core.embodiment import Embodiment
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation
from univla_decoders.increments import added_up


@dataclass(frozen=True, kw_only=True)
class AxisError:
    """One dimension of a comparison.

    Attributes:
        axis: Its name.
        unit: Of all values; empty for the gripper's opening.
        mae: Mean absolute difference.
        rmse: Root of the mean squared difference.
        worst: Largest absolute difference.
        still: Mean absolute difference of chunks that ask for no motion.
        first: Mean absolute difference of the first rows alone.
    """

    axis: str
    unit: str
    mae: float
    rmse: float
    worst: float
    still: float
    first: float


def differences(chunks: np.ndarray, others: np.ndarray, space: str) -> np.ndarray:
    """Chunks minus others, (n, horizon, dim); rotations as the vector that turns one to the other.

    Args:
        chunks: In robot units, (n, horizon, dim).
        others: Alike.
        space: Their action space.
    """
    gap = chunks - others
    if not action_space(space).cartesian:
        return gap
    for place in np.ndindex(gap.shape[:2]):
        one, other = (rotation_from_vector(rows[place][3:6]) for rows in (chunks, others))
        gap[place][3:6] = vector_from_rotation(one @ other.T)
    return gap


def standing_still(
    bodies: np.ndarray, openings: np.ndarray, embodiment: Embodiment, space: str, horizon: int
) -> np.ndarray:
    """Chunks that leave the robot as it was measured, (n, horizon, dim).

    Args:
        bodies: Measured axes, (n, axes).
        openings: Measured openings in [0, 1], NaN without a gripper, (n,).
        embodiment: The robot.
        space: Action space.
        horizon: Rows.
    """
    dim = len(embodiment.action_names(space))
    rows = np.zeros((len(bodies), horizon, dim))
    if space in ('joint_position', 'eef_pose'):
        for chunk, body in zip(rows, bodies, strict=True):
            chunk[:] = added_up(chunk, body, space, embodiment)
    if embodiment.gripper is not None:
        rows[:, :, -1] = np.nan_to_num(openings, nan=1.0)[:, None]
    return rows


def axis_errors(
    chunks: np.ndarray, others: np.ndarray, still: np.ndarray, space: str, names: tuple[str, ...]
) -> list[AxisError]:
    """One entry per dimension; see `AxisError`. All chunks are (n, horizon, dim), n at least 1."""
    gap = np.abs(differences(chunks, others, space))
    idle = np.abs(differences(still, others, space))
    return [
        AxisError(
            axis=name,
            unit=unit_of(space, number, name),
            mae=float(gap[..., number].mean()),
            rmse=float(np.sqrt((gap[..., number] ** 2).mean())),
            worst=float(gap[..., number].max()),
            still=float(idle[..., number].mean()),
            first=float(gap[:, 0, number].mean()),
        )
        for number, name in enumerate(names)
    ]


def unit_of(space: str, number: int, name: str) -> str:
    """Unit of a dimension; empty for an opening."""
    if name == 'gripper':
        return ''
    if space == 'base_twist':
        return ('m/s', 'rad/s')[number]
    return 'm' if action_space(space).cartesian and number < 3 else 'rad'
