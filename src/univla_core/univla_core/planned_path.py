"""Where an action chunk would take the end effector or the base, for pictures and markers."""

from __future__ import annotations

import numpy as np

from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.errors import ActionError


def planned_path(embodiment: Embodiment, chunk: ActionChunk, axes: np.ndarray) -> np.ndarray:
    """Positions of the end effector along a chunk, in the base frame.

    Args:
        embodiment: The robot.
        chunk: The chunk.
        axes: Joint angles [rad] at the chunk's stamp, shape (n,); unused for a base.

    Returns:
        Points [m], shape (horizon + 1, 3), beginning where the robot was.

    Raises:
        ActionError: If the chunk moves an arm and the robot has none.
    """
    count = embodiment.axis_count
    if chunk.action_space == 'base_twist':
        return _unicycle(chunk.data, chunk.step_duration_s)
    chain = embodiment.chain
    if chain is None:
        raise ActionError(
            f'chunk {chunk.sequence} is of {chunk.action_space}, but robot {embodiment.name!r} '
            'has no arm; send it base_twist'
        )
    start = chain.forward(axes)[:3, 3]
    if chunk.action_space == 'eef_delta':
        return start + np.vstack([np.zeros(3), np.cumsum(chunk.data[:, :3], axis=0)])
    if chunk.action_space == 'eef_pose':
        return np.vstack([start, chunk.data[:, :3]])
    joints = chunk.data[:, :count]
    if chunk.action_space == 'joint_delta':
        joints = axes + np.cumsum(joints, axis=0)
    return np.vstack([start, [chain.forward(row)[:3, 3] for row in joints]])


def _unicycle(twists: np.ndarray, step_s: float) -> np.ndarray:
    heading = np.concatenate([[0.0], np.cumsum(twists[:, 1]) * step_s])
    middle = 0.5 * (heading[:-1] + heading[1:])
    steps = (twists[:, 0] * step_s)[:, None] * np.stack([np.cos(middle), np.sin(middle)], axis=1)
    path = np.zeros((len(twists) + 1, 3))
    path[1:, :2] = np.cumsum(steps, axis=0)
    return path
