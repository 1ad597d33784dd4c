"""Tool-down poses: where a hand stands to grasp something on the table from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.poses import pose


def tool_down(embodiment: Embodiment, point: Sequence[float], yaw: float = 0.0) -> np.ndarray:
    """Pose `T_base_ee` (4, 4) with the hand pointing down at a point.

    At yaw 0 the fingers open along the y axis of the base frame. Of the two such poses, half a
    turn apart, it is the one that is nearer to the posture `home`.

    Args:
        embodiment: An arm with a gripper.
        point: Where the end effector frame shall be, in the base frame [m].
        yaw: Turn about the vertical [rad].

    Raises:
        ConfigError: If the robot has no gripper.
    """
    if embodiment.gripper is None:
        raise ConfigError(f'robot {embodiment.name!r} has no gripper to point down')
    approach = np.asarray(embodiment.document['simulation']['approach'], dtype=float)
    opening = np.asarray(embodiment.gripper.fingers[0]['axis'], dtype=float)
    hand = np.column_stack([approach, opening, np.cross(approach, opening)])
    down, side = np.array([0.0, 0.0, -1.0]), np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    assert embodiment.chain is not None
    home = embodiment.chain.forward(embodiment.home)[:3, :3]
    turns = [np.column_stack([down, s, np.cross(down, s)]) @ hand.T for s in (side, -side)]
    nearest = max(turns, key=lambda rotation: float(np.trace(rotation.T @ home)))
    return pose(nearest, np.asarray(point, dtype=float))
