"""A real executor for node tests: nodes, publishers and recorders on one DDS domain."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from univla_ros.node_executor import node_executor
from univla_ros.qos import SENSOR
from univla_ros.stale_memory import sweep_shared_memory
from univla_ros.suite_node import SuiteNode

from univla_msgs.msg import Heartbeat

PATIENT = {
    'realtime_priority': 0,
    'joint_state_timeout_s': 0.5,
    'heartbeat_timeout_s': 0.5,
    'teleop_timeout_s': 0.3,
    'clock_jump_s': 5.0,
}


class ChainStub:
    """Signs of life of a policy and a decoder that the test itself stands for.

    Attributes:
        said: Heartbeat of `policy` and of `decoder`; None falls silent.
    """

    def __init__(self, rig: Rig, robot: str) -> None:
        self.said: dict[str, Heartbeat | None] = {
            node: Heartbeat(healthy=True) for node in ('policy', 'decoder')
        }
        self._publishers = {
            node: rig.probe.create_publisher(Heartbeat, f'/{robot}/{node}/heartbeat', SENSOR)
            for node in self.said
        }
        rig.probe.create_timer(0.02, self._beat)

    def _beat(self) -> None:
        for node, said in self.said.items():
            if said is not None:
                self._publishers[node].publish(said)


class Rig:
    """Nodes under test beside a probe that publishes to them and records what they say."""

    def __init__(self) -> None:
        self.executor = node_executor()
        self.probe = rclpy.create_node('probe')
        self.executor.add_node(self.probe)
        self.nodes: list[SuiteNode] = []

    def add(self, kind: type[SuiteNode], robot: str, start: bool = True, **values: Any) -> Any:
        """Make a node in the robot's namespace with these parameters, and start it.

        At normal priority and with patience: here it shares its process, and one thread, with
        the test and all other nodes. How fast it reacts is shown by pure tests and the bench.
        """
        known = {field.name for field in fields(kind.config_type)}
        values = {**{k: v for k, v in PATIENT.items() if k in known}, **values}
        parameters = [
            Parameter(name, value=value) for name, value in {'robot': robot, **values}.items()
        ]
        node = kind(
            namespace=f'/{robot}',
            parameter_overrides=parameters,
            cli_args=['--ros-args', *self._remappings(robot)],
        )
        self.nodes.append(node)
        self.executor.add_node(node)
        if start:
            assert node.start(), node.last_error
        return node

    def record(self, kind: type, topic: str, qos: QoSProfile | int = 50) -> list[Any]:
        """A list that fills with the messages of a topic."""
        messages: list[Any] = []
        self.probe.create_subscription(kind, topic, messages.append, qos)
        return messages

    def publisher(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> Any:
        """A publisher that already has a subscriber."""
        publisher = self.probe.create_publisher(kind, topic, qos)
        assert self.until(publisher.get_subscription_count), f'nobody listens on {topic}'
        return publisher

    def chain(self, robot: str) -> ChainStub:
        """Heartbeats in the place of policy and decoder, healthy until told otherwise."""
        return ChainStub(self, robot)

    def until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> bool:
        """Spin until the condition holds; false when it never did."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if condition():
                return True
            self.executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def spin(self, duration_s: float) -> None:
        """Let time pass."""
        self.until(lambda: False, duration_s)

    def now(self) -> float:
        """ROS time [s]."""
        return self.probe.get_clock().now().nanoseconds * 1e-9

    def close(self) -> None:
        """Deactivate and destroy everything."""
        for node in self.nodes:
            if node.is_active:
                node.trigger_deactivate()
            self.executor.remove_node(node)
            node.destroy_node()
        self.probe.destroy_node()

    @staticmethod
    def _remappings(robot: str) -> list[str]:
        from univla_ros.graph import build_graph

        pairs = {pair for node in build_graph(robot, {}) for pair in node.remappings}
        return [word for a, b in sorted(pairs) for word in ('-r', f'{a}:={b}')]


@pytest.fixture(scope='session', autouse=True)
def shared_memory() -> Iterator[None]:
    """Tests kill nodes; what these leave behind fills the memory of the machine."""
    sweep_shared_memory()
    yield
    sweep_shared_memory(young_s=0.0)


@pytest.fixture(scope='session')
def domains() -> Iterator[int]:
    """ROS domains to come, never the same twice in a row; 101 is the last one that may be used.

    What was imported so far is taken out of the garbage collection, which `rig` asks for.
    """
    gc.collect()
    gc.freeze()
    return itertools.cycle(np.random.default_rng().permutation(np.arange(1, 102)).tolist())


@pytest.fixture
def rig(domains: Iterator[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A rig on a fresh ROS context in a domain of its own.

    Nothing that an earlier test left is heard there: its participants live until they are
    collected, and the ports of a process that was killed may stay locked.
    """
    monkeypatch.setenv('ROS_DOMAIN_ID', str(next(domains)))
    rclpy.init()
    built = Rig()
    yield built
    built.close()
    rclpy.try_shutdown()
    del built
    gc.collect()
