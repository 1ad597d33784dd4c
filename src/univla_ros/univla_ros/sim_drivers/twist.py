"""A differential-drive base: twist in, odometry, wheel angles and `odom` transform out."""

from __future__ import annotations

import math

from geometry_msgs.msg import TransformStamped
from geometry_msgs.msg import Twist
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState
from tf2_msgs.msg import TFMessage
from univla_core.embodiment import Embodiment
from univla_sim.servo import CommandTimeout
from univla_sim.world import World

from univla_ros.drivers.driver import driver_topic
from univla_ros.sim_drivers.sim_driver import SimDriver


class SimTwist(SimDriver):
    """Stops by itself when no twist came for `command_timeout_s`, as real bases do."""

    state_rate_hz = 50.0

    def __init__(self, node: Node, embodiment: Embodiment, world: World) -> None:
        super().__init__(node, embodiment, world)
        options = embodiment.driver
        self.restart()
        self._odometry = node.create_publisher(
            Odometry, driver_topic(embodiment, 'odometry_topic'), 10
        )
        self._joints = node.create_publisher(
            JointState, driver_topic(embodiment, 'joint_states'), 10
        )
        self._transforms = node.create_publisher(TFMessage, '/tf', 100)
        topic = driver_topic(embodiment, 'command_topic')
        if options.get('stamped', True):
            node.create_subscription(TwistStamped, topic, lambda m: self._on_twist(m.twist), 10)
        else:
            node.create_subscription(Twist, topic, self._on_twist, 10)

    def restart(self) -> None:
        """Stand until the next twist."""
        timeout_s = float(self.embodiment.driver['command_timeout_s'])
        self._timeout = CommandTimeout(2, timeout_s)

    def move(self, duration_s: float) -> None:
        """Drive at the last twist, or stand when it is too old."""
        self.world.set_twist(*self._timeout.value(self.world.time).tolist())

    def publish_state(self) -> None:
        """Odometry, wheel angles and the transform from `odom` to the base."""
        place = self.world.odometry
        frame = self.embodiment.frame_prefix + self.embodiment.base_frame
        odometry = Odometry(child_frame_id=frame)
        odometry.header.stamp = self.node.get_clock().now().to_msg()
        odometry.header.frame_id = self.embodiment.document['odom_frame']
        pose = odometry.pose.pose
        pose.position.x, pose.position.y = float(place.x), float(place.y)
        half = 0.5 * place.theta
        pose.orientation.z, pose.orientation.w = math.sin(half), math.cos(half)
        twist = odometry.twist.twist
        twist.linear.x, twist.angular.z = self._measured(place.v), self._measured(place.w)
        self._odometry.publish(odometry)
        transform = TransformStamped(header=odometry.header, child_frame_id=frame)
        transform.transform.translation.x = pose.position.x
        transform.transform.translation.y = pose.position.y
        transform.transform.rotation = pose.orientation
        self._transforms.publish(TFMessage(transforms=[transform]))
        wheels = self.embodiment.document['wheels']['joints']
        self._joints.publish(
            self.joint_state(list(wheels), [float(angle) for angle in self.world.wheel_positions])
        )

    def _measured(self, value: float) -> float:
        return math.nan if self.fault == 'joint_nan' else float(value)

    def _on_twist(self, twist: Twist) -> None:
        if math.isfinite(twist.linear.x) and math.isfinite(twist.angular.z):
            self._timeout.update([twist.linear.x, twist.angular.z], self.world.time)
