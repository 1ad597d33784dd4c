"""What every driver adapter promises to the controller."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.topic_endpoint_info import TopicEndpointInfo
from univla_control.command import Command
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError

from univla_ros.qos import command as command_qos


def driver_topic(embodiment: Embodiment, key: str, default: str = '') -> str:
    """Full name of a driver's topic, service or action, from the robot's YAML.

    Names in the YAML are relative to `driver.namespace`; a leading slash changes nothing, so
    `namespace:=/left` moves a whole driver.

    Raises:
        ConfigError: If the YAML has no such key and there is no default.
    """
    namespace = str(embodiment.driver.get('namespace', '')).rstrip('/')
    name = str(driver_option(embodiment, key, default or None)).lstrip('/')
    return f'{namespace}/{name}'


def driver_option(embodiment: Embodiment, key: str, default: Any = None) -> Any:
    """One option of the adapter from the robot's YAML; without a default it is required.

    Raises:
        ConfigError: If it is required and not there.
    """
    value = embodiment.driver.get(key, default)
    if value is None:
        raise ConfigError(
            f'robot {embodiment.name!r}: driver.{key} is missing, which the adapter '
            f'{embodiment.driver["adapter"]!r} needs; see docs/robots.md'
        )
    return value


class Driver(ABC):
    """Turns commands into the messages of one driver family.

    Args:
        node: Node that publishes.
        embodiment: The robot; `embodiment.driver` holds the adapter's options.
    """

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        self.node = node
        self.embodiment = embodiment
        self.options: dict[str, Any] = dict(embodiment.driver)
        self._publishers: list[Publisher] = []

    @abstractmethod
    def activate(self, period_s: float) -> None:
        """Prepare the driver for commands every `period_s` seconds; must not block."""

    @abstractmethod
    def send(self, command: Command, measured_opening: float | None) -> None:
        """Publish one command; `measured_opening` is the gripper's, None if unknown."""

    def deactivate(self) -> None:
        """Leave the driver holding; called after the last command.

        Waits until the driver has the last command, then leaves the command topics, so that
        another node may take them.
        """
        for publisher in self._publishers:
            publisher.wait_for_all_acked(Duration(seconds=0.2))
        self._leave()

    def close(self) -> None:
        """Release publishers and clients."""
        self._leave()

    @property
    def waiting_for(self) -> str:
        """Why commands may not flow yet, in one sentence; empty when ready."""
        return ''

    @property
    @abstractmethod
    def command_topics(self) -> tuple[str, ...]:
        """Topics that nobody else may publish on."""

    def other_publishers(self) -> list[str]:
        """`node on topic` for each foreign publisher on a command topic."""
        mine = (self.node.get_name(), self.node.get_namespace())
        others = []
        for topic in self.command_topics:
            infos = self.node.get_publishers_info_by_topic(topic)
            foreign = [i for i in infos if (i.node_name, i.node_namespace) != mine]
            others += [f'{_node_name(info)} on {topic}' for info in foreign]
            if len(infos) - len(foreign) > self._own_publishers(topic):
                others.append(f'another node that calls itself {mine[0]} on {topic}')
        return others

    def open_publisher(self, kind: type, topic: str, period_s: float) -> Publisher:
        """A publisher of commands that come every `period_s` seconds, until `deactivate`."""
        publisher = self.node.create_publisher(kind, topic, command_qos(period_s))
        self._publishers.append(publisher)
        return publisher

    def _own_publishers(self, topic: str) -> int:
        name = self.node.resolve_topic_name(topic)
        return sum(publisher.topic_name == name for publisher in self._publishers)

    def _leave(self) -> None:
        for publisher in self._publishers:
            self.node.destroy_publisher(publisher)
        self._publishers = []


def _node_name(info: TopicEndpointInfo) -> str:
    if info.node_name.startswith('_NODE_NAME_UNKNOWN'):  # not told yet, or no ROS node at all
        return 'an unnamed node'
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'
