"""Action spaces are declared, never guessed."""

from __future__ import annotations

import pytest
from univla_core.action_space import ACTION_SPACES
from univla_core.action_space import action_space
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError


def test_each_space_says_what_a_row_means():
    """Increments are relative, end effector rows Cartesian; arms tell their gripper's rule."""
    meaning = {name: (space.relative, space.cartesian) for name, space in ACTION_SPACES.items()}
    assert meaning == {
        'joint_position': (False, False),
        'joint_delta': (True, False),
        'eef_pose': (False, True),
        'eef_delta': (True, True),
        'base_twist': (False, False),
    }
    told = {name for name, space in ACTION_SPACES.items() if '1 = open' in space.description}
    assert told == set(ACTION_SPACES) - {'base_twist'}


def test_a_space_is_found_by_its_name():
    """The table's key and the space's own name are one."""
    assert all(action_space(name).name == name for name in ACTION_SPACES)


def test_an_unknown_space_lists_the_known_ones():
    """All five, so that the reader can choose."""
    with pytest.raises(ConfigError) as caught:
        action_space('joints')
    assert all(name in str(caught.value) for name in ACTION_SPACES)


@pytest.mark.parametrize('robot', robot_names())
def test_every_robot_names_the_axes_of_its_spaces(robot):
    """Six numbers for a pose, one per joint else, and the gripper last where there is one."""
    embodiment = load_embodiment(robot)
    for space in embodiment.action_spaces:
        names = embodiment.action_names(space)
        count = 6 if action_space(space).cartesian else embodiment.axis_count
        assert len(names) == count + (embodiment.gripper is not None)
        assert (names[-1] == 'gripper') == (embodiment.gripper is not None)
        assert len(set(names)) == len(names)


def test_a_base_takes_no_joint_actions():
    """The refusal says what the robot does take."""
    with pytest.raises(ConfigError, match="takes base_twist, not 'joint_position'"):
        load_embodiment('mobile_base').action_names('joint_position')
