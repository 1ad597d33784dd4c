"""Mobile bases: `geometry_msgs/TwistStamped`, or `Twist` by parameter."""

from __future__ import annotations

from geometry_msgs.msg import Twist
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from univla_control.command import Command
from univla_core.embodiment import Embodiment

from univla_ros.drivers.driver import Driver
from univla_ros.drivers.driver import driver_topic


class TwistDriver(Driver):
    """Publishes linear x [m/s] and angular z [rad/s] in the base frame."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        super().__init__(node, embodiment)
        self._topic = driver_topic(embodiment, 'command_topic', 'cmd_vel')
        self._stamped = bool(self.options.get('stamped', True))

    def activate(self, period_s: float) -> None:
        """Open the twist topic."""
        kind = TwistStamped if self._stamped else Twist
        self._publisher = self.open_publisher(kind, self._topic, period_s)

    def send(self, command: Command, measured_opening: float | None) -> None:
        """Publish one twist."""
        twist = Twist()
        twist.linear.x, twist.angular.z = (float(value) for value in command.velocities)
        if not self._stamped:
            self._publisher.publish(twist)
            return
        msg = TwistStamped(twist=twist)
        msg.header.stamp = self.node.get_clock().now().to_msg()
        msg.header.frame_id = self.embodiment.frame_prefix + self.embodiment.base_frame
        self._publisher.publish(msg)

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Topics that nobody else may publish on."""
        return (self._topic,)
