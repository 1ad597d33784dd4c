"""Record what really goes to a robot's driver, with the time each command was published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError

from univla_ros.drivers.driver import driver_topic


@dataclass
class CommandRecorder:
    """Commands of one robot, read off the driver's topic.

    Attributes:
        times: Publication times by the middleware's source time stamp [s].
        values: Joint targets [rad], or (linear x, angular z) of a base, each of shape (n,).
    """

    times: list[float] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)

    def add(self, values: Any, info: dict) -> None:
        """Take one command in."""
        self.times.append(1e-9 * info['source_timestamp'])
        self.values.append(np.array(values, dtype=float))

    def between(self, begin: float, end: float) -> CommandRecorder:
        """The commands published from `begin` to `end` [s, system time]."""
        chosen = [i for i, time in enumerate(self.times) if begin <= time <= end]
        return CommandRecorder([self.times[i] for i in chosen], [self.values[i] for i in chosen])

    def gaps(self) -> np.ndarray:
        """Times between commands [s], shape (n - 1,)."""
        return np.diff(self.times)


def record_commands(node: Node, embodiment: Embodiment) -> CommandRecorder:
    """Subscribe to the command topic of a robot's driver.

    Raises:
        ConfigError: If the driver has no command topic to listen on.
    """
    recorder = CommandRecorder()
    kind, topic, extract = command_tap(embodiment)
    node.create_subscription(
        kind, topic, lambda msg, info: recorder.add(extract(msg), info), QoSProfile(depth=100)
    )
    return recorder


def command_tap(embodiment: Embodiment) -> tuple[type, str, Callable[[Any], Any]]:
    """Message type and topic of the driver's commands, and what reads the axes out of one.

    Raises:
        ConfigError: If the driver has no command topic to listen on.
    """
    adapter = embodiment.driver['adapter']
    if adapter == 'interbotix':
        from interbotix_xs_msgs.msg import JointGroupCommand

        topic = driver_topic(embodiment, 'group_topic', 'commands/joint_group')
        return JointGroupCommand, topic, lambda msg: msg.cmd
    if adapter == 'ros2_control':
        return (
            JointTrajectory,
            driver_topic(embodiment, 'arm_topic'),
            lambda msg: msg.points[0].positions,
        )
    if adapter == 'airbot':
        return _airbot_tap(embodiment)
    if adapter == 'twist':
        topic = driver_topic(embodiment, 'command_topic')
        if embodiment.driver.get('stamped', True):
            return TwistStamped, topic, lambda msg: (msg.twist.linear.x, msg.twist.angular.z)
        return Twist, topic, lambda msg: (msg.linear.x, msg.angular.z)
    raise ConfigError(f'driver adapter {adapter!r} is unknown here; add its command topic')


def _airbot_tap(embodiment: Embodiment) -> tuple[type, str, Callable[[Any], Any]]:
    from univla_ros.drivers.airbot import COMMAND_TOPICS
    from univla_ros.drivers.airbot import command_topic

    topics = COMMAND_TOPICS[embodiment.driver['profile']]
    if not topics:
        raise ConfigError(
            f'profile {embodiment.driver["profile"]!r} has no command topic to record; '
            'choose a profile with topics'
        )
    kind, name = topics[0]
    count = embodiment.axis_count
    return (
        kind,
        command_topic(embodiment, name),
        lambda msg: msg.position if kind is JointState else msg.data[:count],
    )
