"""What every driver adapter promises to the controller."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from typing import Any

from rclpy.node import Node
from univla_core.embodiment import Embodiment
from univla_control.command import Command


def driver_topic(embodiment: Embodiment, key: str, default: str = '') -> str:
    """Full name of a driver's topic, service or action, from the robot's YAML.

    Names in the YAML are relative to `driver.namespace`; a leading slash changes nothing, so
    `namespace:=/left` moves a whole driver.
    """
    namespace = str(embodiment.driver.get('namespace', '')).rstrip('/')
    name = str(embodiment.driver.get(key, default)).lstrip('/')
    return f'{namespace}/{name}'


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

    @abstractmethod
    def activate(self, period_s: float) -> None:
        """Prepare the driver for commands every `period_s` seconds; must not block."""

    @abstractmethod
    def send(self, command: Command, measured_opening: float | None) -> None:
        """Publish one command; `measured_opening` is the gripper's, None if unknown."""

    def deactivate(self) -> None:
        """Leave the driver holding; called after the last command."""

    def close(self) -> None:
        """Release publishers and clients."""

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
            others += [
                f'{info.node_namespace.rstrip("/")}/{info.node_name} on {topic}'
                for info in foreign
            ]
            if len(infos) - len(foreign) > 1:
                others.append(f'another node that calls itself {mine[0]} on {topic}')
        return others
