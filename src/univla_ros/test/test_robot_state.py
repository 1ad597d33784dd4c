"""The measured state has the robot's own order, whoever publishes it and however."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import rclpy
from hypothesis import given
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from std_msgs.msg import String
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ObservationError
from univla_ros.conversions import header_to_msg
from univla_ros.robot_state import RobotStateSource
from univla_ros.robot_state import robot_state_from_msg

WIDOWX = load_embodiment('widowx')
NAMES = [*WIDOWX.axis_names, 'gripper', 'left_finger', 'right_finger']
POSITIONS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9, 0.026, -0.026]
ARMS = [name for name in robot_names() if load_embodiment(name).kind == 'arm']


def joint_state(names=NAMES, positions=POSITIONS, stamp: int = 5) -> JointState:
    msg = JointState(name=list(names), position=list(positions))
    msg.header.stamp.sec = stamp
    return msg


@given(st.permutations(range(9)))
def test_any_order_of_names_gives_the_robots_own(order):
    """A finger at 26 mm is half way from 15 to 37 mm."""
    msg = joint_state([NAMES[i] for i in order], [POSITIONS[i] for i in order])
    state = robot_state_from_msg(msg, WIDOWX)
    np.testing.assert_allclose(state.axes, POSITIONS[:6])
    assert state.opening == pytest.approx(0.5)
    assert state.stamp == 5.0


@pytest.mark.parametrize('robot', ARMS)
def test_every_arms_home_is_read_back(robot):
    body = load_embodiment(robot)
    finger = body.gripper.finger_position(0.25) * body.gripper.state_scale
    names = [*body.axis_names, body.gripper.state_joint]
    state = robot_state_from_msg(joint_state(names, [*body.home, finger]), body)
    np.testing.assert_allclose(state.axes, body.home)
    assert state.opening == pytest.approx(0.25)


def test_other_names_of_the_driver_come_from_the_yaml():
    renamed = {
        'state_joint_names': [f'arm_joint{i}' for i in range(1, 7)],
        'state_gripper_joint': 'arm_eef_gripper_joint',
    }
    body = load_embodiment('airbot')
    body = dataclasses.replace(body, driver={**body.driver, **renamed})
    names = [*renamed['state_joint_names'], 'arm_eef_gripper_joint']
    state = robot_state_from_msg(joint_state(names, [0, 1, 2, 3, 4, 5, 0.072]), body)
    np.testing.assert_allclose(state.axes, range(6))
    assert state.opening == 1.0


def test_a_message_of_another_part_of_the_robot_is_no_state():
    assert robot_state_from_msg(joint_state(['wheel'], [1.0]), WIDOWX) is None
    assert robot_state_from_msg(JointState(), WIDOWX) is None


@pytest.mark.parametrize(
    ('names', 'positions', 'words'),
    [
        (NAMES[:5], POSITIONS[:5], 'lacks wrist_rotate; it holds waist'),
        (NAMES, POSITIONS[:5], 'lacks wrist_rotate'),
        (NAMES, [0.1, math.nan, *POSITIONS[2:]], 'non-finite position for shoulder'),
        (NAMES, [*POSITIONS[:5], math.inf, *POSITIONS[6:]], 'for wrist_rotate'),
        (NAMES, [*POSITIONS[:7], math.nan, 0.0], 'for left_finger'),
    ],
)
def test_a_broken_state_is_refused_by_the_joints_name(names, positions, words):
    with pytest.raises(ObservationError, match=words):
        robot_state_from_msg(joint_state(names, positions), WIDOWX)


class Ear:
    """A node that listens to one robot."""

    def __init__(self, rig, robot: str, state_topic: str, **options) -> None:
        body = load_embodiment(robot)
        body = dataclasses.replace(body, driver={**body.driver, **options})
        own = 'joint_states' if body.kind == 'arm' else 'odom'
        self.node = rclpy.create_node(
            'ear', cli_args=['--ros-args', '-r', f'{own}:={state_topic}']
        )
        self.states, self.problems, self.jumps = [], [], []
        self.source = RobotStateSource(
            self.node, body, self.states.append, self.problems.append, self.jumps.append
        )
        rig.executor.add_node(self.node)


@pytest.mark.parametrize('kind', ['RELIABLE', 'BEST_EFFORT'])
def test_reliable_and_best_effort_drivers_are_heard(rig, kind):
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[kind])
    publisher = rig.publisher(JointState, '/wx250s/joint_states', qos)
    publisher.publish(joint_state())
    assert rig.until(lambda: ear.states)
    assert ear.states[0].opening == pytest.approx(0.5)


def test_arm_and_gripper_in_separate_messages_belong_together(rig):
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    publisher.publish(joint_state(NAMES[:6], POSITIONS[:6]))
    assert rig.until(lambda: len(ear.states) == 1)
    publisher.publish(joint_state(['left_finger'], [0.037]))
    rig.spin(0.1)
    publisher.publish(joint_state(NAMES[:6], POSITIONS[:6]))
    assert rig.until(lambda: len(ear.states) == 2)
    assert [state.opening for state in ear.states] == [None, 1.0]
    assert ear.problems == []


def test_a_dropped_state_is_counted_and_told(rig):
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    publisher.publish(joint_state(NAMES[:3], POSITIONS[:3]))
    assert rig.until(lambda: ear.problems)
    assert ear.source.dropped == 1 and not ear.states


@pytest.mark.parametrize(
    ('profile', 'topic', 'msg', 'opening'),
    [
        ('airbot_ros1', 'gripper/position', Float64(data=0.3), 0.3),
        ('airbot_ros1', 'gripper/position', Float64(data=math.nan), None),
        ('airbot_ros2_interface', 'gripper/state', String(data='close'), 0.0),
        ('airbot_ros2_interface', 'gripper/state', String(data='open'), 1.0),
        ('airbot_ros2_interface', 'gripper/state', String(data='moving'), 0.5),
        ('airbot_ros2_interface', 'gripper/state', String(data='fault'), None),
    ],
)
def test_airbots_gripper_speaks_beside_its_joint_states(rig, profile, topic, msg, opening):
    """Also when the whole driver was moved to another namespace."""
    ear = Ear(rig, 'airbot', '/left/joint_states', profile=profile)
    gripper = rig.publisher(type(msg), f'/left/{topic}')
    arm = rig.publisher(JointState, '/left/joint_states')
    gripper.publish(msg)
    rig.spin(0.1)
    arm.publish(joint_state([f'joint{i}' for i in range(1, 7)], [0.0] * 6))
    assert rig.until(lambda: ear.states)
    assert ear.states[0].opening == opening


def stamped(rig, positions, ahead_s: float = 0.0) -> JointState:
    """A joint state of now, or of the near future."""
    msg = joint_state(NAMES[: len(positions)], positions)
    msg.header = header_to_msg(rig.now() + ahead_s)
    return msg


def heard(rig, ear, publisher, positions, ahead_s: float = 0.0) -> bool:
    """Whether a joint state is handed over; waits until it was judged."""
    before = len(ear.states), ear.source.dropped
    publisher.publish(stamped(rig, positions, ahead_s))
    assert rig.until(lambda: (len(ear.states), ear.source.dropped) != before)
    return len(ear.states) > before[0]


def test_a_driver_that_mixes_up_its_joints_is_not_believed(rig):
    """Until a good message comes, the problem names the joint."""
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    right = [0.0, -1.0, 1.0, 0.0, 0.5, 0.0]
    assert heard(rig, ear, publisher, right) and ear.source.problem is None
    assert not heard(rig, ear, publisher, [*right[3:], *right[:3]])
    name, reason = ear.source.problem
    assert name == 'bad_joint_state'
    assert 'joint shoulder moved by' in reason or 'joint elbow moved by' in reason
    assert ear.problems == [reason]
    assert heard(rig, ear, publisher, right) and ear.source.problem is None


def test_a_robot_that_was_moved_elsewhere_is_believed_and_told(rig):
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    assert heard(rig, ear, publisher, [0.0] * 6)
    told = [heard(rig, ear, publisher, [1.5] * 6) for _ in range(4)]
    assert told == [False, False, True, True]
    assert [state.axes[0] for state in ear.jumps] == [1.5]
    assert ear.source.problem is None


@pytest.mark.parametrize(('ahead_s', 'believed'), [(0.05, True), (2.0, False)])
def test_a_state_from_the_future_is_refused(rig, ahead_s, believed):
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    assert heard(rig, ear, publisher, [0.0] * 6, ahead_s) == believed
    assert believed or 'in the future; synchronise the clocks' in ear.source.problem[1]


def test_a_state_without_a_stamp_is_of_its_arrival(rig):
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    before = rig.now()
    publisher.publish(joint_state(stamp=0))
    assert rig.until(lambda: ear.states)
    assert before <= ear.states[0].stamp <= rig.now()


def test_another_robots_joints_are_named_after_a_second(rig):
    """Not at once: drivers may split a robot into several messages."""
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    begin = rig.now()

    def again() -> bool:
        publisher.publish(joint_state(['joint1', 'joint2'], [0.0, 0.0]))
        rig.spin(0.05)
        return ear.source.problem is not None

    assert rig.until(again)
    assert rig.now() - begin > 1.0
    assert 'joint_states holds joint1, joint2 but none of waist' in ear.source.problem[1]
    publisher.publish(joint_state())
    assert rig.until(lambda: ear.states) and ear.source.problem is None


def test_parts_of_the_robot_are_no_strangers(rig):
    """A gripper's own message may come for ever beside the arm's."""
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    for _ in range(15):
        publisher.publish(joint_state(['left_finger'], [0.02]))
        publisher.publish(joint_state(['wheel'], [0.02]))
        rig.spin(0.05)
        publisher.publish(stamped(rig, [0.0] * 6))
        rig.spin(0.05)
    assert ear.problems == []


def odometry(v=0.2, w=-0.5, x=1.0, heading=2.0) -> Odometry:
    msg = Odometry()
    msg.twist.twist.linear.x, msg.twist.twist.angular.z = v, w
    msg.pose.pose.position.x = x
    msg.pose.pose.orientation.z = math.sin(heading / 2)
    msg.pose.pose.orientation.w = math.cos(heading / 2)
    return msg


def test_a_base_tells_twist_and_place(rig):
    ear = Ear(rig, 'mobile_base', '/odom')
    publisher = rig.publisher(Odometry, '/odom')
    publisher.publish(odometry())
    assert rig.until(lambda: ear.states)
    np.testing.assert_allclose(ear.states[0].axes, [0.2, -0.5])
    assert ear.states[0].base_pose == pytest.approx((1.0, 0.0, 2.0))


def test_odometry_that_is_not_finite_is_dropped(rig):
    ear = Ear(rig, 'mobile_base', '/odom')
    publisher = rig.publisher(Odometry, '/odom')
    for bad in (odometry(v=math.nan), odometry(x=math.inf), odometry(heading=math.nan)):
        publisher.publish(bad)
        rig.spin(0.05)
    assert ear.source.dropped == 3 and not ear.states


def test_a_closed_source_is_silent(rig):
    ear = Ear(rig, 'widowx', '/wx250s/joint_states')
    publisher = rig.publisher(JointState, '/wx250s/joint_states')
    ear.source.close()
    publisher.publish(joint_state())
    rig.spin(0.2)
    assert not ear.states
