"""Driver adapters speak each vendor's contract, message by message, over real DDS."""

from __future__ import annotations

import dataclasses
import math
import sys
from types import ModuleType
from types import SimpleNamespace
from typing import Any
from typing import ClassVar

import numpy as np
import pytest
import rclpy
from control_msgs.action import GripperCommand
from geometry_msgs.msg import Twist
from geometry_msgs.msg import TwistStamped
from hypothesis import given
from hypothesis import strategies as st
from interbotix_xs_msgs.msg import JointGroupCommand
from interbotix_xs_msgs.msg import JointSingleCommand
from interbotix_xs_msgs.srv import OperatingModes
from rclpy.action import ActionServer
from rclpy.action import GoalResponse
from rclpy.context import Context
from rclpy.qos import HistoryPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_msgs.msg import Float64
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory
from univla_control.command import Command
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.errors import DriverError
from univla_ros.drivers import load_driver
from univla_ros.drivers.interbotix import gripper_angle
from univla_ros.drivers.interbotix_modes import OperatingModeSetter

PERIOD_S = 1.0 / 60.0


def body(robot: str, **options: Any) -> Any:
    embodiment = load_embodiment(robot)
    return dataclasses.replace(embodiment, driver={**embodiment.driver, **options})


def command(positions: Any, velocities: Any = None, opening: float | None = None) -> Command:
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


@pytest.fixture
def node(rig):
    made = rclpy.create_node('controller_node', namespace='/lab')
    rig.executor.add_node(made)
    yield made
    rig.executor.remove_node(made)
    made.destroy_node()


class ModeService:
    """The part of an Interbotix driver that sets modes, and its joint states."""

    def __init__(self, rig, name: str = 'xs_sdk') -> None:
        self.node = rclpy.create_node(name)
        self.requests: list[OperatingModes.Request] = []
        self.node.create_service(OperatingModes, '/wx250s/set_operating_modes', self._on_modes)
        self.node.create_publisher(JointState, '/wx250s/joint_states', 10)
        rig.executor.add_node(self.node)
        self._rig, self._alive = rig, True

    def _on_modes(self, request, response):
        self.requests.append(request)
        return response

    def stop(self) -> None:
        if self._alive:
            self._alive = False
            self._rig.executor.remove_node(self.node)
            self.node.destroy_node()


@pytest.fixture
def start_driver(rig):
    """Starts driver nodes that end with the test."""
    services: list[ModeService] = []

    def start(name: str = 'xs_sdk') -> ModeService:
        services.append(ModeService(rig, name))
        return services[-1]

    yield start
    for service in services:
        service.stop()


def test_an_unknown_adapter_lists_the_known_ones(node):
    with pytest.raises(ConfigError, match='interbotix, ros2_control, airbot, twist'):
        load_driver(node, body('widowx', adapter='urscript'))


@pytest.mark.parametrize(
    ('robot', 'option', 'known'),
    [
        ('widowx', {'gripper_mode': 'torque'}, 'pwm, current_based_position'),
        ('airbot', {'profile': 'modbus'}, 'airbot_ros2_interface, airbot_ros1'),
    ],
)
def test_an_unknown_option_lists_the_known_ones(node, robot, option, known):
    with pytest.raises(ConfigError, match=known):
        load_driver(node, body(robot, **option))


@pytest.mark.parametrize(
    ('robot', 'key'),
    [
        ('widowx', 'group'),
        ('widowx', 'gripper'),
        ('widowx', 'gripper_pwm'),
        ('franka', 'arm_topic'),
        ('franka', 'gripper_action'),
    ],
)
def test_a_missing_option_is_named(node, robot, key):
    embodiment = load_embodiment(robot)
    options = {name: value for name, value in embodiment.driver.items() if name != key}
    with pytest.raises(ConfigError, match=f'driver.{key} is missing'):
        load_driver(node, dataclasses.replace(embodiment, driver=options))


# --- promises of every adapter --------------------------------------------------------------


def test_commands_are_reliable_newest_only_and_expire(rig, node):
    """A late command is worse than a lost one: six control periods and it is worthless."""
    driver = load_driver(node, body('franka'))
    driver.activate(PERIOD_S)
    topic = driver.command_topics[0]
    rig.until(lambda: rig.probe.get_publishers_info_by_topic(topic))
    (info,) = rig.probe.get_publishers_info_by_topic(topic)
    assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert info.qos_profile.lifespan.nanoseconds == pytest.approx(100e6, abs=2)
    (publisher,) = driver._publishers
    assert publisher.qos_profile.depth == 1
    assert publisher.qos_profile.history == HistoryPolicy.KEEP_LAST


@pytest.mark.parametrize('reliability', list(ReliabilityPolicy)[1:3])
def test_a_drivers_usual_subscription_hears_every_command(rig, node, reliability):
    """Lifespan is no matter of compatibility: volatile subscribers of both kinds match."""
    driver = load_driver(node, body('mobile_base'))
    qos = QoSProfile(depth=10, reliability=reliability)
    heard = rig.record(TwistStamped, '/cmd_vel', qos)
    driver.activate(PERIOD_S)
    assert rig.until(driver._publishers[0].get_subscription_count)
    for index in range(20):
        driver.send(command([], [0.01 * index, 0.0]), None)
        rig.spin(0.02)
    assert rig.until(lambda: len(heard) == 20)


def test_a_second_publisher_is_named(rig, node):
    driver = load_driver(node, body('mobile_base'))
    driver.activate(PERIOD_S)
    assert driver.other_publishers() == []
    rig.publisher_of_joystick = rig.probe.create_publisher(TwistStamped, '/cmd_vel', 1)
    assert rig.until(driver.other_publishers)
    assert driver.other_publishers() == ['/probe on /cmd_vel']


def test_a_second_publisher_of_the_same_name_is_found_before_and_after_activation(rig, node):
    driver = load_driver(node, body('mobile_base'))
    process = Context()  # a participant of its own, like another process
    rclpy.init(context=process)
    twin = rclpy.create_node('controller_node', namespace='/lab', context=process)
    twin.create_publisher(TwistStamped, '/cmd_vel', 1)
    assert rig.until(driver.other_publishers)
    driver.activate(PERIOD_S)
    assert rig.until(lambda: len(node.get_publishers_info_by_topic('/cmd_vel')) == 2)
    twin_found = ['another node that calls itself controller_node on /cmd_vel']
    assert rig.until(lambda: driver.other_publishers() == twin_found)
    twin.destroy_node()
    twin.destroy_node()
    process.shutdown()
    assert rig.until(lambda: not driver.other_publishers())


def test_activated_again_it_does_not_take_itself_for_another(rig, node):
    driver = load_driver(node, body('mobile_base'))
    for _ in range(3):
        driver.activate(PERIOD_S)
        assert len(node.get_publishers_info_by_topic('/cmd_vel')) == 1
        assert driver.other_publishers() == []
        driver.deactivate()
        assert node.get_publishers_info_by_topic('/cmd_vel') == []


def test_the_last_command_arrives_before_the_topic_is_left(rig, node):
    driver = load_driver(node, body('mobile_base'))
    heard = rig.record(TwistStamped, '/cmd_vel')
    driver.activate(PERIOD_S)
    assert rig.until(driver._publishers[0].get_subscription_count)
    driver.send(command([], [0.0, 0.0]), None)
    driver.deactivate()
    assert rig.until(lambda: heard)


def test_a_namespace_moves_a_whole_driver(node):
    assert load_driver(node, body('mobile_base', namespace='/left')).command_topics == (
        '/left/cmd_vel',
    )


# --- Interbotix -----------------------------------------------------------------------------


def test_interbotix_sets_the_profile_before_anything_flows(rig, node, start_driver):
    """The driver's default takes 2000 ms for every target; 60 Hz want 17 ms, half to speed up."""
    driver = load_driver(node, body('widowx'))
    assert driver.waiting_for
    driver.activate(PERIOD_S)
    rig.spin(0.5)
    assert 'xsarm_control.launch.py' in driver.waiting_for
    service = start_driver()
    assert rig.until(lambda: len(service.requests) == 1)
    assert driver.waiting_for, 'one confirmed mode is not enough'
    assert rig.until(lambda: not driver.waiting_for)
    arm, gripper = service.requests
    assert (arm.cmd_type, arm.name, arm.mode) == ('group', 'arm', 'position')
    assert (arm.profile_type, arm.profile_velocity, arm.profile_acceleration) == ('time', 17, 8)
    assert (gripper.cmd_type, gripper.name, gripper.mode) == ('single', 'gripper', 'pwm')
    rig.spin(0.6)
    assert len(service.requests) == 2, 'each change of mode lets the arm sag for a moment'


def test_interbotix_sends_float_radians_to_group_and_gripper_on_change(rig, node, start_driver):
    driver = load_driver(node, body('widowx'))
    service = start_driver()
    groups = rig.record(JointGroupCommand, '/wx250s/commands/joint_group')
    singles = rig.record(JointSingleCommand, '/wx250s/commands/joint_single')
    driver.activate(PERIOD_S)
    assert rig.until(lambda: not driver.waiting_for)
    assert rig.until(lambda: all(p.get_subscription_count() for p in driver._publishers))
    for opening in (0.0, 0.0, 0.0, 1.0, 1.0):
        driver.send(command([0.1, -0.2, 0.3, -0.4, 0.5, -0.6], opening=opening), 0.5)
        rig.spin(0.03)
    assert rig.until(lambda: len(groups) == 5 and len(singles) == 2)
    assert groups[0].name == 'arm'
    np.testing.assert_allclose(groups[0].cmd, [0.1, -0.2, 0.3, -0.4, 0.5, -0.6], atol=1e-7)
    assert [(s.name, s.cmd) for s in singles] == [('gripper', -250.0), ('gripper', 250.0)]
    assert len(service.requests) == 2


def test_interbotix_repeats_the_gripper_once_a_second(rig, node):
    driver = load_driver(node, body('widowx'))
    singles = rig.record(JointSingleCommand, '/wx250s/commands/joint_single')
    driver.activate(PERIOD_S)
    assert rig.until(lambda: all(p.get_subscription_count() for p in driver._publishers[1:]))
    for _ in range(125):  # 2.08 s at 60 Hz: at once, after 61 and after 122 ticks
        driver.send(command(np.zeros(6), opening=0.0), 0.5)
    rig.spin(0.2)
    assert driver._since_gripper == 125 - 1 - 61 - 61
    assert singles


def test_interbotix_asks_again_when_no_answer_comes(rig, node):
    """A request sent into a dying driver is lost; nothing may flow, and nothing may hang."""
    deaf = rclpy.create_node('deaf')
    asked = []
    deaf.create_service(
        OperatingModes, '/x/modes', lambda request, response: asked.append(request) or response
    )
    setter = OperatingModeSetter(node, '/x/modes', '/x/joint_states', patience_s=0.3)
    setter.start(OperatingModes.Request(mode='position'), OperatingModes.Request(mode='pwm'))
    assert rig.until(lambda: 'position' in setter.waiting_for)
    rig.spin(0.8)
    assert 'has not confirmed mode position' in setter.waiting_for
    rig.executor.add_node(deaf)
    assert rig.until(lambda: not setter.waiting_for)
    assert [r.mode for r in asked][-2:] == ['position', 'pwm']
    assert len(asked) >= 3
    rig.executor.remove_node(deaf)
    deaf.destroy_node()


def test_interbotix_sets_the_modes_again_after_the_driver_restarted(rig, node, start_driver):
    driver = load_driver(node, body('widowx'))
    first = start_driver()
    driver.activate(PERIOD_S)
    assert rig.until(lambda: not driver.waiting_for)
    first.stop()
    assert rig.until(lambda: 'is not there' in driver.waiting_for)
    second = start_driver()
    assert rig.until(lambda: not driver.waiting_for)
    assert [request.mode for request in second.requests] == ['position', 'pwm']


def test_interbotix_notices_a_driver_that_crashed_and_came_back_at_once(rig, node, start_driver):
    """The dead driver's service stays listed for seconds; the new joint states give it away."""
    driver = load_driver(node, body('widowx'))
    first = start_driver()
    driver.activate(PERIOD_S)
    assert rig.until(lambda: not driver.waiting_for)
    rig.spin(0.5)
    second = start_driver('xs_sdk_again')
    assert rig.until(lambda: len(second.requests) == 2)
    assert rig.until(lambda: not driver.waiting_for)
    assert len(first.requests) >= 2


@pytest.mark.parametrize(
    ('opening', 'measured', 'pwm'),
    [
        (1.0, 0.2, 250.0),  # open
        (1.0, 0.97, 250.0),
        (1.0, 0.985, 0.0),  # as good as open: no stall against the stop
        (0.0, 0.9, -250.0),  # close
        (0.0, 0.35, -250.0),  # an object in between: keep squeezing
        (0.05, 0.35, -250.0),
        (0.0, 0.0, 0.0),  # closed on nothing: spare the motor
        (0.5, 0.2, 250.0),
        (0.5, 0.8, -250.0),
        (0.5, 0.45, 0.0),  # dead band
        (0.0, None, -250.0),
        (1.0, None, 250.0),
    ],
)
def test_interbotix_gripper_by_pwm(node, opening, measured, pwm):
    driver = load_driver(node, body('widowx'))
    assert driver._gripper_command(opening, measured) == pwm


def test_interbotix_gripper_by_current_takes_the_motor_angle(rig, node, start_driver):
    driver = load_driver(node, body('widowx', gripper_mode='current_based_position'))
    service = start_driver()
    driver.activate(PERIOD_S)
    assert rig.until(lambda: not driver.waiting_for)
    assert service.requests[1].mode == 'current_based_position'
    # Law of cosines with sides 14, 24 and 37 mm: (196 + 1369 - 576) / 1036 = cos(0.30237).
    assert driver._gripper_command(1.0, None) == pytest.approx(1.26843, abs=1e-5)
    # Sides 14, 24 and 15 mm: (196 + 225 - 576) / 420 = cos(1.94878).
    assert driver._gripper_command(0.0, None) == pytest.approx(-0.37798, abs=1e-5)


@given(st.floats(0.0105, 0.0375))
def test_the_slider_crank_is_the_inverse_of_its_forward_law(finger):
    """Forward: horn's share along the slide plus the rod's, r sin a + sqrt(l² - r² cos² a)."""
    angle = gripper_angle(finger)
    rod = math.sqrt(0.024**2 - (0.014 * math.cos(angle)) ** 2)
    assert 0.014 * math.sin(angle) + rod == pytest.approx(finger, abs=1e-9)


# --- ros2_control ---------------------------------------------------------------------------


def test_a_trajectory_ends_at_rest_one_braking_time_later(node):
    """FR3: 9 rad/s² used. 0.9 rad/s brakes in 0.1 s over 45 mrad; slower joints take as long."""
    driver = load_driver(node, body('franka'))
    driver.activate(PERIOD_S)
    home = load_embodiment('franka').home
    velocities = [0.9, -0.45, 0, 0, 0, 0, 0]
    msg = driver.trajectory(command(home, velocities))
    assert msg.joint_names == [f'fr3_joint{i}' for i in range(1, 8)]
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (0, 0), 'zero means: start now'
    first, last = msg.points
    assert first.time_from_start.nanosec == pytest.approx(16_666_666, abs=1)
    assert last.time_from_start.nanosec == pytest.approx(116_666_666, abs=1)
    np.testing.assert_allclose(first.positions, home)
    np.testing.assert_allclose(first.velocities, velocities)
    np.testing.assert_allclose(np.array(last.positions) - home, [0.045, -0.0225, 0, 0, 0, 0, 0])
    assert not np.any(last.velocities), 'Jazzy rejects a trajectory that ends in motion'


@given(st.lists(st.floats(-1.0, 1.0), min_size=14, max_size=14))
def test_braking_never_leaves_the_limits_nor_brakes_too_hard(numbers):
    from univla_ros.drivers.ros2_control import Ros2ControlDriver

    embodiment = load_embodiment('franka')
    limits = embodiment.limits
    middle, half = (limits.lower + limits.upper) / 2, (limits.upper - limits.lower) / 2
    positions = middle + half * np.array(numbers[:7])
    velocities = limits.velocity * np.array(numbers[7:])
    driver = Ros2ControlDriver.__new__(Ros2ControlDriver)
    driver.embodiment, driver.options, driver._period_s = embodiment, {}, PERIOD_S
    first, last = driver.trajectory(command(positions, velocities)).points
    rest = np.array(last.positions)
    assert (rest >= limits.lower - 1e-9).all() and (rest <= limits.upper + 1e-9).all()
    braking = 1e-9 * (last.time_from_start.nanosec - first.time_from_start.nanosec)
    assert (np.abs(velocities) <= limits.acceleration * (braking + 1e-8)).all()


class GripperServer:
    """A gripper action server that may refuse."""

    def __init__(self, rig, refuse: int = 0) -> None:
        self.goals: list[GripperCommand.Goal] = []
        self._refuse = refuse
        self.server = ActionServer(
            rig.probe,
            GripperCommand,
            '/franka_gripper/gripper_action',
            self._execute,
            goal_callback=self._on_goal,
        )

    def _on_goal(self, goal):
        self._refuse -= 1
        self.goals.append(goal)
        return GoalResponse.REJECT if self._refuse >= 0 else GoalResponse.ACCEPT

    def _execute(self, handle):
        handle.succeed()
        return GripperCommand.Result(reached_goal=True)


def send_for(rig, driver, positions, openings):
    for opening in openings:
        driver.send(command(positions, opening=opening), None)
        rig.spin(PERIOD_S)


def test_the_gripper_goal_is_the_position_of_one_finger(rig, node):
    """Half open of 0.04 m a finger is 0.02 m; a ramp is one goal, not one per tick."""
    driver, home = load_driver(node, body('franka')), load_embodiment('franka').home
    gripper = GripperServer(rig)
    driver.activate(PERIOD_S)
    assert rig.until(driver._gripper.server_is_ready)
    send_for(rig, driver, home, [*np.linspace(1.0, 0.5, 12), *[0.5] * 12])
    assert [round(goal.command.position, 6) for goal in gripper.goals] == [0.02]
    assert gripper.goals[0].command.max_effort == 20.0
    driver.close()
    gripper.server.destroy()


def test_a_refused_gripper_goal_is_sent_again(rig, node):
    driver, home = load_driver(node, body('franka')), load_embodiment('franka').home
    gripper = GripperServer(rig, refuse=2)
    driver.activate(PERIOD_S)
    assert rig.until(driver._gripper.server_is_ready)
    send_for(rig, driver, home, [0.0] * 60)
    assert [goal.command.position for goal in gripper.goals] == [0.0] * 3
    driver.close()
    gripper.server.destroy()


def test_the_arm_is_commanded_without_a_gripper_server(rig, node):
    driver, home = load_driver(node, body('franka')), load_embodiment('franka').home
    heard = rig.record(JointTrajectory, '/fr3_arm_controller/joint_trajectory')
    driver.activate(PERIOD_S)
    assert rig.until(driver._publishers[0].get_subscription_count)
    send_for(rig, driver, home, [0.0] * 3)
    assert rig.until(lambda: len(heard) == 3)


# --- AIRBOT ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('profile', 'arm_topic', 'gripper_topic', 'kind', 'half_closed'),
    [
        ('airbot_ros2_interface', 'joint_cmd', 'gripper/state_cm', Bool, False),
        ('airbot_ros1', 'set_target_joint_q', 'gripper/set_position', Float64, 0.25),
    ],
)
def test_airbot_joint_state_profiles(
    rig, node, profile, arm_topic, gripper_topic, kind, half_closed
):
    driver = load_driver(node, body('airbot', profile=profile))
    arm = rig.record(JointState, f'/airbot_play/{arm_topic}')
    gripper = rig.record(kind, f'/airbot_play/{gripper_topic}')
    driver.activate(PERIOD_S)
    assert rig.until(lambda: all(p.get_subscription_count() for p in driver._publishers))
    send_for(rig, driver, np.arange(6) / 10, [1.0, 1.0, 0.25, 0.25])
    assert rig.until(lambda: len(arm) == 4 and len(gripper) == 2)
    assert arm[0].name == [f'joint{i}' for i in range(1, 7)]
    np.testing.assert_allclose(arm[0].position, np.arange(6) / 10)
    assert [msg.data for msg in gripper] == [1.0, half_closed]


def test_airbot_forward_controller_sends_seven_numbers_with_the_total_opening(rig, node):
    """Half open of 36 mm a finger is 36 mm in all; an opening nobody asked for stays."""
    driver = load_driver(node, body('airbot', profile='forward_controller'))
    heard = rig.record(Float64MultiArray, '/arm_forward_position_controller/commands')
    driver.activate(PERIOD_S)
    assert rig.until(driver._publishers[0].get_subscription_count)
    send_for(rig, driver, np.zeros(6), [0.5])
    driver.send(command(np.zeros(6)), measured_opening=0.25)
    assert rig.until(lambda: len(heard) == 2)
    np.testing.assert_allclose(heard[0].data, [0, 0, 0, 0, 0, 0, 0.036])
    assert heard[1].data[6] == pytest.approx(0.018)


class SdkArm:
    """The maker's client: same calls, same answers, a server that can go away."""

    made: ClassVar[list[SdkArm]] = []
    server_is_up: ClassVar[bool] = True

    def __init__(self, url: str, port: int) -> None:
        self.calls: list[tuple] = [('server', url, port)]
        self.connected = False
        SdkArm.made.append(self)

    def _call(self, *call: Any) -> None:
        self.connected = self.connected and SdkArm.server_is_up
        if not self.connected:
            raise RuntimeError('Not connected to the server.')
        self.calls.append(call)

    def connect(self) -> bool:
        self.calls.append(('connect',))
        self.connected = SdkArm.server_is_up
        return self.connected

    def disconnect(self) -> bool:
        self.calls.append(('disconnect',))
        return True

    def set_speed_profile(self, profile: str) -> None:
        self._call('speed', profile)

    def switch_mode(self, mode: str) -> bool:
        self._call('mode', mode)
        return True

    def servo_joint_pos(self, positions: list[float]) -> None:
        self._call('joints', *positions)

    def servo_eef_pos(self, width: list[float]) -> None:
        self._call('gripper', *width)

    def get_joint_pos(self) -> list[float]:
        self._call('get')
        return [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]

    def get_eef_pos(self) -> list[float]:
        return [0.018]


@pytest.fixture
def sdk(monkeypatch):
    module = ModuleType('airbot_py.arm')
    module.AIRBOTPlay = SdkArm
    module.SpeedProfile = SimpleNamespace(DEFAULT='default', FAST='fast')
    module.RobotMode = SimpleNamespace(SERVO_JOINT_POS='servo', PLANNING_POS='planning')
    monkeypatch.setitem(sys.modules, 'airbot_py', ModuleType('airbot_py'))
    monkeypatch.setitem(sys.modules, 'airbot_py.arm', module)
    SdkArm.made, SdkArm.server_is_up = [], True
    return SdkArm.made


def test_airbot_py_servos_and_tells_the_joints_on_a_topic(rig, node, sdk):
    driver = load_driver(node, body('airbot', profile='airbot_py', port=50052))
    states = rig.record(JointState, '/airbot_play/joint_states')
    driver.activate(PERIOD_S)
    assert driver.waiting_for == '' and driver.command_topics == ()
    driver.send(command([0.1, 0, 0, 0, 0, 0], opening=0.5), None)
    driver.send(command([0.2, 0, 0, 0, 0, 0], opening=0.5), None)
    assert rig.until(lambda: states)
    assert states[0].name == [*(f'joint{i}' for i in range(1, 7)), 'g2_joint']
    assert list(states[0].position) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.018]
    driver.deactivate()
    driver.close()
    calls = [call for call in sdk[0].calls if call != ('get',)]
    assert calls == [
        ('server', 'localhost', 50052),
        ('connect',),
        ('speed', 'default'),
        ('mode', 'servo'),
        ('joints', 0.1, 0, 0, 0, 0, 0),
        ('gripper', 0.036),
        ('joints', 0.2, 0, 0, 0, 0, 0),
        ('mode', 'planning'),
        ('disconnect',),
    ]


def test_airbot_py_waits_for_a_lost_server_and_takes_servo_mode_again(rig, node, sdk):
    driver = load_driver(node, body('airbot', profile='airbot_py'))
    driver.activate(PERIOD_S)
    SdkArm.server_is_up = False
    driver.send(command(np.zeros(6)), None)
    assert 'gone' in driver.waiting_for
    rig.spin(1.2)
    assert 'start airbot_server' in driver.waiting_for
    SdkArm.server_is_up = True
    assert rig.until(lambda: not driver.waiting_for)
    assert sdk[0].calls.count(('mode', 'servo')) == 2
    driver.deactivate()
    SdkArm.server_is_up = False
    rig.spin(1.2)
    SdkArm.server_is_up = True
    rig.spin(0.2)
    assert sdk[0].calls.count(('mode', 'servo')) == 2, 'an inactive adapter takes no mode'
    driver.close()


def test_airbot_py_without_its_server_or_its_sdk_refuses_to_activate(node, sdk, monkeypatch):
    driver = load_driver(node, body('airbot', profile='airbot_py'))
    SdkArm.server_is_up = False
    with pytest.raises(DriverError, match='start airbot_server first'):
        driver.activate(PERIOD_S)
    monkeypatch.delitem(sys.modules, 'airbot_py.arm')
    with pytest.raises(DriverError, match='airbot_py wheel that came with the arm'):
        driver.activate(PERIOD_S)


# --- bases ----------------------------------------------------------------------------------


def test_a_stamped_twist_names_the_base_frame(rig, node):
    driver = load_driver(node, body('mobile_base'))
    heard = rig.record(TwistStamped, '/cmd_vel')
    driver.activate(PERIOD_S)
    assert rig.until(driver._publishers[0].get_subscription_count)
    driver.send(command([], [0.2, -1.0]), None)
    assert rig.until(lambda: heard)
    (msg,) = heard
    assert (msg.twist.linear.x, msg.twist.angular.z) == (0.2, -1.0)
    assert msg.header.frame_id == 'base_link'
    assert abs(msg.header.stamp.sec - rig.now()) < 2


def test_a_base_of_an_older_distribution_gets_a_bare_twist(rig, node):
    driver = load_driver(node, body('mobile_base', stamped=False))
    heard = rig.record(Twist, '/cmd_vel')
    driver.activate(PERIOD_S)
    assert rig.until(driver._publishers[0].get_subscription_count)
    driver.send(command([], [0.2, -1.0]), None)
    assert rig.until(lambda: heard)
    assert (heard[0].linear.x, heard[0].angular.z) == (0.2, -1.0)
