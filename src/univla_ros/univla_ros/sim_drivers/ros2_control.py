"""franka_ros2 as seen from outside: trajectory controller, gripper action, 30 Hz joint states."""

from __future__ import annotations

import math

import numpy as np
from control_msgs.action import GripperCommand
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory
from univla_core.embodiment import Embodiment
from univla_core.errors import UnivlaError
from univla_core.robot_state import state_joint_names
from univla_sim.servo import JointTrajectoryInterpolator
from univla_sim.world import World

from univla_ros.actions import open_action_server
from univla_ros.drivers.driver import driver_topic
from univla_ros.sim_drivers.sim_driver import BEST_EFFORT
from univla_ros.sim_drivers.sim_driver import SimDriver


class SimRos2Control(SimDriver):
    """`joint_trajectory` topic with the controller's own checks, `gripper_action`."""

    state_rate_hz = 30.0

    def __init__(self, node: Node, embodiment: Embodiment, world: World) -> None:
        super().__init__(node, embodiment, world)
        self._interpolator = JointTrajectoryInterpolator(world.joint_positions)
        self._publisher = node.create_publisher(
            JointState, driver_topic(embodiment, 'joint_states'), BEST_EFFORT
        )
        node.create_subscription(
            JointTrajectory, driver_topic(embodiment, 'arm_topic'), self._on_trajectory, 10
        )
        self._action = open_action_server(
            node, GripperCommand, driver_topic(embodiment, 'gripper_action'), self._on_gripper
        )

    def restart(self) -> None:
        """Hold the joints where they are."""
        self._interpolator.reset(self.world.joint_positions)

    def move(self, duration_s: float) -> None:
        """Follow the trajectory as the controller would."""
        self.world.set_joint_targets(self._interpolator.advance(duration_s))

    def publish_state(self) -> None:
        """Arm and finger joints, positions only, best effort."""
        fingers = [finger['name'] for finger in self.embodiment.gripper.fingers]
        names = [*state_joint_names(self.embodiment), *fingers]
        position = self.world.gripper_finger_position
        positions = [*self.world.joint_positions.tolist(), position, position]
        self._publisher.publish(self.joint_state(names, positions))

    def _on_trajectory(self, msg: JointTrajectory) -> None:
        names, wanted = list(msg.joint_names), list(state_joint_names(self.embodiment))
        if sorted(names) != sorted(wanted) or not msg.points:
            self.refuse(f'joints {", ".join(names)} do not match {", ".join(wanted)}')
            return
        if any(len(point.positions) != len(names) for point in msg.points):
            self.refuse('a trajectory point does not hold one position per joint')
            return
        order = [names.index(name) for name in wanted]
        positions = np.array([list(point.positions) for point in msg.points])[:, order]
        velocities = None
        if all(len(point.velocities) == len(names) for point in msg.points):
            velocities = np.array([list(point.velocities) for point in msg.points])[:, order]
        times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in msg.points]
        if velocities is not None and np.abs(velocities[-1]).max() > 1e-6:
            self.refuse('velocity of last trajectory point is not zero')
            return
        try:
            self._interpolator.set_trajectory(times, positions, velocities)
        except UnivlaError as error:  # the real controller would pass NaN on to the arm
            self.refuse(str(error))

    def _on_gripper(self, goal: ServerGoalHandle) -> GripperCommand.Result:
        """Move the fingers; the physics goes on, so the answer does not wait for them."""
        gripper = self.embodiment.gripper
        position = float(goal.request.command.position)
        if not math.isfinite(position):
            self.refuse('the gripper position is not finite')
            goal.abort()
            return GripperCommand.Result()
        opening = (position - gripper.closed) / (gripper.open - gripper.closed)
        self.world.set_gripper_target(float(np.clip(opening, 0.0, 1.0)))
        goal.succeed()
        return GripperCommand.Result(position=position, reached_goal=True)
