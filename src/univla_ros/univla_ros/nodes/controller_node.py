"""Execute action chunks on one robot: the only publisher of driver commands."""

from __future__ import annotations

import array
import dataclasses
import sys
import time
from dataclasses import dataclass
from typing import Any

from std_msgs.msg import String
from univla_control.command import Command
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.controller import ChunkController
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import DriverError
from univla_core.parameters import parameter

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import ControlState
from univla_msgs.srv import SetMode
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.conversions import header_to_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.drivers import load_driver
from univla_ros.qos import EVENT
from univla_ros.qos import PLAN
from univla_ros.qos import STATUS
from univla_ros.robot_state import RobotState
from univla_ros.robot_state import RobotStateSource
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run

_MODES = {mode.name.lower(): mode for mode in Mode}


@dataclass(frozen=True, kw_only=True)
class ControllerConfig(ControlConfig):
    """Parameters of `controller_node`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot to drive, a file in config/robots')
    driver_namespace: str = parameter(
        '', "Namespace of the robot driver's topics; empty takes the robot's YAML"
    )
    initial_mode: str = parameter('policy', 'Mode on activation', choices=tuple(_MODES))
    state_rate_hz: float = parameter(20.0, 'Rate of control_state [Hz]', low=1.0, high=200.0)
    realtime_priority: int = parameter(
        20, 'SCHED_FIFO priority asked for; 0 stays at normal priority', low=0, high=99
    )


class ControllerNode(SuiteNode):
    """Subscribes to `action_chunk` and the robot's state, publishes driver commands.

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
        self._opening: float | None = None
        self._reported_chunk = 0
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
        self._controller = ChunkController(self._embodiment, self.config)
        self._driver = load_driver(self, self._embodiment)
        self._state_publisher = self.create_lifecycle_publisher(
            ControlState, 'control_state', STATUS
        )
        self._source = RobotStateSource(self, self._embodiment, self._on_state, self._on_bad_state)
        self._entities = [
            self.create_subscription(ActionChunkMsg, 'action_chunk', self._on_chunk, PLAN),
            self.create_subscription(String, 'instruction', self._on_instruction, EVENT),
        ]
        self._service = self.create_service(SetMode, 'set_mode', self._on_set_mode)

    def activate(self) -> None:
        """Prepare the driver and start the control loop.

        Raises:
            DriverError: If another node publishes on a command topic.
        """
        self._refuse_other_publishers()
        self._driver.activate(self._period_s)
        self._controller.activate(self.now(), _MODES[self.config.initial_mode])
        self._own_timers = [
            self.create_timer(self._period_s, self._tick),
            self.create_timer(1.0 / self.config.state_rate_hz, self._publish_state),
            self.create_timer(0.5, self._look_for_other_publishers),
        ]

    def deactivate(self) -> None:
        """Brake within the limits and say the safe command last: stay here, zero twist."""
        for timer in self._own_timers:
            self.destroy_timer(timer)
        self._brake()
        command = self._controller.deactivate(self.now())
        if command is not None and not self._driver.waiting_for and not self._other_publishers:
            self._driver.send(command, self._opening)
        self._driver.deactivate()
        self._publish_state()

    def cleanup(self) -> None:
        """Release driver, subscriptions and service."""
        self._driver.close()
        self._source.close()
        for subscription in self._entities:
            self.destroy_subscription(subscription)
        self.destroy_service(self._service)
        self.destroy_lifecycle_publisher(self._state_publisher)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last_tick < 0.5 * self._period_s:
            return  # a timer that catches up: commands stay a period apart
        self._last_tick = now
        if self._driver.waiting_for or self._other_publishers:
            self._held_back = True
            return
        if self._held_back:  # the robot may be anywhere now: begin at its measured pose
            self._held_back = False
            self._controller.activate(self.now(), self._controller.mode)
        command = self._controller.step(self.now())
        if command is None:
            return
        self._driver.send(command, self._opening)
        self._command = command
        self.commands += 1
        if command.chunk_sequence != self._reported_chunk:
            self._publish_state()

    def _brake(self, patience_s: float = 2.0) -> None:
        self._controller.set_mode(Mode.HOLD, self.now())
        for _ in range(int(patience_s / self._period_s)):
            if self._controller.at_rest or self._held_back:
                return
            self._tick()
            time.sleep(self._period_s)

    def _on_state(self, state: RobotState) -> None:
        if state.opening is not None:
            self._opening = state.opening
        if self.is_active:
            stamp = state.stamp if state.stamp > 0.0 else self.now()
            self._controller.on_joint_state(stamp, state.axes, self._opening)

    def _on_bad_state(self, reason: str) -> None:
        self._bad_states += 1
        self.warn(reason)

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

    def _on_set_mode(self, request: SetMode.Request, response: SetMode.Response) -> Any:
        if request.mode not in list(Mode):
            known = ', '.join(f'{mode.value} {mode.name}' for mode in Mode)
            response.message = f'mode {request.mode} is not one of {known}'
        else:
            mode = Mode(request.mode)
            self._controller.set_mode(mode, self.now())
            self.get_logger().info(f'{mode.name}, asked for by {request.reason or "a client"}')
            response.accepted = True
        response.mode = int(self._controller.mode)
        return response

    def _refuse_other_publishers(self) -> None:
        others = self._driver.other_publishers()
        if others:
            raise DriverError(
                f'{", ".join(others)} already commands the robot; stop it first, two publishers '
                'would pull the robot to and fro'
            )

    def _look_for_other_publishers(self) -> None:
        """Stop sending while someone else commands the robot; resume from the measured pose."""
        crowded = any(self.count_publishers(topic) > 1 for topic in self._driver.command_topics)
        others = self._driver.other_publishers() if crowded else []
        if others and not self._other_publishers:
            self.get_logger().error(
                f'{", ".join(others)} commands the robot too; holding until it stops'
            )
        self._other_publishers = others

    def _publish_state(self) -> None:
        status = self._controller.status(self.now())
        self._reported_chunk = status.chunk_sequence
        msg = ControlState(
            header=header_to_msg(self.now()),
            mode=int(status.mode),
            control_source=status.source,
            fault=status.fault,
            fault_reason=status.fault_reason,
            speed_scale=1.0,
            robot=self._embodiment.name,
            instruction=status.instruction,
            chunk_sequence=status.chunk_sequence,
            latent_sequence=status.latent_sequence,
            chunk_step=status.chunk_step,
            observation_age=status.observation_age,
            chunk_age=status.chunk_age,
            joint_state_age=status.joint_state_age,
            plan_latency=status.plan_latency,
            decode_latency=status.decode_latency,
            chain_latency=status.chain_latency,
            control_rate=status.control_rate,
            limit_use=status.limit_use,
            commands_sent=self.commands,
            chunks_received=status.chunks_received + self._bad_chunks,
            chunks_dropped=status.chunks_dropped + self._bad_chunks,
            joint_names=list(self._embodiment.axis_names),
        )
        self._name_own_faults(msg)
        if self._command is not None:
            msg.command_position = array.array('d', self._command.positions.tolist())
            msg.command_velocity = array.array('d', self._command.velocities.tolist())
        self._state_publisher.publish(msg)

    def _name_own_faults(self, msg: ControlState) -> None:
        if self._other_publishers:
            msg.fault = 'second_publisher'
            msg.fault_reason = f'{", ".join(self._other_publishers)} commands the robot too'
            msg.control_source = ControlState.SOURCE_NONE
        elif self._driver.waiting_for:
            msg.fault, msg.fault_reason = 'driver_not_ready', self._driver.waiting_for
            msg.control_source = ControlState.SOURCE_NONE

    def _report(self) -> None:
        if not self.is_active:
            self.diagnostics.set('controller', STALE, 'not active')
            return
        status = self._controller.status(self.now())
        values = {
            'rate [Hz]': status.control_rate,
            'limit use': status.limit_use,
            'commands': self.commands,
            'bad chunks': self._bad_chunks,
            'bad joint states': self._bad_states,
            **{f'dropped: {reason}': count for reason, count in status.dropped.items()},
        }
        text = f'{status.mode.name}, {status.source}'
        level = WARN if status.fault else OK
        self.diagnostics.set('controller', level, status.fault_reason or text, values)
        waiting = self._driver.waiting_for
        if self._other_publishers:
            others = ', '.join(self._other_publishers)
            self.diagnostics.set('driver', ERROR, f'second publisher: {others}')
        else:
            self.diagnostics.set('driver', WARN if waiting else OK, waiting or 'commanded')


def with_driver_namespace(embodiment: Embodiment, namespace: str) -> Embodiment:
    """The same robot behind a driver in another namespace; empty changes nothing."""
    if not namespace:
        return embodiment
    return dataclasses.replace(embodiment, driver={**embodiment.driver, 'namespace': namespace})


def main() -> None:
    """Run the node."""
    sys.exit(run(ControllerNode))


if __name__ == '__main__':
    main()
