"""One run of the graph: start it, give the instruction, watch, and stop it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.node import Node
from std_msgs.msg import String
from univla_core.embodiment import load_embodiment
from univla_core.errors import UnivlaError

from univla_ros.demo.command_log import CommandLog
from univla_ros.demo.observer import RobotObserver
from univla_ros.demo.stall_watch import StallWatch
from univla_ros.graph import NodeDescription
from univla_ros.graph import build_graph
from univla_ros.graph import build_together
from univla_ros.node_executor import node_executor
from univla_ros.qos import EVENT
from univla_ros.supervisor import Supervisor

Progress = Callable[[str, float], None]


class DemoError(UnivlaError):
    """The graph did not come up or broke down; the message holds the end of the log."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What to run.

    Attributes:
        robots: One robot, or several that follow the first one's policy.
        instructions: The task of each robot, as its simulation judges it.
        duration_s: Time that is recorded [s].
        posture: Where arms begin.
    """

    robots: tuple[str, ...]
    instruction: str
    policy: str
    checkpoint: str
    decoder: str
    device: str
    duration_s: float
    seed: int
    log_directory: Path
    posture: str = 'home'

    @property
    def name(self) -> str:
        """Short name for files."""
        return '+'.join(self.robots)

    def graph(self) -> tuple[NodeDescription, ...]:
        """The nodes of this run."""
        given = {
            'sim': 'true',
            'policy': self.policy,
            'checkpoint': self.checkpoint,
            'decoder': self.decoder,
            'device': self.device,
            'seed': str(self.seed),
            'posture': self.posture,
        }
        if len(self.robots) == 1:
            return build_graph(self.robots[0], given)
        del given['decoder']
        return build_together({**given, 'robots': ','.join(self.robots)})


def play(scenario: Scenario, progress: Progress) -> dict[str, RobotObserver]:
    """Run a scenario and return what was observed of each robot.

    The graph gets a ROS domain of its own, so it neither hears nor disturbs others.

    Raises:
        DemoError: If a node ends or the graph does not come up.
    """
    graph = scenario.graph()  # an unknown name is said before anything runs
    domain = int(os.environ.get('UNIVLA_DEMO_DOMAIN', random.randint(1, 100)))
    os.environ['ROS_DOMAIN_ID'] = str(domain)
    rclpy.init(domain_id=domain)
    try:
        node = rclpy.create_node('demo_observer')
        robots = [load_embodiment(name) for name in scenario.robots]
        observers = {r.name: RobotObserver(node, r, scenario.robots[0]) for r in robots}
        path = scenario.log_directory / 'commands.npz'
        with (
            StallWatch() as watch,
            CommandLog(path, scenario.robots) as log,
            Supervisor(graph, scenario.log_directory) as supervisor,
        ):
            begin, end = _Director(node, supervisor, scenario, observers, progress).run()
            stalls = watch.stop()
            for name, commands in log.stop().items():
                observers[name].commands = commands.between(begin, end)
                observers[name].stalls = stalls
        return observers
    finally:
        rclpy.try_shutdown()


class _Director:
    """Leads one run from start-up to the end of the record."""

    def __init__(
        self,
        node: Node,
        supervisor: Supervisor,
        scenario: Scenario,
        observers: dict[str, RobotObserver],
        progress: Progress,
    ) -> None:
        self._supervisor, self._scenario = supervisor, scenario
        self._observers, self._progress = observers, progress
        self._executor = node_executor()
        self._executor.add_node(node)
        self._node = node
        self._topic = f'/{scenario.robots[0]}/instruction'
        self._publisher = node.create_publisher(String, self._topic, EVENT)

    def run(self) -> tuple[float, float]:
        """Wait for the graph, say the instruction, record; returns when [s, system time]."""
        listeners = sum('instruction' in _hears(n) for n in self._scenario.graph())
        self._until(
            lambda: (
                self._node.count_subscribers(self._topic) >= listeners
                and all(observer.ready for observer in self._observers.values())
            ),
            120.0,
            'starting the nodes',
        )
        self._publisher.publish(String(data=self._scenario.instruction))
        self._until(self._all_moving, 30.0, 'waiting for the first plan')
        for observer in self._observers.values():
            observer.forget()
        begin = time.time()
        while time.time() - begin < self._scenario.duration_s:
            self._spin()
            self._progress('running', (time.time() - begin) / self._scenario.duration_s)
        for observer in self._observers.values():
            observer.recording = False
        return begin, time.time()

    def _all_moving(self) -> bool:
        return all(
            observer.state is not None and observer.state.control_source == 'policy'
            for observer in self._observers.values()
        )

    def _until(self, condition: Callable[[], bool], patience_s: float, what: str) -> None:
        begin = time.monotonic()
        while not condition():
            self._spin()
            waited = time.monotonic() - begin
            self._progress(what, min(1.0, waited / 12.0))
            if waited > patience_s:
                raise DemoError(f'{what} took more than {patience_s:.0f} s\n{self._logs()}')

    def _spin(self, duration_s: float = 0.1) -> None:
        until = time.monotonic() + duration_s
        while time.monotonic() < until:
            self._executor.spin_once(timeout_sec=0.02)
        ended = self._supervisor.ended()
        if ended:
            raise DemoError(f'{ended[0].name} ended unexpectedly\n{_tail(ended[0].log)}')

    def _logs(self) -> str:
        return '\n'.join(f'{n.name}: {_tail(n.log, 3)}' for n in self._supervisor.running)


def _hears(description: NodeDescription) -> tuple[str, ...]:
    """Nodes that subscribe to the instruction once they are configured."""
    hearing = ('policy_node', 'controller_node', 'monitor_node', 'sim_node')
    return ('instruction',) if description.executable in hearing else ()


def _tail(log: Path | None, lines: int = 12) -> str:
    if log is None or not log.is_file():
        return '(no log)'
    return '\n'.join(log.read_text(errors='replace').splitlines()[-lines:]) or '(empty log)'
