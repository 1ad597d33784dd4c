"""The five declared action spaces: what one row of an action chunk means."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.errors import ConfigError


@dataclass(frozen=True)
class ActionSpace:
    """Meaning of one action.

    Attributes:
        name: One of `ACTION_SPACES`.
        relative: Rows are increments to the pose that the robot had at the observation's stamp.
        cartesian: Rows hold translation [m] and rotation vector [rad] of the EEF in `base_link`.
        description: Units, frame and gripper convention in one sentence.
    """

    name: str
    relative: bool
    cartesian: bool
    description: str


_GRIPPER = 'an optional last dimension is the gripper opening in [0, 1], 1 = open'
ACTION_SPACES = {
    space.name: space
    for space in (
        ActionSpace('joint_position', False, False, f'joint angles [rad]; {_GRIPPER}'),
        ActionSpace('joint_delta', True, False, f'joint increments per step [rad]; {_GRIPPER}'),
        ActionSpace(
            'eef_pose', False, True, f'EEF x y z [m], rotation vector [rad] in base; {_GRIPPER}'
        ),
        ActionSpace(
            'eef_delta',
            True,
            True,
            f'EEF increments [m, rad] per step, axes of the base frame; {_GRIPPER}',
        ),
        ActionSpace('base_twist', False, False, 'linear x [m/s] and angular z [rad/s] in base'),
    )
}


def action_space(name: str) -> ActionSpace:
    """Look up an action space by name.

    Raises:
        ConfigError: If the name is unknown; the known ones are listed.
    """
    try:
        return ACTION_SPACES[name]
    except KeyError:
        raise ConfigError(
            f'unknown action space {name!r}; choose one of {", ".join(ACTION_SPACES)}'
        ) from None
