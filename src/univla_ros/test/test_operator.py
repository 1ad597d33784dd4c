"""A person at the controller node: stop, take over, hand back, tighten; over real DDS."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from interbotix_xs_msgs.msg import JointGroupCommand
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from trajectory_msgs.msg import JointTrajectoryPoint
from univla_core.embodiment import load_embodiment
from univla_ros.nodes.controller_node import ControllerNode
from univla_ros.nodes.sim_node import SimNode
from univla_ros.operator_inputs import joint_ask_from_msg
from univla_ros.qos import STATUS
from univla_ros.teleop.joy_mapping import load_joy_mapping

from univla_msgs.msg import ControlState
from univla_msgs.msg import Heartbeat
from univla_msgs.srv import SetMode

ARM = load_embodiment('widowx')


@pytest.fixture
def desk(rig):
    """A WidowX in mode TELEOP, and everything a person has at hand."""

    class Desk:
        def __init__(self) -> None:
            self.sim = rig.add(SimNode, 'widowx')
            self.states = rig.record(ControlState, '/widowx/control_state', STATUS)
            self.commands = rig.record(JointGroupCommand, '/wx250s/commands/joint_group')
            self.node = rig.add(ControllerNode, 'widowx', initial_mode='teleop')
            self.chain = rig.chain('widowx')
            self.twists = rig.publisher(TwistStamped, '/widowx/teleop/twist')
            assert rig.until(lambda: self.commands), 'no command came'

        @property
        def state(self):
            return self.states[-1]

        def call(self, kind, name, request):
            client = rig.probe.create_client(kind, f'/widowx/{name}')
            assert client.wait_for_service(timeout_sec=5.0)
            future = client.call_async(request)
            assert rig.until(future.done)
            return future.result()

        def steer(self, duration_s, frame='', **linear):
            """Say a twist at 50 Hz."""
            msg = TwistStamped()
            msg.header.frame_id = frame
            for axis, speed in linear.items():
                setattr(msg.twist.linear, axis, speed)
            timer = rig.probe.create_timer(0.02, lambda: self.twists.publish(msg))
            rig.spin(duration_s)
            rig.probe.destroy_timer(timer)

        def set_limit(self, **values):
            parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
            request = SetParameters.Request(parameters=parameters)
            return self.call(SetParameters, 'controller_node/set_parameters', request).results[0]

    return Desk()


def test_a_twist_moves_the_simulated_hand(desk, rig):
    """5 cm/s upwards for a second; when the person lets go the arm holds and says so."""
    before = desk.sim._world.ee_pose[:3, 3].copy()
    desk.steer(1.0, z=0.05)
    assert 'teleop' in {state.control_source for state in desk.states}
    assert 'twist' in {state.teleop_input for state in desk.states}
    assert rig.until(lambda: desk.state.control_source == 'hold')
    assert desk.state.fault == 'no_teleop'
    rig.spin(0.5)
    moved = desk.sim._world.ee_pose[:3, 3] - before
    assert 0.03 < moved[2] < 0.075  # a second, and the patience of 0.3 s
    assert np.abs(moved[:2]).max() < 0.005


def test_a_twist_in_an_unknown_frame_moves_nothing(desk, rig):
    """The frames that would do are told."""
    before = np.array(desk.commands[-1].cmd)
    desk.steer(0.4, frame='map', x=0.1)
    assert np.allclose(desk.commands[-1].cmd, before, atol=1e-4)
    desk.steer(0.4, frame='wx250s/ee_gripper_link', x=-0.05)
    assert not np.allclose(desk.commands[-1].cmd, before, atol=1e-3)


def test_estop_latches_until_it_is_reset(desk, rig):
    """Service in, service out; nothing in between moves the arm."""
    assert desk.call(Trigger, 'estop', Trigger.Request()).success
    assert rig.until(lambda: desk.state.mode == ControlState.MODE_ESTOP)
    assert desk.state.fault == 'estop'
    assert desk.state.estop_reason == 'service estop'
    refused = desk.call(SetMode, 'set_mode', SetMode.Request(mode=ControlState.MODE_TELEOP))
    assert not refused.accepted
    assert 'reset_estop' in refused.message
    before = np.array(desk.commands[-1].cmd)
    desk.steer(0.4, x=0.1)
    assert np.allclose(desk.commands[-1].cmd, before, atol=1e-4)
    assert desk.call(Trigger, 'reset_estop', Trigger.Request()).success
    assert rig.until(lambda: desk.state.mode == ControlState.MODE_HOLD)
    assert not desk.call(Trigger, 'reset_estop', Trigger.Request()).success


def test_a_lock_topic_stops_as_well(desk, rig):
    """A relay of a real emergency stop publishes true."""
    lock = rig.publisher(Bool, '/widowx/estop_lock')
    lock.publish(Bool(data=True))
    assert rig.until(lambda: desk.state.mode == ControlState.MODE_ESTOP)
    assert desk.state.estop_reason == 'estop_lock'


def test_a_gamepad_moves_only_while_its_button_is_held(desk, rig):
    """Press after letting go; stick forward moves, releasing the button holds at once."""
    mapping = load_joy_mapping('xbox')
    joy = rig.publisher(Joy, '/widowx/joy')

    def hold(stick, held, duration_s):
        msg = Joy(axes=[0.0] * 8, buttons=[0] * 16)
        msg.axes[1], msg.buttons[mapping.deadman] = stick, int(held)
        timer = rig.probe.create_timer(0.03, lambda: joy.publish(msg))
        rig.spin(duration_s)
        rig.probe.destroy_timer(timer)

    hold(1.0, False, 0.3)
    assert desk.state.control_source == 'hold'
    begin = len(desk.states)
    hold(1.0, True, 0.6)
    moved = {(state.control_source, state.teleop_input) for state in desk.states[begin:]}
    assert ('teleop', 'joy') in moved
    hold(1.0, False, 0.3)
    assert rig.until(lambda: desk.state.control_source == 'hold')


def test_a_fault_of_the_policy_is_named_with_its_reason(desk, rig):
    """What policy_node says about its camera reaches whoever looks at the robot."""
    desk.call(SetMode, 'set_mode', SetMode.Request(mode=ControlState.MODE_POLICY))
    desk.chain.said['policy'] = Heartbeat(
        healthy=False, fault='stale_camera', reason='camera primary is silent'
    )
    assert rig.until(lambda: desk.state.fault == 'stale_camera')
    assert desk.state.fault_reason == 'camera primary is silent'
    desk.chain.said['policy'] = None
    assert rig.until(lambda: desk.state.fault == 'policy_silent')


def test_limits_are_tightened_live_and_never_loosened(desk, rig):
    """A tenth of the speed is in force at once; more than the maker allows is refused."""
    assert desk.set_limit(speed_scale=0.1).successful
    assert rig.until(lambda: desk.state.speed_scale == pytest.approx(0.1))
    begin = len(desk.commands)
    desk.steer(0.8, z=0.3)
    path = np.array([command.cmd for command in desk.commands[begin:]])
    speed = np.abs(np.diff(path, axis=0)).max(axis=0) * 60.0
    assert (speed <= 0.1 * ARM.limits.velocity * 1.01).all()
    assert speed.max() > 0.05 * ARM.limits.velocity.min()
    refused = desk.set_limit(ee_speed_mps=50.0)
    assert not refused.successful
    assert 'maker' in refused.reason


def test_the_workspace_is_a_wall(desk, rig):
    """The box ends 3 cm above the hand: the person pushes on, the hand stops there."""
    height = desk.sim._world.ee_pose[2, 3]
    assert desk.set_limit(workspace_upper_m=[10.0, 10.0, height + 0.03]).successful
    desk.steer(2.0, z=0.05)
    assert desk.sim._world.ee_pose[2, 3] < height + 0.032
    assert desk.sim._world.ee_pose[2, 3] > height + 0.015
    assert 'workspace' in {state.held_back for state in desk.states}


# --- a leader arm's message -------------------------------------------------------------------


def trajectory(names, *rows):
    points = [JointTrajectoryPoint(positions=[float(v) for v in row]) for row in rows]
    return JointTrajectory(joint_names=list(names), points=points)


def test_joints_come_in_any_order_and_the_gripper_beside_them():
    """By name, not by place."""
    names = [*reversed(ARM.axis_names), 'gripper']
    ask, opening = joint_ask_from_msg(trajectory(names, [6, 5, 4, 3, 2, 1, 0.5]), ARM, 7.0)
    assert np.array_equal(ask.positions, [[1, 2, 3, 4, 5, 6]])
    assert (ask.times[0], opening) == (7.0, 0.5)
    assert joint_ask_from_msg(trajectory(['gripper'], [0.25]), ARM, 7.0) == (None, 0.25)


@pytest.mark.parametrize(
    'msg',
    [
        trajectory(['waist'], [0.0]),
        trajectory([*ARM.axis_names, 'nose'], [0.0] * 7),
        trajectory(ARM.axis_names),
        trajectory(ARM.axis_names, [0.0] * 5),
    ],
)
def test_a_leader_of_another_body_is_refused(msg):
    """With the names that are wanted."""
    from univla_core.errors import ActionError

    with pytest.raises(ActionError, match='teleop/joint_trajectory'):
        joint_ask_from_msg(msg, ARM, 0.0)
