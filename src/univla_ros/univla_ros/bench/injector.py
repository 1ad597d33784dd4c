"""Does the harm: speaks on the graph's topics, calls its services, signals its processes."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import TwistStamped
from rclpy.publisher import Publisher
from sensor_msgs.msg import Joy
from std_msgs.msg import String
from std_srvs.srv import Trigger
from univla_sim.tasks import instruction_for

from univla_msgs.msg import ActionChunk
from univla_msgs.msg import ControlState
from univla_msgs.msg import LatentAction
from univla_msgs.srv import SetMode
from univla_ros.bench.live_graph import BenchError
from univla_ros.bench.live_graph import LiveGraph
from univla_ros.bench.person import Person
from univla_ros.bench.repeater import Repeater
from univla_ros.bench.watch import wait_until
from univla_ros.command_recorder import command_tap
from univla_ros.conversions import header_to_msg
from univla_ros.qos import EVENT
from univla_ros.qos import PLAN

#: Rate of messages that are repeated: as a gamepad, or a sender gone wild [Hz].
_RATE_HZ = 50.0
_PATIENCE_S = 5.0
_OTHER_TASK = {'arm': ('reach', 'blue'), 'base': ('drive', 'blue')}


@dataclass(frozen=True)
class Injection:
    """One act of harm.

    Attributes:
        at: When it was done [s, system time].
        began: When the fault began, if the injector knows better [s, system time].
    """

    at: float
    began: float | None = None


class Injector:
    """Breaks and mends one robot of a live graph; every method that breaks says when it did.

    Args:
        graph: The running graph.
        robot: One of its robots; the first one if empty.
    """

    def __init__(self, graph: LiveGraph, robot: str = '') -> None:
        self._graph, self._node = graph, graph.node
        self._watch = graph.watches[robot or graph.options.robots[0]]
        self._embodiment = self._watch.embodiment
        self._space = f'/{self._embodiment.name}'
        leader = f'/{graph.options.robots[0]}'
        self._publishers: dict[str, Publisher] = {}
        self._clients: dict[str, Any] = {}
        self._repeaters: dict[str, Repeater] = {}
        self._person = Person(self._watch)
        self._intruder: Publisher | None = None
        for kind, name, qos, space in (
            (LatentAction, 'latent_action', PLAN, leader),
            (ActionChunk, 'action_chunk', PLAN, self._space),
            (String, 'sim/fault', EVENT, self._space),
            (String, 'instruction', EVENT, leader),
            (TwistStamped, 'teleop/twist', EVENT, self._space),
            (Joy, 'joy', EVENT, self._space),
        ):
            self._publishers[name] = self._node.create_publisher(kind, f'{space}/{name}', qos)
        for kind, name in (
            (Trigger, 'estop'),
            (Trigger, 'reset_estop'),
            (Trigger, 'sim/reset'),
            (SetMode, 'set_mode'),
        ):
            self._clients[name] = self._node.create_client(kind, self._name(name))

    # --- what the robot itself does wrong -------------------------------------------------

    def break_robot(self, fault: str) -> Injection:
        """Let the simulation fail, or heal it with an empty name; returns when it obeyed.

        Raises:
            BenchError: If it does not.
        """
        known = self._watch.fault_times[-1:]
        asked = time.time()
        self._publishers['sim/fault'].publish(String(data=fault))
        if not wait_until(lambda: self._watch.fault_times[-1:] != known, _PATIENCE_S, 0.001):
            raise BenchError(f'sim_node did not take up {fault or "health"!r}; is it running?')
        return Injection(asked, self._watch.fault_times[-1])

    # --- messages gone wrong ---------------------------------------------------------------

    def send_latent(self, spoil: Callable[[LatentAction], None]) -> Injection:
        """Repeat the newest latent action, spoilt, until `hush`."""
        msg = copy.deepcopy(self._watch.latent)
        spoil(msg)
        return self._send('latent_action', msg)

    def send_chunk(self, spoil: Callable[[ActionChunk], None]) -> Injection:
        """Repeat the newest action chunk, spoilt, until `hush`."""
        msg = copy.deepcopy(self._watch.chunk)
        spoil(msg)
        return self._send('action_chunk', msg)

    def _send(self, name: str, msg: Any) -> Injection:
        def say() -> None:
            now = self._node.get_clock().now().nanoseconds * 1e-9
            msg.header = header_to_msg(now, msg.header.frame_id)
            msg.sequence += 1
            self._publishers[name].publish(msg)

        self._repeaters[name] = Repeater(say, _RATE_HZ)
        return Injection(self._repeaters[name].begun)

    def hush(self) -> Injection:
        """Stop every repeated message; the fault begins when the next one is due."""
        at = time.time()
        due = [repeater.stop() for repeater in self._repeaters.values()]
        self._repeaters.clear()
        return Injection(at, max(due, default=at))

    # --- a person --------------------------------------------------------------------------

    def steer(self) -> Injection:
        """Stream a twist as a person who steers, until `hush`."""
        self._person.begin()
        return self._by_hand('teleop/twist', self._person.twist)

    def steer_by_gamepad(self) -> Injection:
        """Hold the dead-man button and push a stick, until `let_go` or `hush`."""
        self._person.begin()
        self._person.pressed = False
        self._by_hand('joy', self._person.joy)
        time.sleep(0.1)  # a button counts from when it was seen open
        self._person.pressed = True
        return Injection(time.time())

    def let_go(self) -> Injection:
        """Open the dead-man button, the stick still pushed; the gamepad goes on speaking."""
        self._person.pressed = False
        at = time.time()
        self._say('joy', self._person.joy())
        return Injection(at)

    def _by_hand(self, name: str, message: Callable[[], Any]) -> Injection:
        self._repeaters[name] = Repeater(lambda: self._say(name, message()), _RATE_HZ)
        return Injection(self._repeaters[name].begun)

    def _say(self, name: str, msg: Any) -> None:
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publishers[name].publish(msg)

    def change_task(self) -> Injection:
        """Give another task than the graph started with."""
        return self._tell(instruction_for(*_OTHER_TASK[self._embodiment.kind]))

    def restore_task(self) -> Injection:
        """Give the task again that the graph started with."""
        return self._tell(self._graph.options.instruction)

    def _tell(self, instruction: str) -> Injection:
        at = time.time()
        self._publishers['instruction'].publish(String(data=instruction))
        return Injection(at)

    def set_mode(self, mode: int) -> Injection:
        """Ask for a mode.

        Raises:
            BenchError: If it is refused.
        """
        request = SetMode.Request(mode=mode, reason='univla bench')
        at, answer = self._call('set_mode', request)
        if not answer.accepted:
            raise BenchError(f'set_mode {mode} was refused: {answer.message}')
        return Injection(at)

    def trigger(self, service: str) -> Injection:
        """Call `estop`, `reset_estop` or `sim/reset`.

        Raises:
            BenchError: If it is refused.
        """
        at, answer = self._call(service, Trigger.Request())
        if not answer.success:
            raise BenchError(f'{service} was refused: {answer.message}')
        return Injection(at)

    def let_policy_drive(self) -> None:
        """End whatever a person asked for."""
        self.hush()
        if self._watch.said is not None and self._watch.said.mode == ControlState.MODE_ESTOP:
            self.trigger('reset_estop')
        self.set_mode(ControlState.MODE_POLICY)

    # --- processes -------------------------------------------------------------------------

    def largest_gap(self) -> float:
        """Longest silence of what is being said steadily [s]: a busy computer delays it, too."""
        return max((repeater.largest_gap for repeater in self._repeaters.values()), default=0.0)

    def signal(self, number: int, *executables: str) -> Injection:
        """Send a signal to nodes of the robot; none named means all but the controller."""
        at = time.time()
        for running in self._graph.supervisor.running:
            name = running.description.executable
            own = running.description.namespace == self._space or name == 'policy_node'
            if own and (name in executables or not (executables or name == 'controller_node')):
                running.process.send_signal(number)
        return Injection(at)

    def kill(self, executable: str) -> Injection:
        """End a node without a word (SIGKILL)."""
        return self.signal(signal.SIGKILL, executable)

    def restart(self, executable: str) -> None:
        """Start a killed node again."""
        own = self._space if executable != 'policy_node' else ''
        self._graph.supervisor.restart(executable, own)

    # --- the driver's topic and the clock --------------------------------------------------

    def intrude(self) -> Injection:
        """Publish on the driver's command topic too: the last command, again and again."""
        kind, topic, _ = command_tap(self._embodiment)
        msg = self._watch.foreign = copy.deepcopy(self._watch.command)
        at = time.time()
        self._intruder = self._node.create_publisher(kind, topic, 10)
        intruder = self._intruder
        self._repeaters['intruder'] = Repeater(lambda: intruder.publish(msg), _RATE_HZ)
        return Injection(at)

    def leave(self) -> None:
        """Leave the driver's command topic."""
        self.hush()
        if self._intruder is not None:
            self._node.destroy_publisher(self._intruder)
            self._intruder = None

    def set_clock(self, seconds: float) -> Injection:
        """Let `/clock` jump.

        Raises:
            BenchError: If the graph does not live in the bench's time.
        """
        if self._graph.clock is None:
            raise BenchError('this graph does not follow /clock; start it with settable_clock')
        return Injection(self._graph.clock.jump(seconds))

    def _call(self, service: str, request: Any) -> tuple[float, Any]:
        client = self._clients[service]
        if not client.wait_for_service(timeout_sec=_PATIENCE_S):
            raise BenchError(f'nobody offers {self._name(service)}')
        at = time.time()
        future = client.call_async(request)
        if not wait_until(future.done, _PATIENCE_S, 0.001):
            raise BenchError(f'{self._name(service)} did not answer within {_PATIENCE_S:.0f} s')
        return at, future.result()

    def _name(self, name: str) -> str:
        return f'{self._space}/{name}'
