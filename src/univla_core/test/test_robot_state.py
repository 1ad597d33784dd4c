"""What a robot's state tells, whatever the order and the company of its joints."""

from __future__ import annotations

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ObservationError
from univla_core.robot_state import RobotState
from univla_core.robot_state import axes_from_joints
from univla_core.robot_state import nearest_state
from univla_core.robot_state import opening_from_joints
from univla_core.robot_state import proprioception
from univla_core.robot_state import state_gripper_joint
from univla_core.robot_state import state_joint_names


@pytest.mark.parametrize('robot', robot_names())
def test_axes_come_in_the_robots_order_by_the_drivers_names(robot):
    embodiment = load_embodiment(robot)
    names = state_joint_names(embodiment)
    joints = {name: float(index) for index, name in enumerate(names)}
    shuffled = {'stranger': 9.0, **dict(reversed(joints.items()))}
    axes = axes_from_joints(shuffled, embodiment)
    np.testing.assert_array_equal(axes, np.arange(embodiment.axis_count))
    if embodiment.gripper is not None:
        half = embodiment.gripper.finger_position(0.5) * embodiment.gripper.state_scale
        told = {state_gripper_joint(embodiment): half}
        assert opening_from_joints(told, embodiment) == pytest.approx(0.5)
    assert opening_from_joints(joints, embodiment) is None


def test_missing_and_broken_joints_are_named():
    embodiment = load_embodiment('widowx')
    joints = dict.fromkeys(state_joint_names(embodiment), 0.0)
    with pytest.raises(ObservationError, match='elbow'):
        axes_from_joints({**joints, 'elbow': float('nan')}, embodiment)
    del joints['waist']
    with pytest.raises(ObservationError, match='lacks waist'):
        axes_from_joints(joints, embodiment)
    assert axes_from_joints({'stranger': 1.0}, embodiment) is None


def test_the_nearest_state_within_its_age():
    states = [RobotState(stamp, np.zeros(1)) for stamp in (1.0, 2.0, 3.0)]
    assert nearest_state(states, 2.1, 0.2) is states[1]
    assert nearest_state(states, 2.5, 0.2) is None
    assert nearest_state([], 2.5, 0.2) is None


def test_proprioception_leaves_an_unknown_opening_out():
    assert proprioception(RobotState(0.0, np.arange(2.0), 0.5)).tolist() == [0.0, 1.0, 0.5]
    assert proprioception(RobotState(0.0, np.arange(2.0))).tolist() == [0.0, 1.0]
