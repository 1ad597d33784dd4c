"""A leader arm: joint names, signs and offsets, and that it leads only while someone holds on."""

from __future__ import annotations

import math

import pytest
from sensor_msgs.msg import JointState
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_ros.teleop.leader_arm import LeaderArm
from univla_ros.teleop.leader_joints import leader_joints

WIDOWX = load_embodiment('widowx')
NAMES = [f'servo{i}' for i in range(1, 7)]


def joints(robot=WIDOWX, **changes):
    options = {'names': [], 'signs': [], 'offsets': [], 'gripper': '', 'gripper_range': [0.0, 1.0]}
    return leader_joints(robot, **{**options, **changes})


def test_the_same_names_lead_one_to_one():
    told = {name: 0.1 * i for i, name in enumerate(WIDOWX.axis_names)}
    assert joints().read(told).positions == told


def test_sign_and_offset_are_applied_in_this_order():
    """Leader at 0.5, turned round and 0.2 further: -0.5 + 0.2 = -0.3."""
    mapped = joints(names=NAMES, signs=[-1.0] + [1.0] * 5, offsets=[0.2] + [0.0] * 5)
    led = mapped.read(dict.fromkeys(NAMES, 0.5))
    assert led.positions['waist'] == pytest.approx(-0.3)
    assert led.positions['shoulder'] == 0.5


@pytest.mark.parametrize('position, opening', [(0.8, 0.0), (0.2, 1.0), (0.5, 0.5), (-9.0, 1.0)])
def test_the_gripper_joint_becomes_an_opening(position, opening):
    """Closed at 0.8, open at 0.2; beyond the ends it stays at them."""
    mapped = joints(gripper='hand', gripper_range=[0.8, 0.2])
    told = {**dict.fromkeys(WIDOWX.axis_names, 0.0), 'hand': position}
    assert mapped.read(told).positions['gripper'] == pytest.approx(opening)


def test_a_missing_joint_is_named():
    led = joints(names=NAMES).read(dict.fromkeys(NAMES[:5], 0.0))
    assert not led.positions
    assert 'does not tell servo6; it tells servo1' in led.problem


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_broken_encoder_is_named(value):
    led = joints(names=NAMES).read({**dict.fromkeys(NAMES, 0.0), 'servo3': value})
    assert not led.positions
    assert 'servo3 of the leader is not finite' in led.problem


@pytest.mark.parametrize(
    'robot, changes, words',
    [
        ('mobile_base', {}, 'is a base'),
        ('widowx', {'names': NAMES[:3]}, 'leader_joints has 3 entries; widowx has 6 joints'),
        ('widowx', {'names': ['a'] * 6}, 'names a joint twice'),
        ('widowx', {'signs': [2.0] * 6}, 'each must be 1.0 or -1.0'),
        ('widowx', {'offsets': [math.nan] * 6}, 'must be finite'),
        ('widowx', {'gripper': 'hand', 'gripper_range': [0.3, 0.3]}, 'two different positions'),
    ],
)
def test_parameters_that_do_not_fit_are_refused(robot, changes, words):
    with pytest.raises(ConfigError, match=words):
        joints(load_embodiment(robot), **changes)


class Leader:
    """A leader arm with the robot's own joint names, read at 50 Hz."""

    def __init__(self, rig, **parameters) -> None:
        self.rig = rig
        self.led = rig.record(JointTrajectory, '/widowx/teleop/joint_trajectory')
        self.node = rig.add(LeaderArm, 'widowx', **parameters)
        self.joints = rig.publisher(JointState, '/widowx/leader/joint_states')
        self.positions = [0.1] * 6
        rig.probe.create_timer(0.02, self._tell)

    def _tell(self) -> None:
        self.joints.publish(
            JointState(name=list(WIDOWX.axis_names), position=[float(p) for p in self.positions])
        )


def test_it_leads_only_while_the_dead_man_topic_says_so(rig):
    leader = Leader(rig)
    deadman = rig.publisher(Bool, '/widowx/leader/deadman')
    rig.spin(0.5)
    assert not leader.led
    holding = rig.probe.create_timer(0.05, lambda: deadman.publish(Bool(data=True)))
    assert rig.until(lambda: len(leader.led) > 10)
    assert leader.led[-1].joint_names == list(WIDOWX.axis_names)
    assert list(leader.led[-1].points[0].positions) == [0.1] * 6
    rig.probe.destroy_timer(holding)  # silence releases it too
    rig.spin(0.6)
    count = len(leader.led)
    rig.spin(0.5)
    assert len(leader.led) == count


def test_a_released_button_ends_it_at_once(rig):
    leader = Leader(rig, deadman_button=4, deadman_timeout_s=1.0)
    pad = rig.publisher(Joy, '/widowx/joy')
    pad.publish(Joy(buttons=[0, 0, 0, 0, 1]))
    assert rig.until(lambda: leader.led)
    pad.publish(Joy(buttons=[0, 0, 0, 0, 0]))
    rig.spin(0.2)
    count = len(leader.led)
    rig.spin(0.5)
    assert len(leader.led) == count
    pad.publish(Joy(buttons=[1]))  # too few buttons: not held
    rig.spin(0.3)
    assert len(leader.led) == count


def test_a_bad_joint_stops_leading_until_it_is_good_again(rig):
    leader = Leader(rig, always=True)
    assert rig.until(lambda: leader.led)
    leader.positions[2] = math.nan
    rig.spin(0.3)
    count = len(leader.led)
    rig.spin(0.3)
    assert len(leader.led) == count
    leader.positions[2] = 0.2
    assert rig.until(lambda: len(leader.led) > count)
    assert leader.led[-1].points[0].positions[2] == 0.2


def test_it_refuses_to_start_without_a_dead_man(rig):
    node = rig.add(LeaderArm, 'widowx', start=False, deadman_topic='')
    assert not node.start()
    assert 'no dead-man' in node.last_error
