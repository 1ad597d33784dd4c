"""Each simulated driver has its vendor's quirks, shown to the real adapter over real DDS."""

from __future__ import annotations

import array
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rclpy
from control_msgs.action import GripperCommand
from geometry_msgs.msg import Twist
from interbotix_xs_msgs.msg import JointGroupCommand
from interbotix_xs_msgs.msg import JointSingleCommand
from interbotix_xs_msgs.srv import OperatingModes
from interbotix_xs_msgs.srv import TorqueEnable
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from std_msgs.msg import Float64MultiArray
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory
from trajectory_msgs.msg import JointTrajectoryPoint
from univla_control.command import Command
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_ros.drivers import load_driver
from univla_ros.drivers.driver import driver_topic
from univla_ros.robot_state import RobotState
from univla_ros.robot_state import RobotStateSource
from univla_ros.sim_drivers import load_sim_driver
from univla_sim.world import World

PERIOD_S = 1.0 / 60.0
ARM_NAMES = ['waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate']
FORWARD_CONTROLLER = {
    'profile': 'forward_controller',
    'state_joint_names': [f'arm_joint{i}' for i in range(1, 7)],
    'state_gripper_joint': 'arm_eef_gripper_joint',
}


class Bench:
    """A real adapter on one node, the simulated driver on another, the clock on the wall."""

    def __init__(self, rig, robot: str, **options: Any) -> None:
        self.rig = rig
        body = load_embodiment(robot)
        self.body = dataclasses.replace(body, driver={**body.driver, **options})
        self.world = World(self.body)
        self.robot = rclpy.create_node('robot')
        self.sim = load_sim_driver(self.robot, self.body, self.world)
        state = 'joint_states' if self.body.kind == 'arm' else 'odometry_topic'
        topic, own = driver_topic(self.body, state), 'joint_states'
        own = 'joint_states' if self.body.kind == 'arm' else 'odom'
        self.node = rclpy.create_node(
            'controller_node', cli_args=['--ros-args', '-r', f'{own}:={topic}']
        )
        self.driver = load_driver(self.node, self.body)
        self.states: list[RobotState] = []
        self.problems: list[str] = []
        RobotStateSource(self.node, self.body, self.states.append, self.problems.append)
        self._last = time.monotonic()
        self.robot.create_timer(0.01, self._advance)
        for node in (self.robot, self.node):
            rig.executor.add_node(node)

    def _advance(self) -> None:
        now = time.monotonic()
        self.sim.advance(min(now - self._last, 0.1))
        self._last = now

    def ready(self) -> Bench:
        """Activate the adapter and wait until commands can flow and the state is heard."""
        self.driver.activate(PERIOD_S)
        assert self.rig.until(lambda: not self.driver.waiting_for), self.driver.waiting_for
        assert self.rig.until(lambda: self.states and self._matched())
        return self

    def _matched(self) -> bool:
        return all(p.get_subscription_count() for p in self.driver._publishers)

    def stream(
        self, duration_s: float, command: Callable[[float], Command], watch: Any = None
    ) -> None:
        """Send `command(t)` every period; then call `watch(t)`."""
        start = time.monotonic()
        timer = None

        def tick() -> None:
            t = time.monotonic() - start
            self.driver.send(command(t), self.states[-1].opening)
            if watch:
                watch(t)

        timer = self.node.create_timer(PERIOD_S, tick)
        self.rig.spin(duration_s)
        self.node.destroy_timer(timer)

    def grip(self, opening: float, duration_s: float) -> None:
        """Hold the arm at home and ask for an opening."""
        self.stream(duration_s, lambda t: arm_command(self.body.home, opening=opening))

    @property
    def opening(self) -> float:
        """True opening of the simulated gripper."""
        gripper = self.body.gripper
        return gripper.opening(self.world.gripper_finger_position * gripper.state_scale)

    def close(self) -> None:
        self.driver.close()
        for node in (self.robot, self.node):
            self.rig.executor.remove_node(node)
            node.destroy_node()


@pytest.fixture
def bench(rig):
    benches: list[Bench] = []

    def make(robot: str, **options: Any) -> Bench:
        benches.append(Bench(rig, robot, **options))
        return benches[-1]

    yield make
    for built in benches:
        built.close()


def arm_command(positions: Any, velocities: Any = None, opening: float | None = None) -> Command:
    positions = np.array(positions, dtype=float)
    velocities = np.zeros_like(positions) if velocities is None else np.array(velocities, float)
    return Command(
        time=0.0,
        positions=positions,
        velocities=velocities,
        accelerations=np.zeros_like(velocities),
        gripper_opening=opening,
        twist=None,
        source='policy',
        limit_use=0.0,
        chunk_sequence=1,
        chunk_step=0,
    )


def twist_command(v: float, w: float) -> Command:
    return dataclasses.replace(arm_command([], [v, w]), twist=(v, w))


def wave(home: np.ndarray, amplitude: float = 0.25, time_s: float = 2.0) -> Callable:
    """There and back in `time_s`, from rest to rest: position and velocity at t."""

    def at(t: float) -> Command:
        phase = 2.0 * math.pi * min(t, time_s) / time_s
        place = 0.5 * amplitude * (1.0 - math.cos(phase))
        speed = 0.5 * amplitude * math.sin(phase) * 2.0 * math.pi / time_s
        way = np.sign(-home + 1e-9)  # towards zero, away from the limits
        return arm_command(home + place * way, speed * way, opening=1.0)

    return at


ROBOTS = [(name, {}) for name in robot_names()] + [
    ('airbot', {'profile': 'airbot_ros1'}),
    ('airbot', FORWARD_CONTROLLER),
    ('franka', {'state_joint_names': [f'left_joint{i}' for i in range(1, 8)]}),
    ('mobile_base', {'stamped': False}),
    ('widowx', {'gripper_mode': 'current_based_position', 'namespace': '/left'}),
]


@pytest.mark.parametrize(('robot', 'options'), ROBOTS)
def test_adapter_and_driver_move_the_robot(bench, robot, options):
    """Smooth motion: the joints are where a command of the last half second sent them."""
    built = bench(robot, **options)
    if built.body.kind == 'base':
        drive(built.ready())
        return
    built.ready()
    time_s = 1.0 if options else 2.0
    home, errors = built.body.home, []
    motion = wave(home, 0.125 * time_s, time_s)
    sent: list[np.ndarray] = []

    def watch(t: float) -> None:
        sent.append(motion(t).positions)
        apart = np.abs(np.array(sent[-30:]) - built.world.joint_positions).max(axis=1)
        errors.append(apart.min())

    built.stream(time_s + 0.3, motion, watch)
    assert max(errors) < 0.02
    assert np.ptp(sent, axis=0).max() > 0.1 * time_s, 'it was asked to move at all'
    assert np.abs(built.states[-1].axes - home).max() < 0.02
    assert len(errors) > 20 * time_s
    assert built.problems == []


def drive(built: Bench) -> None:
    """0.2 m/s and 0.5 rad/s for 2 s: 0.4 m along an arc of 1 rad, then it stands."""
    built.stream(2.0, lambda t: twist_command(0.2, 0.5))
    assert built.states[-1].axes == pytest.approx([0.2, 0.5], abs=0.03)
    _, _, heading = built.states[-1].base_pose
    assert heading == pytest.approx(1.0, abs=0.15)


# --- Interbotix -----------------------------------------------------------------------------


def test_without_its_profile_the_widowx_lags_by_two_seconds(bench, rig):
    """Straight to the driver, as a naive client would: each target takes 2 s."""
    built = bench('widowx')
    publisher = rig.probe.create_publisher(JointGroupCommand, '/wx250s/commands/joint_group', 1)
    assert rig.until(publisher.get_subscription_count)
    home = built.body.home
    goal = home + np.array([0.4, 0, 0, 0, 0, 0])
    publisher.publish(JointGroupCommand(name='arm', cmd=array.array('f', goal.tolist())))
    rig.spin(1.0)
    assert 0.1 < built.world.joint_positions[0] < 0.3, 'half way after half of the time'
    assert rig.until(lambda: abs(built.world.joint_positions[0] - 0.4) < 0.01, 3.0)


def test_with_the_adapters_profile_it_follows_within_a_few_periods(bench):
    built = bench('widowx').ready()
    home = built.body.home
    start = time.monotonic()
    reached: list[float] = []

    def watch(t: float) -> None:
        if abs(built.sim._profile.setpoints[0] - 0.05) < 1e-6:
            reached.append(time.monotonic() - start)

    goal = home + np.array([0.05, 0, 0, 0, 0, 0])
    built.stream(0.6, lambda t: arm_command(goal), watch)
    assert reached and reached[0] < 0.3, 'set-point there in some periods, not in two seconds'
    assert built.world.joint_positions[0] == pytest.approx(0.05, abs=0.01)


def test_widowx_joint_states_hold_names_and_positions_only(bench, rig):
    bench('widowx')
    heard = rig.record(JointState, '/wx250s/joint_states')
    assert rig.until(lambda: len(heard) > 3)
    msg = heard[-1]
    assert msg.name == [*ARM_NAMES, 'gripper', 'left_finger', 'right_finger']
    assert len(msg.position) == 9
    assert not msg.velocity and not msg.effort
    left, right = msg.position[7:]
    assert left == pytest.approx(0.037, abs=1e-3) and right == -left


@pytest.mark.parametrize('mode', ['pwm', 'current_based_position'])
def test_the_widowx_gripper_closes_and_opens_fully(bench, mode):
    built = bench('widowx', gripper_mode=mode).ready()
    built.grip(0.0, 1.3)
    assert built.opening < 0.03
    built.grip(1.0, 1.3)
    assert built.opening > 0.97
    assert built.states[-1].opening == pytest.approx(built.opening, abs=0.05)


def test_a_closed_pwm_gripper_on_nothing_lets_the_motor_rest(bench, rig):
    built = bench('widowx').ready()
    heard = rig.record(JointSingleCommand, '/wx250s/commands/joint_single')
    built.grip(0.0, 1.6)
    assert heard[0].cmd == -250.0
    assert heard[-1].cmd == 0.0
    assert len(heard) < 20, 'no chatter at the stop'


def test_a_pwm_gripper_stops_half_way(bench):
    built = bench('widowx').ready()
    built.grip(0.5, 0.8)
    assert built.opening == pytest.approx(0.5, abs=0.2)


def test_the_widowx_survives_what_the_real_one_would_execute(bench, rig):
    built = bench('widowx').ready()
    home = built.body.home
    topics = ((JointGroupCommand, 'joint_group'), (JointSingleCommand, 'joint_single'))
    group, single = (rig.publisher(k, f'/wx250s/commands/{t}') for k, t in topics)
    nan = float('nan')
    for name, values in (('arm', [nan] * 6), ('arm', [0.0] * 3), ('leg', [1.0] * 6)):
        group.publish(JointGroupCommand(name=name, cmd=array.array('f', values)))
    single.publish(JointSingleCommand(name='gripper', cmd=nan))
    client = rig.probe.create_client(OperatingModes, '/wx250s/set_operating_modes')
    assert rig.until(client.service_is_ready)
    request = OperatingModes.Request(
        cmd_type='group', name='arm', mode='position', profile_type='time', profile_velocity=-5
    )
    answer = client.call_async(request)
    assert rig.until(answer.done)
    rig.spin(0.3)
    np.testing.assert_allclose(built.world.joint_positions, home, atol=0.02)


def test_torque_off_lets_the_arm_fall_and_on_holds_it_there(bench, rig):
    built = bench('widowx').ready()
    client = rig.probe.create_client(TorqueEnable, '/wx250s/torque_enable')
    assert rig.until(client.service_is_ready)

    def switch(on: bool) -> None:
        request = TorqueEnable.Request(cmd_type='group', name='arm', enable=on)
        answer = client.call_async(request)
        assert rig.until(answer.done)

    switch(False)
    rig.spin(0.6)
    fallen = built.world.joint_positions
    assert np.abs(fallen - built.body.home).max() > 0.1
    switch(True)
    rig.spin(0.6)
    assert np.abs(built.world.joint_positions - built.body.home).max() > 0.1


# --- ros2_control ---------------------------------------------------------------------------


def test_franka_joint_states_are_best_effort(bench, rig):
    bench('franka')
    kinds = {}
    for kind in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT):
        kinds[kind] = rig.record(
            JointState, '/joint_states', QoSProfile(depth=5, reliability=kind)
        )
    assert rig.until(lambda: len(kinds[ReliabilityPolicy.BEST_EFFORT]) > 5)
    assert kinds[ReliabilityPolicy.RELIABLE] == []
    names = kinds[ReliabilityPolicy.BEST_EFFORT][0].name
    fingers = ['fr3_finger_joint1', 'fr3_finger_joint2']
    assert names == [*(f'fr3_joint{i}' for i in range(1, 8)), *fingers]


def trajectory(names, points) -> JointTrajectory:
    msg = JointTrajectory(joint_names=list(names))
    for seconds, positions, velocities in points:
        point = JointTrajectoryPoint(positions=list(positions), velocities=list(velocities))
        point.time_from_start.sec = int(seconds)
        point.time_from_start.nanosec = int(1e9 * (seconds % 1.0))
        msg.points.append(point)
    return msg


def test_the_trajectory_controller_accepts_and_refuses_like_jazzys(bench, rig):
    built = bench('franka')
    publisher = rig.publisher(JointTrajectory, '/fr3_arm_controller/joint_trajectory')
    names, home = built.body.axis_names, built.body.home
    goal, rest, moving = home + 0.1, np.zeros(7), np.full(7, 0.1)
    wrong = [f'panda_joint{i}' for i in range(1, 8)]
    nan = np.full(7, np.nan)
    for bad in (
        trajectory(names, [(0.3, goal, moving)]),
        trajectory(wrong, [(0.3, goal, rest)]),
        trajectory(names[:3], [(0.3, goal[:3], rest[:3])]),
        trajectory(names, [(0.3, goal, rest), (0.2, goal, rest)]),
        trajectory(names, [(0.3, nan, rest)]),
        trajectory(names, [(0.3, goal, nan)]),
        trajectory(names, [(0.3, goal[:4], rest)]),
        trajectory(names, []),
    ):
        publisher.publish(bad)
        rig.spin(0.05)
    rig.spin(0.3)
    np.testing.assert_allclose(built.world.joint_positions, home, atol=0.02)
    backwards = trajectory(names[::-1], [(0.3, goal[::-1], rest)])  # any order of names will do
    publisher.publish(backwards)
    rig.spin(1.0)
    np.testing.assert_allclose(built.world.joint_positions, goal, atol=0.02)


def test_the_franka_gripper_follows_its_action(bench, rig):
    built = bench('franka').ready()
    assert rig.until(built.driver._gripper.server_is_ready)
    built.grip(0.0, 1.2)
    assert built.opening < 0.05
    built.grip(0.75, 1.2)
    assert built.opening == pytest.approx(0.75, abs=0.05)
    assert built.states[-1].opening == pytest.approx(0.75, abs=0.05)


def test_a_gripper_goal_that_is_not_finite_is_aborted(bench, rig):
    built = bench('franka')
    client = ActionClient(rig.probe, GripperCommand, '/franka_gripper/gripper_action')
    assert rig.until(client.server_is_ready)
    goal = GripperCommand.Goal()
    goal.command.position = float('nan')
    accepted = client.send_goal_async(goal)
    assert rig.until(accepted.done)
    result = accepted.result().get_result_async()
    assert rig.until(result.done)
    assert not result.result().result.reached_goal
    assert built.opening > 0.95
    client.destroy()


# --- AIRBOT ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'options',
    [{'profile': 'airbot_ros2_interface'}, {'profile': 'airbot_ros1'}, FORWARD_CONTROLLER],
)
def test_the_airbot_gripper_moves_and_is_heard_in_every_topic_profile(bench, options):
    built = bench('airbot', **options).ready()
    built.grip(0.0, 0.9)
    assert built.opening < 0.1
    assert built.states[-1].opening == pytest.approx(0.0, abs=0.1)
    built.grip(1.0, 0.9)
    assert built.opening > 0.9
    assert built.states[-1].opening == pytest.approx(1.0, abs=0.1)


def test_the_airbot_survives_bad_commands(bench, rig):
    built = bench('airbot', profile='airbot_ros1')
    home = built.body.home
    arm = rig.publisher(JointState, '/airbot_play/set_target_joint_q')
    gripper = rig.publisher(Float64, '/airbot_play/gripper/set_position')
    names = list(built.body.axis_names)
    for wrong, values in ((names, [float('nan')] * 6), (names[:2], [1.0] * 2), ([], [1.0] * 6)):
        arm.publish(JointState(name=wrong, position=values))
    gripper.publish(Float64(data=float('nan')))
    rig.spin(0.3)
    np.testing.assert_allclose(built.world.joint_positions, home, atol=0.02)


def test_the_forward_controller_survives_bad_commands(bench, rig):
    built = bench('airbot', **FORWARD_CONTROLLER)
    topic = '/arm_forward_position_controller/commands'
    publisher = rig.publisher(Float64MultiArray, topic)
    for values in ([float('nan')] * 7, [0.0] * 6, []):
        publisher.publish(Float64MultiArray(data=values))
    rig.spin(0.3)
    np.testing.assert_allclose(built.world.joint_positions, built.body.home, atol=0.02)


def test_the_sdk_profile_has_no_simulation_and_says_which_have(bench):
    with pytest.raises(ConfigError, match='airbot_ros2_interface, airbot_ros1'):
        bench('airbot', profile='airbot_py')


# --- bases ----------------------------------------------------------------------------------


def test_a_base_stops_by_itself_a_quarter_second_after_the_last_twist(bench, rig):
    built = bench('mobile_base').ready()
    built.stream(1.0, lambda t: twist_command(0.2, 0.0))
    place = built.states[-1].base_pose[0]
    rig.spin(0.15)
    assert built.states[-1].axes[0] == pytest.approx(0.2, abs=0.03), 'still within its patience'
    rig.spin(0.6)
    assert built.states[-1].axes[0] == pytest.approx(0.0, abs=0.02)
    assert built.states[-1].base_pose[0] - place < 0.2


def test_a_base_ignores_a_twist_that_is_not_finite(bench, rig):
    built = bench('mobile_base', stamped=False)
    publisher = rig.publisher(Twist, '/cmd_vel')
    bad = Twist()
    bad.linear.x = float('nan')
    publisher.publish(bad)
    rig.spin(0.2)
    assert np.isfinite(built.states[-1].axes).all()
    assert abs(built.states[-1].axes[0]) < 0.01


def test_odometry_names_its_frames(bench, rig):
    built = bench('mobile_base').ready()
    odometry, transforms = rig.record(Odometry, '/odom'), rig.record(TFMessage, '/tf')
    built.stream(0.5, lambda t: twist_command(0.1, 1.0))
    assert (odometry[0].header.frame_id, odometry[0].child_frame_id) == ('odom', 'base_link')
    (transform,) = transforms[-1].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ('odom', 'base_link')
    assert transform.transform.rotation.z > 0.05


# --- the world set back ---------------------------------------------------------------------


@pytest.mark.parametrize('robot', robot_names())
def test_a_reset_world_forgets_the_commands_before(bench, rig, robot):
    built = bench(robot).ready()
    if built.body.kind == 'base':
        built.stream(1.0, lambda t: twist_command(0.2, 0.0))
        rig.spin(0.1)  # what is still on its way arrives
        built.world.reset()
        rig.spin(0.2)
        assert abs(built.world.odometry.v) < 0.02
        return
    goal = built.body.home + 0.1
    built.stream(0.5, lambda t: arm_command(goal))
    rig.spin(0.3)
    built.world.reset()
    rig.spin(0.3)
    np.testing.assert_allclose(built.world.joint_positions, built.body.home, atol=0.02)
