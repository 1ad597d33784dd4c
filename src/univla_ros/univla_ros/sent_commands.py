"""Tell what was sent to the driver, in one form whatever the driver speaks."""

from __future__ import annotations

import array

from geometry_msgs.msg import Twist
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory
from trajectory_msgs.msg import JointTrajectoryPoint
from univla_control.command import Command
from univla_core.embodiment import Embodiment
from univla_data.topics import COMMAND
from univla_data.topics import GRIPPER

from univla_ros.conversions import header_to_msg
from univla_ros.qos import EVENT


class SentCommands:
    """Publishes `command` while somebody listens, such as the recorder.

    The same messages lie in demonstrations from simulation: joint set-points [rad] with their
    velocities and the opening `gripper` in [0, 1], or the twist of a base.

    Args:
        node: Node to publish with.
        embodiment: The robot.
    """

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        self._base = embodiment.kind == 'base'
        self._names = [str(name) for name in embodiment.axis_names]
        self._frame = embodiment.frame_prefix + embodiment.base_frame
        kind = TwistStamped if self._base else JointTrajectory
        self._publisher = node.create_publisher(kind, COMMAND.name, EVENT)

    def publish(self, command: Command) -> None:
        """Tell one command."""
        if self._publisher.get_subscription_count():
            self._publisher.publish(self._twist(command) if self._base else self._joints(command))

    def _joints(self, command: Command) -> JointTrajectory:
        names, opening = self._names, command.gripper_opening
        positions, velocities = command.positions.tolist(), command.velocities.tolist()
        if opening is not None:
            names, positions = [*names, GRIPPER], [*positions, opening]
            velocities = [*velocities, 0.0]
        point = JointTrajectoryPoint(
            positions=array.array('d', positions), velocities=array.array('d', velocities)
        )
        header = header_to_msg(command.time, self._frame)
        return JointTrajectory(header=header, joint_names=names, points=[point])

    def _twist(self, command: Command) -> TwistStamped:
        twist = Twist()
        twist.linear.x, twist.angular.z = command.velocities.tolist()
        return TwistStamped(header=header_to_msg(command.time, self._frame), twist=twist)
