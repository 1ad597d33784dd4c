"""Measured state of a robot from its driver's topics, whichever robot it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState
from univla_core.embodiment import Embodiment
from univla_core.errors import ObservationError
from univla_ros.conversions import joint_positions_from_msg
from univla_ros.conversions import seconds_from_msg
from univla_ros.qos import SENSOR


@dataclass(frozen=True)
class RobotState:
    """One measurement.

    Attributes:
        stamp: Time of the measurement [s].
        axes: Joint angles [rad], or the base's (linear_x [m/s], angular_z [rad/s]).
        opening: Gripper opening in [0, 1], None if the driver does not tell it here.
        base_pose: x [m], y [m], heading [rad] in `odom` (bases).
    """

    stamp: float
    axes: np.ndarray
    opening: float | None = None
    base_pose: tuple[float, float, float] | None = None


class RobotStateSource:
    """Subscribes to what the robot's driver publishes and hands over `RobotState`.

    The topic is `joint_states` (arms) or `odom` (bases), relative; the graph remaps it to the
    driver's name.

    Args:
        node: Node to subscribe with.
        embodiment: The robot.
        on_state: Called with each valid measurement.
        on_problem: Called with one sentence for each message that had to be dropped.
    """

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        on_state: Callable[[RobotState], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self._node = node
        self._embodiment = embodiment
        self._on_state = on_state
        self._on_problem = on_problem
        names = embodiment.driver.get('state_joint_names', embodiment.axis_names)
        self._names = tuple(names)
        self.dropped = 0
        if embodiment.kind == 'arm':
            self._subscription = node.create_subscription(
                JointState, 'joint_states', self._on_joint_state, SENSOR
            )
        else:
            self._subscription = node.create_subscription(
                Odometry, 'odom', self._on_odometry, SENSOR
            )

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)

    def _on_joint_state(self, msg: JointState) -> None:
        try:
            state = robot_state_from_msg(msg, self._embodiment, self._names)
        except ObservationError as error:
            self.dropped += 1
            self._on_problem(str(error))
            return
        if state is not None:
            self._on_state(state)

    def _on_odometry(self, msg: Odometry) -> None:
        twist, place = msg.twist.twist, msg.pose.pose
        q = place.orientation
        heading = np.arctan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))
        axes = np.array([twist.linear.x, twist.angular.z])
        if not np.isfinite(axes).all() or not np.isfinite(heading):
            self.dropped += 1
            self._on_problem('odometry is not finite; the base driver sends NaN')
            return
        base_pose = (place.position.x, place.position.y, float(heading))
        self._on_state(
            RobotState(seconds_from_msg(msg.header.stamp), axes, base_pose=base_pose)
        )


def robot_state_from_msg(
    msg: JointState, embodiment: Embodiment, names: tuple[str, ...]
) -> RobotState | None:
    """Axes in the robot's own order from a joint state in any order.

    Drivers may publish arm and gripper in separate messages: one without any of this robot's
    joints gives None.

    Raises:
        ObservationError: If some joints are missing or a position is not finite.
    """
    positions = joint_positions_from_msg(msg)
    missing = [name for name in names if name not in positions]
    if len(missing) == len(names):
        return None
    if missing:
        raise ObservationError(
            f'joint_states lacks {", ".join(missing)}; it holds {", ".join(msg.name)}. '
            'Is another robot model running?'
        )
    axes = np.array([positions[name] for name in names])
    opening = None
    if embodiment.gripper and embodiment.gripper.state_joint in positions:
        opening = embodiment.gripper.opening(positions[embodiment.gripper.state_joint])
    if not np.isfinite(axes).all():
        bad = names[int(np.argmin(np.isfinite(axes)))]
        raise ObservationError(f'joint_states holds a non-finite position for {bad}')
    return RobotState(seconds_from_msg(msg.header.stamp), axes, opening)
