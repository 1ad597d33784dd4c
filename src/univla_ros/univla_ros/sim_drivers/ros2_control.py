"""franka_ros2 as seen from outside: trajectory controller, gripper action, 30 Hz joint states."""

from __future__ import annotations


import numpy as np
from control_msgs.action import GripperCommand
from rclpy.action import ActionServer
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory
from univla_core.embodiment import Embodiment
from univla_ros.drivers.driver import driver_topic
from univla_ros.sim_drivers.sim_driver import BEST_EFFORT
from univla_ros.sim_drivers.sim_driver import SimDriver
from univla_sim.servo import JointTrajectoryInterpolator
from univla_sim.world import World


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
        self._action = ActionServer(
            node,
            GripperCommand,
            driver_topic(embodiment, 'gripper_action'),
            self._on_gripper,
        )

    def move(self, duration_s: float) -> None:
        """Follow the trajectory as the controller would."""
        self.world.set_joint_targets(self._interpolator.advance(duration_s))

    def publish_state(self) -> None:
        """Arm and finger joints, positions only, best effort."""
        fingers = [finger['name'] for finger in self.embodiment.gripper.fingers]
        names = [*self.embodiment.axis_names, *fingers]
        position = self.world.gripper_finger_position
        positions = [*self.world.joint_positions.tolist(), position, position]
        self._publisher.publish(self.joint_state(names, positions))

    def _on_trajectory(self, msg: JointTrajectory) -> None:
        names = list(msg.joint_names)
        wanted = list(self.embodiment.axis_names)
        if sorted(names) != sorted(wanted) or not msg.points:
            self._reject(f'joints {", ".join(names)} do not match {", ".join(wanted)}')
            return
        order = [names.index(name) for name in wanted]
        positions = np.array([list(p.positions) for p in msg.points])[:, order]
        has_velocities = all(len(p.velocities) == len(names) for p in msg.points)
        velocities = (
            np.array([list(p.velocities) for p in msg.points])[:, order] if has_velocities else None
        )
        times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in msg.points]
        if not np.isfinite(positions).all():
            self._reject('a position is not finite; the real controller would pass it on')
        elif has_velocities and np.abs(velocities[-1]).max() > 1e-6:
            self._reject('velocity of last trajectory point is not zero')
        else:
            self._interpolator.set_trajectory(np.array(times), positions, velocities)

    def _reject(self, reason: str) -> None:
        self.node.get_logger().error(
            f'trajectory rejected: {reason}', throttle_duration_sec=1.0
        )

    def _on_gripper(self, goal: ServerGoalHandle) -> GripperCommand.Result:
        """Move the fingers; the physics goes on, so the answer does not wait for them."""
        gripper = self.embodiment.gripper
        position = float(goal.request.command.position)
        opening = (position - gripper.closed) / (gripper.open - gripper.closed)
        self.world.set_gripper_target(float(np.clip(opening, 0.0, 1.0)))
        goal.succeed()
        return GripperCommand.Result(position=position, reached_goal=True)
