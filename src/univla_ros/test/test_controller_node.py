"""The controller node in front of the simulated driver, on a real executor."""

from __future__ import annotations

import array

import numpy as np
import pytest
from interbotix_xs_msgs.msg import JointGroupCommand
from trajectory_msgs.msg import JointTrajectory
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_ros.conversions import action_chunk_to_msg
from univla_ros.conversions import seconds_from_msg
from univla_ros.nodes.controller_node import ControllerNode
from univla_ros.nodes.sim_node import SimNode
from univla_ros.qos import PLAN
from univla_ros.qos import STATUS

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import ControlState
from univla_msgs.srv import SetMode

GROUP = '/wx250s/commands/joint_group'


@pytest.fixture
def arm(rig):
    """A WidowX: simulated driver and active controller, commands flowing."""

    class Arm:
        def __init__(self) -> None:
            self.sim = rig.add(SimNode, 'widowx')
            self.states = rig.record(ControlState, '/widowx/control_state', STATUS)
            self.commands = rig.record(JointGroupCommand, GROUP)
            self.node = rig.add(ControllerNode, 'widowx')
            self.chain = rig.chain('widowx')
            self.chunks = rig.publisher(ActionChunkMsg, '/widowx/action_chunk', PLAN)
            assert rig.until(lambda: self.commands), 'no command came'
            self.sequence = 0

        def chunk(self, **changes):
            self.sequence += 1
            data = np.zeros((8, 7))
            data[:, 0], data[:, 6] = 0.005, 1.0
            fields = {
                'robot': 'widowx',
                'action_space': 'eef_delta',
                'names': load_embodiment('widowx').action_names('eef_delta'),
                'data': data,
                'step_duration_s': 0.1,
                'stamp': rig.now(),
                'sequence': self.sequence,
            }
            self.chunks.publish(action_chunk_to_msg(ActionChunk(**{**fields, **changes})))

    return Arm()


def joints(command: JointGroupCommand) -> np.ndarray:
    return np.array(command.cmd)


def test_the_first_command_is_the_measured_pose(arm):
    """Nothing jumps when the controller takes over."""
    assert np.allclose(joints(arm.commands[0]), load_embodiment('widowx').home, atol=2e-3)
    assert arm.commands[0].name == 'arm'


def test_a_chunk_moves_the_hand_where_it_says(arm, rig):
    """Eight steps of 5 mm forward, then rest: the simulated hand ends 4 cm further."""
    before = arm.sim._world.ee_pose[:3, 3].copy()
    data = np.zeros((20, 7))
    data[:8, 0], data[:, 6] = 0.005, 1.0
    arm.chunk(data=data)
    assert rig.until(lambda: arm.states[-1].control_source == 'policy')
    assert rig.until(lambda: arm.states[-1].control_source == 'hold')
    moved = arm.sim._world.ee_pose[:3, 3] - before
    assert moved == pytest.approx([0.04, 0.0, 0.0], abs=0.004)


def test_what_was_sent_is_told_in_one_form(arm, rig):
    """Set-points by the robot's own names, as demonstrations hold them."""
    told = rig.record(JointTrajectory, '/widowx/command')
    assert rig.until(lambda: len(told) > 5)
    names = load_embodiment('widowx').axis_names
    assert all(tuple(msg.joint_names[:6]) == names for msg in told)
    assert 0.0 <= rig.now() - seconds_from_msg(told[-1].header.stamp) < 2.0
    sent = {tuple(joints(command)) for command in arm.commands}
    said = {tuple(np.float32(msg.points[0].positions[:6]).astype(float)) for msg in told}
    assert said & sent, 'the driver was told something else'


def test_the_state_tells_the_latency_of_the_chain(arm, rig):
    """From the camera stamp to the first command that used the chunk."""
    stamp = rig.now() - 0.05
    arm.chunk(stamp=stamp)
    assert rig.until(lambda: arm.states[-1].chunk_sequence == 1)
    assert 0.05 < arm.states[-1].chain_latency <= rig.now() - stamp
    assert arm.states[-1].control_rate > 0.0


def test_silence_after_a_chunk_becomes_a_hold(arm, rig):
    """No new plan: the arm comes to rest, stays, and says why."""
    arm.chunk()
    assert rig.until(lambda: arm.states[-1].control_source == 'policy')
    assert rig.until(lambda: arm.states[-1].fault == 'no_chunk')
    assert arm.states[-1].control_source == 'hold'
    assert rig.until(
        lambda: np.ptp([joints(command) for command in arm.commands[-6:]], axis=0).max() < 1e-6
    )


@pytest.mark.parametrize(
    'spoil',
    [
        {'robot': 'franka'},
        {'data': np.full((8, 7), np.nan)},
        {'names': tuple('abcdefg')},
        {'action_space': 'base_twist'},
        {'step_duration_s': -1.0},
    ],
    ids=['robot', 'nan', 'names', 'space', 'step'],
)
def test_a_bad_chunk_is_dropped_and_counted(arm, rig, spoil):
    """The arm does not move; the counter and /diagnostics show it."""
    before = joints(arm.commands[-1])
    arm.chunk(**spoil)
    assert rig.until(lambda: arm.states[-1].chunks_dropped == 1)
    rig.spin(0.2)
    assert np.allclose(joints(arm.commands[-1]), before, atol=1e-4)
    arm.node.diagnostics.publish()
    values = arm.node.diagnostics._statuses['controller'].values
    assert any(value.key.startswith('dropped') for value in values)


def test_a_chunk_whose_data_do_not_fill_it_is_dropped(arm, rig):
    """Horizon times names must be the number of values."""
    names = list(load_embodiment('widowx').action_names('eef_delta'))
    msg = ActionChunkMsg(robot='widowx', action_space='eef_delta', names=names, horizon=3)
    msg.data = array.array('d', [0.0] * 5)
    arm.chunks.publish(msg)
    assert rig.until(lambda: arm.node._bad_chunks == 1)


def test_a_second_publisher_stops_the_commands(arm, rig):
    """Two publishers pull an arm to and fro: ours falls silent, names the other, and resumes."""
    other = rig.probe.create_publisher(JointGroupCommand, GROUP, 1)
    assert rig.until(lambda: arm.states[-1].fault == 'second_publisher', 5.0)
    assert 'probe' in arm.states[-1].fault_reason
    count = len(arm.commands)
    rig.spin(0.3)
    assert len(arm.commands) <= count + 1
    rig.probe.destroy_publisher(other)
    assert rig.until(lambda: arm.states[-1].fault != 'second_publisher', 5.0)
    assert rig.until(lambda: len(arm.commands) > count + 5)


def test_activation_refuses_beside_another_publisher(rig):
    """Better not to start than to fight."""
    rig.add(SimNode, 'widowx')
    rig.probe.create_publisher(JointGroupCommand, GROUP, 1)
    node = rig.add(ControllerNode, 'widowx', start=False)
    rig.until(lambda: node.count_publishers(GROUP))
    assert not node.start()
    assert '/probe on /wx250s/commands/joint_group already commands the robot' in node.last_error


def test_modes_are_set_by_service(arm, rig):
    """IDLE sends nothing; an unknown mode is refused with the list."""
    client = rig.probe.create_client(SetMode, '/widowx/set_mode')
    assert client.wait_for_service(timeout_sec=5.0)

    def ask(mode):
        future = client.call_async(SetMode.Request(mode=mode, reason='test'))
        assert rig.until(future.done)
        return future.result()

    assert ask(ControlState.MODE_IDLE).accepted
    rig.spin(0.1)
    count = len(arm.commands)
    rig.spin(0.3)
    assert len(arm.commands) == count
    refused = ask(9)
    assert not refused.accepted
    assert 'POLICY' in refused.message
    assert ask(ControlState.MODE_POLICY).mode == ControlState.MODE_POLICY
    assert rig.until(lambda: len(arm.commands) > count)


def test_deactivation_in_motion_brakes_and_holds(arm, rig, monkeypatch):
    """The last commands come to rest inside the acceleration limit."""
    sent = []
    send = arm.node._driver.send

    def keep(command, opening):  # nobody can listen during a transition: it has the thread
        sent.append(command.positions)
        send(command, opening)

    arm.chunk()
    assert rig.until(lambda: arm.states[-1].control_source == 'policy')
    rig.spin(0.3)
    monkeypatch.setattr(arm.node._driver, 'send', keep)
    arm.node.trigger_deactivate()
    rig.spin(0.3)
    speed = np.diff(np.array(sent), axis=0) * 60.0
    assert np.abs(speed[-1]).max() < 1e-3
    limits = load_embodiment('widowx').maker_limits
    assert (np.abs(np.diff(speed, axis=0) * 60.0) <= limits.acceleration * 1.001).all()


def test_no_driver_is_said_and_nothing_is_sent(rig):
    """Without the driver's service there is no profile, so no command may flow."""
    states = rig.record(ControlState, '/widowx/control_state', STATUS)
    rig.add(ControllerNode, 'widowx')
    assert rig.until(lambda: states and states[-1].fault == 'driver_not_ready')
    assert 'xsarm_control.launch.py' in states[-1].fault_reason
    assert states[-1].commands_sent == 0


def test_an_unknown_robot_is_refused(rig):
    """The message lists the robots there are."""
    from rclpy.parameter import Parameter

    node = ControllerNode(parameter_overrides=[Parameter('robot', value='r2d2')])
    rig.nodes.append(node)
    assert not node.start()
    assert "unknown robot 'r2d2'; known are airbot, franka" in node.last_error


def test_after_a_driver_restart_the_arm_is_taken_up_where_it_is(arm, rig):
    """While the driver was away the arm moved; the first command afterwards is its new pose."""
    arm.node._driver._modes.waiting_for = 'the driver restarts'
    arm.chunk()
    rig.spin(0.5)
    count = len(arm.commands)
    moved = load_embodiment('widowx').home + np.array([0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    arm.sim._driver._profile.set_goal(moved)
    assert rig.until(lambda: abs(arm.sim._world.joint_positions[0] - 0.3) < 0.01)
    assert len(arm.commands) <= count + 1
    rig.spin(0.3)
    arm.node._driver._modes.waiting_for = ''
    assert rig.until(lambda: len(arm.commands) > count + 3)
    assert joints(arm.commands[count + 1])[0] == pytest.approx(0.3, abs=0.02)
