"""The graph of one robot as a user runs it: real nodes as processes, and the bench beside them."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.node import Node
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import UnivlaError
from univla_sim.tasks import default_instruction

from univla_ros.bench.clock import SettableClock
from univla_ros.bench.watch import Ear
from univla_ros.bench.watch import RobotWatch
from univla_ros.bench.watch import be_realtime
from univla_ros.bench.watch import wait_until
from univla_ros.graph import NodeDescription
from univla_ros.graph import build_graph
from univla_ros.graph import build_together
from univla_ros.supervisor import Supervisor

#: Time that a graph gets to come up, also on a busy machine [s].
START_S = 120.0


class BenchError(UnivlaError):
    """The graph did not come up or broke down; the message says which node's log tells why."""


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What to run.

    Attributes:
        robots: One robot, or several that follow the first one's policy.
        log_directory: Folder for the nodes' logs.
        params_file: YAML with parameters that override all others; empty for none.
        settable_clock: Whether the graph lives in time that the bench publishes.
    """

    robots: tuple[str, ...]
    log_directory: Path
    policy: str = 'univla'
    checkpoint: str = 'untrained'
    device: str = 'auto'
    seed: int = 0
    params_file: str = ''
    settable_clock: bool = False

    @property
    def instruction(self) -> str:
        """The task that the robots get from the start."""
        return default_instruction(load_embodiment(self.robots[0]))

    def nodes(self) -> tuple[NodeDescription, ...]:
        """The nodes of the graph."""
        given = {
            'sim': 'true',
            'policy': self.policy,
            'checkpoint': self.checkpoint,
            'device': self.device,
            'seed': str(self.seed),
            'instruction': self.instruction,
            'params_file': self.params_file,
            'use_sim_time': str(self.settable_clock).lower(),
        }
        if len(self.robots) == 1:
            nodes = build_graph(self.robots[0], given)
        else:
            nodes = build_together({**given, 'robots': ','.join(self.robots)})
        return tuple(_without_clock(node) for node in nodes)


def _without_clock(node: NodeDescription) -> NodeDescription:
    """The simulation leaves `/clock` to the bench."""
    if 'publish_clock' not in node.parameters:
        return node
    return dataclasses.replace(node, parameters={**node.parameters, 'publish_clock': False})


def own_domain() -> int:
    """A ROS domain for the graph alone, so that no real robot hears what is injected.

    A fresh one for this process, or `UNIVLA_BENCH_DOMAIN`; never the user's `ROS_DOMAIN_ID`.
    """
    given = os.environ.get('UNIVLA_BENCH_DOMAIN', '')
    domain = int(given) if given.isdigit() else random.randint(1, 100)
    os.environ['ROS_DOMAIN_ID'] = str(domain)
    return domain


def end_in_order(number: int, frame: object) -> None:
    """Signal handler: leave every `with`, so that nodes that were stopped are woken and ended."""
    raise KeyboardInterrupt


class LiveGraph:
    """Starts the graph and hears it until the end.

    Args:
        options: What to run.

    Attributes:
        watches: What is heard, by robot.
    """

    def __init__(self, options: GraphOptions) -> None:
        self.options = options
        self._nodes = options.nodes()

    def __enter__(self) -> LiveGraph:
        signal.signal(signal.SIGTERM, end_in_order)
        domain = own_domain()
        be_realtime()  # the middleware's threads inherit it: nobody waits for a lock they hold
        rclpy.init(domain_id=domain)
        self.node: Node = rclpy.create_node('bench')
        be_realtime(0)
        robots = [load_embodiment(name) for name in self.options.robots]
        leader = robots[0].name
        self.watches = {robot.name: RobotWatch(self.node, robot, leader) for robot in robots}
        self._ear = Ear(self.node)
        self.clock = SettableClock(self.node) if self.options.settable_clock else None
        self.supervisor = Supervisor(self._nodes, self.options.log_directory)
        try:
            self.supervisor.__enter__()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.supervisor.stop()
        finally:
            self._leave()

    @property
    def watch(self) -> RobotWatch:
        """What is heard of the first robot."""
        return self.watches[self.options.robots[0]]

    @property
    def embodiment(self) -> Embodiment:
        """The first robot."""
        return self.watch.embodiment

    def wait(self, condition: Callable[[], object], patience_s: float, what: str) -> None:
        """Wait until a condition holds.

        Raises:
            BenchError: If it does not in time, or a node ends meanwhile.
        """
        deadline = time.monotonic() + patience_s
        while not wait_until(condition, 0.5):
            self.check_alive()
            if time.monotonic() > deadline:
                said = self.watch.said
                state = f'{said.source}, {said.fault or "no fault"} {said.reason}' if said else '-'
                raise BenchError(
                    f'{what} took more than {patience_s:.0f} s ({state}); '
                    f'the logs in {self.options.log_directory} may tell why'
                )

    def check_alive(self) -> None:
        """See that every node runs.

        Raises:
            BenchError: If one has ended.
        """
        ended = self.supervisor.ended()
        if ended:
            raise BenchError(f'{ended[0].name} ended unexpectedly; see {ended[0].log}')

    def _leave(self) -> None:
        if self.clock is not None:
            self.clock.close()
        self._ear.close()
        rclpy.try_shutdown()
