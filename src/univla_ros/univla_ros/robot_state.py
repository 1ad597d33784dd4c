"""Measured state of a robot from its driver's topics, whichever robot it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState
from univla_core.embodiment import Embodiment
from univla_core.errors import ObservationError
from univla_core.fault import Fault
from univla_core.jump_watch import JumpWatch
from univla_core.robot_state import RobotState
from univla_core.robot_state import axes_from_joints
from univla_core.robot_state import opening_from_joints
from univla_core.robot_state import state_gripper_joint
from univla_core.robot_state import state_joint_names

from univla_ros.conversions import joint_positions_from_msg
from univla_ros.conversions import seconds_from_msg
from univla_ros.qos import SENSOR

#: A stamp may be so far ahead of the clock [s]: clocks of two computers are never quite equal.
_FUTURE_S = 0.1

#: So long may joint_states hold other robots' joints only [s].
_STRANGE_S = 1.0


class RobotStateSource:
    """Subscribes to what the robot's driver publishes and hands over `RobotState`.

    The topic is `joint_states` (arms) or `odom` (bases), relative; the graph remaps it to the
    driver's name. Only measurements that can be believed are handed over.

    Args:
        node: Node to subscribe with.
        embodiment: The robot.
        on_state: Called with each valid measurement.
        on_problem: Called with one sentence for each message that had to be dropped.
        on_jump: Called before `on_state` with the first measurement that is believed after an
            impossible jump: the robot is elsewhere than it was.

    Attributes:
        dropped: How many messages had to be dropped.
        problem: Fault name and reason while the newest message was bad, None otherwise.
    """

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        on_state: Callable[[RobotState], None],
        on_problem: Callable[[str], None],
        on_jump: Callable[[RobotState], None] | None = None,
    ) -> None:
        self._node = node
        self._embodiment = embodiment
        self._on_state = on_state
        self._on_problem = on_problem
        self._on_jump = on_jump or (lambda state: None)
        self._opening: float | None = None
        self.dropped = 0
        self.problem: Fault | None = None
        arm = embodiment.kind == 'arm'
        self._jumps = JumpWatch(embodiment.axis_names, embodiment.maker_limits.velocity)
        self._strange_since: float | None = None
        topics: list[tuple[type, str, Callable[[Any], None]]] = [
            (JointState, 'joint_states', self._on_joint_state)
            if arm
            else (Odometry, 'odom', self._on_odometry)
        ]
        if embodiment.driver['adapter'] == 'airbot':
            topics += self._airbot_gripper_topics()
        self._subscriptions = [node.create_subscription(*topic, SENSOR) for topic in topics]

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_joint_state(self, msg: JointState) -> None:
        try:
            state = robot_state_from_msg(msg, self._embodiment)
            self._remember(opening_from_msg(msg, self._embodiment))
            if state is None:
                self._look_at_strange_names(msg)
                return
            state = self._in_time(state, 'joint_states')
        except ObservationError as error:
            self._drop(str(error))
            return
        self._strange_since = None
        reason, after_jump = self._jumps.check(state.stamp, state.axes)
        if reason:
            self._drop(reason)
            return
        self._hand_over(dataclasses.replace(state, opening=self._opening), after_jump)

    def _look_at_strange_names(self, msg: JointState) -> None:
        """Complain after a second of messages that hold nothing of this robot.

        A driver may publish parts of the robot in messages of their own.

        Raises:
            ObservationError: Naming what they hold.
        """
        if not msg.name or state_gripper_joint(self._embodiment) in msg.name:
            return
        now = self._now()
        if self._strange_since is None or now < self._strange_since:
            self._strange_since = now
        if now - self._strange_since > _STRANGE_S:
            names = ', '.join(state_joint_names(self._embodiment))
            raise ObservationError(
                f'joint_states holds {", ".join(msg.name)} but none of {names}; is another '
                "robot's driver running, or does the driver prefix its names?"
            )

    def _in_time(self, state: RobotState, topic: str) -> RobotState:
        """The state with a usable stamp: a driver that gives none is taken at its arrival.

        Raises:
            ObservationError: If it is stamped in the future.
        """
        now = self._now()
        if state.stamp <= 0.0:
            return dataclasses.replace(state, stamp=now)
        if state.stamp > now + _FUTURE_S:
            raise ObservationError(
                f'{topic} is stamped {state.stamp - now:.2f} s in the future; synchronise the '
                'clocks (chrony, PTP) or set use_sim_time everywhere'
            )
        return state

    def _hand_over(self, state: RobotState, after_jump: bool = False) -> None:
        self.problem = None
        if after_jump:
            self._on_jump(state)
        self._on_state(state)

    def _on_odometry(self, msg: Odometry) -> None:
        twist, place = msg.twist.twist, msg.pose.pose
        q = place.orientation
        heading = np.arctan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))
        axes = np.array([twist.linear.x, twist.angular.z])
        base_pose = (place.position.x, place.position.y, float(heading))
        if not np.isfinite([*axes, *base_pose]).all():
            self._drop('odometry is not finite; the base driver sends NaN')
            return
        stamp = seconds_from_msg(msg.header.stamp)
        try:
            state = self._in_time(RobotState(stamp, axes, base_pose=base_pose), 'odom')
        except ObservationError as error:
            self._drop(str(error))
            return
        self._hand_over(state)

    def _airbot_gripper_topics(self) -> list[tuple[type, str, Callable[[Any], None]]]:
        """The gripper's own topic, which lies beside `joint_states` in some AIRBOT profiles."""
        from univla_ros.drivers.airbot import GRIPPER_STATES

        found = GRIPPER_STATES.get(self._embodiment.driver['profile'])
        if found is None:
            return []
        kind, name, opening = found
        space = self._node.resolve_topic_name('joint_states').rpartition('/')[0]
        return [(kind, f'{space}/{name}', lambda msg: self._remember(opening(msg)))]

    def _remember(self, opening: float | None) -> None:
        """Keep the newest opening: arm and gripper may come in separate messages."""
        if opening is not None and np.isfinite(opening):
            self._opening = float(np.clip(opening, 0.0, 1.0))

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        self.problem = Fault('bad_joint_state', reason)
        self._on_problem(reason)

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9


def robot_state_from_msg(msg: JointState, embodiment: Embodiment) -> RobotState | None:
    """Axes in the robot's own order from a joint state in any order.

    Drivers may publish arm and gripper in separate messages: one without any of this robot's
    joints gives None.

    Raises:
        ObservationError: If some joints are missing or a position is not finite.
    """
    axes = axes_from_joints(joint_positions_from_msg(msg), embodiment)
    if axes is None:
        return None
    opening = opening_from_msg(msg, embodiment)
    return RobotState(seconds_from_msg(msg.header.stamp), axes, opening)


def opening_from_msg(msg: JointState, embodiment: Embodiment) -> float | None:
    """Gripper opening in [0, 1] that a joint state tells, None if it tells none.

    Raises:
        ObservationError: If it is not finite.
    """
    return opening_from_joints(joint_positions_from_msg(msg), embodiment)
