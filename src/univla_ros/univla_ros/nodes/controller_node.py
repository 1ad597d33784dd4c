"""Execute action chunks on one robot: the only publisher of driver commands."""

from __future__ import annotations

import dataclasses
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_msgs.msg import String
from univla_control.command import Command
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.controller import ChunkController
from univla_control.envelope import CollisionModel
from univla_control.health import CHAIN
from univla_control.safety_limits import SafetySettings
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import DriverError
from univla_core.fault import Fault
from univla_core.parameters import config_from_mapping
from univla_core.parameters import parameter

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import ControlState
from univla_msgs.msg import Heartbeat
from univla_ros.control_report import control_state_to_msg
from univla_ros.control_report import report_controller
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.drivers import load_driver
from univla_ros.operator_inputs import OperatorInputs
from univla_ros.operator_services import OperatorServices
from univla_ros.qos import EVENT
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR
from univla_ros.qos import STATUS
from univla_ros.robot_state import RobotState
from univla_ros.robot_state import RobotStateSource
from univla_ros.sent_commands import SentCommands
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run
from univla_ros.transport import without_shared_memory


@dataclass(frozen=True, kw_only=True)
class ControllerConfig(ControlConfig):
    """Parameters of `controller_node`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot to drive, a file in config/robots')
    driver_namespace: str = parameter(
        '', "Namespace of the robot driver's topics; empty takes the robot's YAML"
    )
    initial_mode: str = parameter(
        'policy', 'Mode on activation', choices=('idle', 'policy', 'teleop', 'hold')
    )
    state_rate_hz: float = parameter(
        20.0,
        'Rate of control_state [Hz]; changes of mode, source and fault are told at once',
        low=1.0,
        high=200.0,
    )
    realtime_priority: int = parameter(
        20, 'SCHED_FIFO priority asked for; 0 stays at normal priority', low=0, high=99
    )
    collision_check: bool = parameter(
        True, 'Keep clear of the floor and of the own body; needs mujoco'
    )
    estop_lock_timeout_s: float = parameter(
        0.0,
        'Silence of estop_lock that stops the robot [s]; 0 does not require a lock',
        low=0.0,
        high=60.0,
    )
    joy_mapping: str = parameter('xbox', 'Gamepad: a file in config/teleop, or the path of one')
    joy_speed_mps: float = parameter(0.15, 'Speed at full stick [m/s]', low=0.001, high=1.0)
    joy_rotation_radps: float = parameter(0.8, 'Turning at full stick [rad/s]', low=0.01, high=3.0)
    joy_frame: str = parameter('base', 'Axes of the sticks', choices=('base', 'tool'))


class ControllerNode(SuiteNode):
    """Subscribes to `action_chunk`, the robot's state and a person's inputs; drives the robot.

    One timer at `control_rate_hz` asks the chunk controller for the next command and sends it.
    """

    config_type = ControllerConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('controller_node', **arguments)
        self._command: Command | None = None
        self._last_tick = 0.0
        self._held_back = False
        self._bad_chunks = 0
        self._bad_states = 0
        self._other_publishers: list[str] = []
        self._reported: tuple[Any, ...] = ()
        self.measured_opening: float | None = None
        self.commands = 0
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Load the robot, its driver adapter and the chunk controller, and subscribe.

        Raises:
            UnivlaError: If the robot or its driver are unknown or unusable.
        """
        self._embodiment = with_driver_namespace(
            load_embodiment(self.config.robot), self.config.driver_namespace
        )
        self._period_s = 1.0 / self.config.control_rate_hz
        self.ask_for_realtime(self.config.realtime_priority)
        collision = collision_model(self._embodiment) if self.config.collision_check else None
        self._controller = ChunkController(self._embodiment, self.config, collision)
        self._settings: SafetySettings = self.config
        self._driver = load_driver(self, self._embodiment)
        self._sent = SentCommands(self, self._embodiment)
        self._state_publisher = self.create_lifecycle_publisher(
            ControlState, 'control_state', STATUS
        )
        self._source = RobotStateSource(
            self, self._embodiment, self._on_state, self._on_bad_state, self._on_jump
        )
        self._operator = OperatorInputs(self, self._embodiment, self._controller, self.config)
        self._entities = [
            self.create_subscription(ActionChunkMsg, 'action_chunk', self._on_chunk, PLAN),
            self.create_subscription(String, 'instruction', self._on_instruction, EVENT),
            *(
                self.create_subscription(
                    Heartbeat, f'{node}/heartbeat', partial(self._on_heartbeat, node), SENSOR
                )
                for node in CHAIN
            ),
        ]
        self._services_of_operator = OperatorServices(self, self._controller)
        self.add_on_set_parameters_callback(self._on_parameters)

    def activate(self) -> None:
        """Prepare the driver and start the control loop.

        Raises:
            DriverError: If another node publishes on a command topic.
        """
        self._refuse_other_publishers()
        self._driver.activate(self._period_s)
        self._controller.activate(self.now(), Mode[self.config.initial_mode.upper()])
        self._own_timers = [
            self.create_timer(self._period_s, self._tick),
            self.create_timer(1.0 / self.config.state_rate_hz, self._publish_state),
            self.create_timer(0.025, self._look_around),
        ]

    def deactivate(self) -> None:
        """Brake within the limits and say the safe command last: stay here, zero twist."""
        for timer in self._own_timers:
            self.destroy_timer(timer)
        self._brake()
        command = self._controller.deactivate(self.now())
        if command is not None and not self._driver.waiting_for and not self._other_publishers:
            self._driver.send(command, self.measured_opening)
            self._sent.publish(command)
        self._driver.deactivate()
        self._publish_state()

    def cleanup(self) -> None:
        """Release driver, subscriptions and services."""
        self.remove_on_set_parameters_callback(self._on_parameters)
        self._driver.close()
        self._source.close()
        self._operator.close()
        for subscription in self._entities:
            self.destroy_subscription(subscription)
        self._services_of_operator.close()
        self.destroy_lifecycle_publisher(self._state_publisher)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last_tick < 0.5 * self._period_s:
            return  # a timer that catches up: commands stay a period apart
        self._last_tick = now
        if self._driver.waiting_for or (self._other_publishers and self._at_rest_or_arm()):
            self._held_back = True
            return
        if self._held_back:  # the robot may be anywhere now: begin at its measured pose
            self._held_back = False
            self._controller.activate(self.now(), self._controller.mode)
        command = self._controller.step(self.now())
        if command is not None:
            self._driver.send(command, self.measured_opening)
            self._sent.publish(command)
            self._command = command
            self.commands += 1
        status = self._controller
        present = (status.mode, status.source, status.fault.name, status.chunk_sequence)
        if present != self._reported:
            self._publish_state()

    def _at_rest_or_arm(self) -> bool:
        """An arm stops where it was told to be last; a base must be told to stop."""
        return self._embodiment.kind == 'arm' or self._controller.at_rest

    def _brake(self, patience_s: float = 2.0) -> None:
        self._controller.set_mode(Mode.HOLD, self.now())
        for _ in range(int(patience_s / self._period_s)):
            if self._controller.at_rest or self._held_back:
                return
            self._tick()
            time.sleep(self._period_s)

    def _on_state(self, state: RobotState) -> None:
        if state.opening is not None:
            self.measured_opening = state.opening
        if self.is_active:
            stamp = state.stamp if state.stamp > 0.0 else self.now()
            self._controller.on_joint_state(stamp, state.axes, self.measured_opening)

    def _on_jump(self, state: RobotState) -> None:
        self._controller.on_jump(self.now(), state.axes)

    def _on_bad_state(self, reason: str) -> None:
        self._bad_states += 1
        self._controller.watch.on_bad_joint_state(reason)
        self.warn(reason)

    def _on_heartbeat(self, node: str, msg: Heartbeat) -> None:
        fault = Fault() if msg.healthy else Fault(msg.fault or f'{node}_fault', msg.reason)
        self._controller.watch.heartbeats.hear(node, self.now(), fault)

    def _on_chunk(self, msg: ActionChunkMsg) -> None:
        if not self.is_active:
            return
        try:
            chunk = action_chunk_from_msg(msg)
        except ActionError as error:
            self._bad_chunks += 1
            self.warn(str(error))
            return
        reason = self._controller.on_chunk(chunk, self.now())
        if reason is not None:
            self.warn(f'chunk {msg.sequence} dropped: {reason}')

    def _on_instruction(self, msg: String) -> None:
        if msg.data.strip():
            self._controller.set_instruction(msg.data, self.now())

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Take over other limits, or refuse them with a reason."""
        names = {field.name for field in dataclasses.fields(SafetySettings)}
        given = {p.name: p.value for p in parameters if p.name in names}
        if not given:
            return SetParametersResult(successful=True)
        present = {name: getattr(self._settings, name) for name in names}
        try:
            settings = config_from_mapping(SafetySettings, {**present, **given}, 'parameters')
            self._controller.set_limits(settings)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings = settings
        return SetParametersResult(successful=True)

    def _refuse_other_publishers(self) -> None:
        others = self._driver.other_publishers()
        if others:
            raise DriverError(
                f'{", ".join(others)} already commands the robot; stop it first, two publishers '
                'would pull the robot to and fro'
            )

    def _look_around(self) -> None:
        """Stop while someone else commands the robot; resume from the measured pose."""
        self._operator.check_lock()
        crowded = any(self.count_publishers(topic) > 1 for topic in self._driver.command_topics)
        others = self._driver.other_publishers() if crowded else []
        if others and not self._other_publishers:
            self.get_logger().error(
                f'{", ".join(others)} commands the robot too; holding until it stops'
            )
        changed = others != self._other_publishers
        self._other_publishers = others
        text = f'{", ".join(others)} commands the robot too; stop it'
        self._controller.watch.outside = Fault('second_publisher', text) if others else Fault()
        if changed:
            self._publish_state()

    def _publish_state(self) -> None:
        controller = self._controller
        self._reported = (
            controller.mode,
            controller.source,
            controller.fault.name,
            controller.chunk_sequence,
        )
        msg = control_state_to_msg(
            controller.status(self.now()),
            self.now(),
            self._embodiment.axis_names,
            self._command,
            commands=self.commands,
            bad_chunks=self._bad_chunks,
            speed_scale=self._settings.speed_scale,
        )
        if self._other_publishers:
            msg.fault, msg.fault_reason = 'second_publisher', controller.watch.outside.reason
        elif self._driver.waiting_for:
            msg.fault, msg.fault_reason = 'driver_not_ready', self._driver.waiting_for
        if self._held_back:
            msg.control_source = ControlState.SOURCE_NONE
        self._state_publisher.publish(msg)

    def _report(self) -> None:
        if not self.is_active:
            for function in ('controller', 'safety', 'driver'):
                self.diagnostics.set(function, STALE, 'not active')
            return
        counts = {
            'commands': self.commands,
            'bad chunks': self._bad_chunks,
            'bad joint states': self._bad_states,
            'bad teleop inputs': self._controller.teleop.dropped,
        }
        status = self._controller.status(self.now())
        report_controller(self.diagnostics, status, self.config.control_rate_hz, counts)
        waiting = self._driver.waiting_for
        if self._other_publishers:
            others = ', '.join(self._other_publishers)
            self.diagnostics.set('driver', ERROR, f'second publisher: {others}')
        else:
            self.diagnostics.set('driver', WARN if waiting else OK, waiting or 'commanded')


def collision_model(embodiment: Embodiment) -> CollisionModel | None:
    """Distances between the shapes of an arm, None for a base.

    Raises:
        ConfigError: If mujoco, which measures them, is not installed.
    """
    if embodiment.kind != 'arm':
        return None
    try:
        from univla_sim.collision import CollisionGeometry
    except ImportError as error:
        raise ConfigError(
            f'collisions cannot be checked ({error}); pip install mujoco, or give '
            'collision_check:=false and keep the arm clear yourself'
        ) from error
    return CollisionGeometry(embodiment)


def with_driver_namespace(embodiment: Embodiment, namespace: str) -> Embodiment:
    """The same robot behind a driver in another namespace; empty changes nothing."""
    if not namespace:
        return embodiment
    return dataclasses.replace(embodiment, driver={**embodiment.driver, 'namespace': namespace})


def main() -> None:
    """Run the node; nobody who hangs shares a lock with its loop."""
    with without_shared_memory() as reason:
        if reason:
            print(f'controller_node: {reason}', file=sys.stderr)
        sys.exit(run(ControllerNode))


if __name__ == '__main__':
    main()
