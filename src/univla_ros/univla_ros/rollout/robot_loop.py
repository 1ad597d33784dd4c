"""One robot's controller, driver adapter and simulated driver, joined by function calls."""

from __future__ import annotations

import weakref
from collections import Counter
from collections import deque
from typing import Any
from typing import cast

from rclpy.node import Node
from univla_control.body_clearance import CollisionModel
from univla_control.command import Command
from univla_control.controller import ChunkController
from univla_control.health import CHAIN
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.errors import DriverError
from univla_core.fault import HEALTHY
from univla_sim.world import World

from univla_ros.drivers import load_driver
from univla_ros.drivers.driver import driver_topic
from univla_ros.nodes.controller_node import ControllerConfig
from univla_ros.nodes.controller_node import collision_model
from univla_ros.robot_state import RobotState
from univla_ros.robot_state import RobotStateSource
from univla_ros.rollout.local_node import LocalBus
from univla_ros.rollout.local_node import LocalNode
from univla_ros.rollout.observer import Observer
from univla_ros.rollout.virtual_time import VirtualTime
from univla_ros.sim_drivers import load_sim_driver

#: Order of what is due at one instant; pictures and plans come between physics and control.
PHYSICS_RANK, PICTURE_RANK, PLAN_RANK, CONTROL_RANK, STATUS_RANK = range(5)
#: Driver and physics updates of the simulation node [Hz].
PHYSICS_RATE_HZ = 100.0
#: Time that a driver gets to set its modes before commands flow [s].
PREPARATION_S = 1.0

_collisions: weakref.WeakKeyDictionary[World, Any] = weakref.WeakKeyDictionary()


class RobotLoop:
    """What `controller_node` and `sim_node` do for one episode, without either.

    Args:
        embodiment: The robot.
        world: Its world, just reset.
        time: The clock; `start` puts everything on it.
        observer: Hears of states, commands and the controller's status.

    Attributes:
        controller: The chunk controller, with the parameters that the graph gives it.
        states: Measured states, the newest last, as many as `decoder_node` keeps.
        commands: How many commands were sent.
        faults: Ticks with each fault of the controller.
        held_back: Ticks in which each bound held the command back.
        bus: What the drivers speak on.
        decoder_says: What the decoder's heartbeat tells.
    """

    def __init__(
        self, embodiment: Embodiment, world: World, time: VirtualTime, observer: Observer | None
    ) -> None:
        self.embodiment, self._world = embodiment, world
        self._time, self._observer = time, observer
        config = ControllerConfig(
            robot=embodiment.name, control_rate_hz=embodiment.control_rate_hz
        )
        self._period_s = 1.0 / config.control_rate_hz
        self._state_rate_hz = config.state_rate_hz
        self.bus = LocalBus(time)
        robot = cast(Node, LocalNode(self.bus, 'sim_node'))
        node = cast(Node, LocalNode(self.bus, 'controller_node', _remappings(embodiment)))
        self._sim = load_sim_driver(robot, embodiment, world)
        self._driver = load_driver(node, embodiment)
        self._source = RobotStateSource(
            node, embodiment, self._on_state, self._on_bad_state, self._on_jump
        )
        self.controller = ChunkController(embodiment, config, _collision(embodiment, world))
        self.states: deque[RobotState] = deque(maxlen=400)
        self.decoder_says = HEALTHY
        self.commands = 0
        self.faults: Counter[str] = Counter()
        self.held_back: Counter[str] = Counter()
        self._opening: float | None = None
        self._reported: tuple[Any, ...] = ()

    def prepare(self) -> None:
        """Set the driver up, for which `PREPARATION_S` passes before the episode begins.

        Raises:
            DriverError: If it does not get ready.
        """
        self._driver.activate(self._period_s)
        self._time.run(PREPARATION_S, lambda: False)
        if self._driver.waiting_for:
            raise DriverError(f'{self.embodiment.name}: {self._driver.waiting_for}')

    def start(self, instruction: str) -> None:
        """Begin to simulate and to command, from the first measured state on."""
        self.controller.activate(self._time.now)
        self.controller.set_instruction(instruction, self._time.now)
        self._sim.publish_state()
        duration = 1.0 / PHYSICS_RATE_HZ
        self._time.every(duration, PHYSICS_RANK, lambda: self._sim.advance(duration))
        self._time.every(self._period_s, CONTROL_RANK, self._tick, at_once=True)
        if self._observer is not None:
            self._time.every(1.0 / self._state_rate_hz, STATUS_RANK, self._tell_status)

    def on_chunk(self, chunk: ActionChunk) -> str | None:
        """Hand a chunk to the controller; why it was dropped, or None."""
        return self.controller.on_chunk(chunk, self._time.now)

    def _tick(self) -> None:
        now, controller = self._time.now, self.controller
        for node in CHAIN:
            said = self.decoder_says if node == 'decoder' else HEALTHY
            controller.watch.heartbeats.hear(node, now, said)
        command = controller.step(now)
        if command is not None:
            self._send(command)
        if controller.fault.name:
            self.faults[controller.fault.name] += 1
        present = (
            controller.mode,
            controller.source,
            controller.fault.name,
            controller.chunk_sequence,
        )
        if present != self._reported and self._observer is not None:
            self._tell_status()
        self._reported = present

    def _send(self, command: Command) -> None:
        self._driver.send(command, self._opening)
        self.commands += 1
        if command.held_back:
            self.held_back[command.held_back] += 1
        if self._observer is not None:
            self._observer.on_command(command)

    def _on_state(self, state: RobotState) -> None:
        if state.opening is not None:
            self._opening = state.opening
        self.states.append(state)
        self.controller.on_joint_state(state.stamp, state.axes, self._opening)
        if self._observer is None:
            return
        moving = self._world.joint_velocities if self.embodiment.kind == 'arm' else state.axes
        self._observer.on_joint_state(state.stamp, state.axes, moving, state.opening)
        if state.base_pose is not None:
            self._observer.on_base_pose(state.stamp, *state.base_pose)

    def _on_jump(self, state: RobotState) -> None:
        self.controller.on_jump(self._time.now, state.axes)

    def _on_bad_state(self, reason: str) -> None:
        self.controller.watch.on_bad_joint_state(reason)
        self.bus.complaints[reason] += 1

    def _tell_status(self) -> None:
        assert self._observer is not None
        now = self._time.now
        self._observer.on_control_status(now, self.controller.status(now))


def _remappings(embodiment: Embodiment) -> dict[str, str]:
    """Where the driver tells the state, as the graph remaps it."""
    if embodiment.kind == 'arm':
        return {'joint_states': driver_topic(embodiment, 'joint_states')}
    return {'odom': driver_topic(embodiment, 'odometry_topic')}


def _collision(embodiment: Embodiment, world: World) -> CollisionModel | None:
    """The model of the controller node; made once per world, as it keeps no state."""
    if world not in _collisions:
        _collisions[world] = collision_model(embodiment)
    return cast('CollisionModel | None', _collisions[world])
