"""From increments that begin at the measured robot to where they lead, and back.

An arm follows its commands with a lag, and a picture shows where it is, not where it was told to
go. Increments from the measured state mean the same whatever was asked for before, so a policy
that sees the hand two centimetres short of the cube says two centimetres, moving or not.
"""

from __future__ import annotations

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation


def added_up(
    rows: np.ndarray, joints: np.ndarray, action_space: str, embodiment: Embodiment
) -> np.ndarray:
    """Absolute rows from increments.

    Args:
        rows: Increments (horizon, dim): of joints [rad], or way [m] and rotation vector [rad] in
            the base frame; columns after those pass unchanged.
        joints: Measured joints (n,) [rad].
        action_space: Of the result: `joint_position` or `eef_pose`.
        embodiment: The robot.

    Returns:
        Absolute rows, (horizon, dim).
    """
    absolute = np.array(rows, dtype=float)
    if action_space == 'joint_position':
        absolute[:, : len(joints)] = joints + np.cumsum(absolute[:, : len(joints)], axis=0)
        return absolute
    assert embodiment.chain is not None
    T_base_ee = embodiment.chain.forward(joints)
    place, rotation = T_base_ee[:3, 3], T_base_ee[:3, :3]
    for row in absolute:
        place = place + row[:3]
        rotation = rotation_from_vector(row[3:6]) @ rotation
        row[:3], row[3:6] = place, vector_from_rotation(rotation)
    return absolute


def taken_apart(
    rows: np.ndarray, joints: np.ndarray, action_space: str, embodiment: Embodiment
) -> np.ndarray:
    """The inverse of `added_up`."""
    increments = np.array(rows, dtype=float)
    if action_space == 'joint_position':
        count = len(joints)
        increments[:, :count] = np.diff(np.vstack([joints, increments[:, :count]]), axis=0)
        return increments
    assert embodiment.chain is not None
    T_base_ee = embodiment.chain.forward(joints)
    place, rotation = T_base_ee[:3, 3], T_base_ee[:3, :3]
    for row in increments:
        there, turned = row[:3].copy(), rotation_from_vector(row[3:6])
        row[:3], row[3:6] = there - place, vector_from_rotation(turned @ rotation.T)
        place, rotation = there, turned
    return increments
