"""Arms under ros2_control's joint trajectory controller: Franka FR3 and Panda.

Every command is a short trajectory that ends at rest: one point a control period ahead and one
where the arm has braked. If the commands stop coming, the controller brakes by itself.
"""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Duration
from control_msgs.action import GripperCommand
from rclpy.node import Node
from rclpy.task import Future
from trajectory_msgs.msg import JointTrajectory
from trajectory_msgs.msg import JointTrajectoryPoint
from univla_control.command import Command
from univla_core.embodiment import Embodiment
from univla_core.robot_state import state_joint_names

from univla_ros.actions import open_action_client
from univla_ros.drivers.driver import Driver
from univla_ros.drivers.driver import driver_topic


class Ros2ControlDriver(Driver):
    """Publishes `joint_trajectory`; the gripper is moved by a `GripperCommand` action."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        super().__init__(node, embodiment)
        self._topic = driver_topic(embodiment, 'arm_topic')
        self._gripper = None
        if embodiment.gripper is not None:
            name = driver_topic(embodiment, 'gripper_action')
            self._gripper = open_action_client(node, GripperCommand, name)
        self._effort = float(self.options.get('gripper_effort', 20.0))
        self._last_opening: float | None = None
        self._previous_opening = -1.0
        self._asked: Future | None = None
        self._ticks = 0

    def activate(self, period_s: float) -> None:
        """Open the trajectory topic."""
        self._period_s, self._last_opening = period_s, None
        self._publisher = self.open_publisher(JointTrajectory, self._topic, period_s)

    def send(self, command: Command, measured_opening: float | None) -> None:
        """Publish the next point and the stop after it; move the gripper when it must."""
        self._publisher.publish(self.trajectory(command))
        if self._gripper is not None and command.gripper_opening is not None:
            self._move_gripper(command.gripper_opening)

    def trajectory(self, command: Command) -> JointTrajectory:
        """Trajectory of two points: the command after one period, then the braked arm."""
        limits = self.embodiment.limits
        braking = max(
            self._period_s, float(np.max(np.abs(command.velocities) / limits.acceleration))
        )
        rest = command.positions + 0.5 * braking * command.velocities
        rest = np.clip(
            rest,
            np.minimum(limits.lower, command.positions),
            np.maximum(limits.upper, command.positions),
        )
        names = list(state_joint_names(self.embodiment))
        return JointTrajectory(
            joint_names=names,
            points=[
                _point(command.positions, command.velocities, self._period_s),
                _point(rest, np.zeros_like(rest), self._period_s + braking),
            ],
        )

    def close(self) -> None:
        """Destroy publisher and action client."""
        super().close()
        if self._gripper is not None:
            self._gripper.destroy()

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Topics that nobody else may publish on."""
        return (self._topic,)

    def _move_gripper(self, opening: float) -> None:
        """Send a goal when the wanted opening settled, or has been on its way for half a second.

        A goal that was refused, or whose answer never came, is sent again.
        """
        settled = abs(opening - self._previous_opening) < 1e-4
        self._previous_opening = opening
        self._ticks += 1
        waited = self._ticks * self._period_s
        if self._asked is not None and waited > 2.0:
            self._asked, self._last_opening = None, None
        far = self._last_opening is None or abs(opening - self._last_opening) > (
            0.005 if settled else 0.05
        )
        if not far or waited < (0.1 if settled else 0.5) or not self._gripper.server_is_ready():
            return
        goal = GripperCommand.Goal()
        goal.command.position = self.embodiment.gripper.finger_position(opening)
        goal.command.max_effort = min(self._effort, self.embodiment.gripper.effort)
        self._last_opening, self._ticks = opening, 0
        self._asked = self._gripper.send_goal_async(goal)
        self._asked.add_done_callback(self._on_goal_answer)

    def _on_goal_answer(self, future: Future) -> None:
        if future is not self._asked:
            return
        self._asked = None
        if future.cancelled() or future.exception() is not None or not future.result().accepted:
            self._last_opening = None


def _point(positions: np.ndarray, velocities: np.ndarray, time: float) -> JointTrajectoryPoint:
    seconds = int(time)
    return JointTrajectoryPoint(
        positions=array.array('d', positions.tolist()),
        velocities=array.array('d', velocities.tolist()),
        time_from_start=Duration(sec=seconds, nanosec=int((time - seconds) * 1e9)),
    )
