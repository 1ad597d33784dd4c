"""`interbotix_xs_sdk` as it behaves: time profile of 2 s by default, gripper in PWM.

Like the vendor's own simulation it fills only names and positions of `joint_states`.
"""

from __future__ import annotations

import math

import numpy as np
from interbotix_xs_msgs.msg import JointGroupCommand
from interbotix_xs_msgs.msg import JointSingleCommand
from interbotix_xs_msgs.srv import OperatingModes
from interbotix_xs_msgs.srv import TorqueEnable
from rclpy.node import Node
from sensor_msgs.msg import JointState
from univla_core.embodiment import Embodiment
from univla_sim.servo import TimeProfile
from univla_sim.world import World

from univla_ros.drivers.driver import driver_topic
from univla_ros.drivers.interbotix import gripper_angle
from univla_ros.sim_drivers.sim_driver import SimDriver

_FULL_PWM = 885.0


class SimInterbotix(SimDriver):
    """`commands/joint_group`, `commands/joint_single`, `set_operating_modes`, `torque_enable`."""

    def __init__(self, node: Node, embodiment: Embodiment, world: World) -> None:
        super().__init__(node, embodiment, world)
        self._profile = TimeProfile(world.joint_positions, 2000.0, 300.0)
        self._gripper_mode = 'pwm'
        self._publisher = node.create_publisher(
            JointState, driver_topic(embodiment, 'joint_states', 'joint_states'), 10
        )
        subscribe = (
            (JointGroupCommand, 'group_topic', 'commands/joint_group', self._on_group),
            (JointSingleCommand, 'single_topic', 'commands/joint_single', self._on_single),
        )
        for kind, key, default, callback in subscribe:
            node.create_subscription(kind, driver_topic(embodiment, key, default), callback, 10)
        node.create_service(
            OperatingModes,
            driver_topic(embodiment, 'modes_service', 'set_operating_modes'),
            self._on_modes,
        )
        node.create_service(
            TorqueEnable, driver_topic(embodiment, 'torque', 'torque_enable'), self._on_torque
        )

    def restart(self) -> None:
        """Hold the joints where they are; modes and profile stay, as the motors keep them."""
        self._profile.reset(self.world.joint_positions)

    def move(self, duration_s: float) -> None:
        """Servos run along their time profiles."""
        self.world.set_joint_targets(self._profile.advance(duration_s))

    def publish_state(self) -> None:
        """All joints in the driver's order, positions only."""
        finger = self.world.gripper_finger_position
        names = [*self.embodiment.axis_names, 'gripper', 'left_finger', 'right_finger']
        positions = [*self.world.joint_positions.tolist(), gripper_angle(finger), finger, -finger]
        self._publisher.publish(self.joint_state(names, positions))

    def _on_group(self, msg: JointGroupCommand) -> None:
        # The real driver checks nothing more; what is not finite would stop the physics.
        goal = np.array(msg.cmd, dtype=float)
        if msg.name != self.embodiment.driver['group']:
            self.refuse(f'there is no joint group {msg.name!r}')
        elif goal.shape != (self.embodiment.axis_count,) or not np.isfinite(goal).all():
            self.refuse(f'{goal} are not {self.embodiment.axis_count} finite angles')
        else:
            self._profile.set_goal(goal)

    def _on_single(self, msg: JointSingleCommand) -> None:
        if msg.name != self.embodiment.driver['gripper'] or not math.isfinite(msg.cmd):
            return
        if self._gripper_mode == 'pwm':
            self.world.set_gripper_force(float(np.clip(msg.cmd / _FULL_PWM, -1.0, 1.0)))
        else:
            self.world.set_gripper_target(self._opening_of_angle(msg.cmd))

    def _on_modes(
        self, request: OperatingModes.Request, response: OperatingModes.Response
    ) -> OperatingModes.Response:
        times = (request.profile_velocity, request.profile_acceleration)
        if min(times) < 0:
            self.refuse(f'profile {times} is negative')
        elif request.cmd_type == 'group' and request.name == self.embodiment.driver['group']:
            if request.mode == 'position' and request.profile_type == 'time':
                self._profile.set_profile(*map(float, times))
            else:
                self.refuse(f'{request.mode} mode with {request.profile_type} is not simulated')
        elif request.name == self.embodiment.driver['gripper']:
            self._gripper_mode = request.mode
        return response

    def _on_torque(
        self, request: TorqueEnable.Request, response: TorqueEnable.Response
    ) -> TorqueEnable.Response:
        if request.name in (self.embodiment.driver['group'], 'all'):
            self.world.set_joint_torque_enabled(request.enable)
            self._profile.reset(self.world.joint_positions)
        return response

    def _opening_of_angle(self, angle: float) -> float:
        gripper = self.embodiment.gripper
        positions = np.linspace(gripper.closed, gripper.open, 100)
        angles = [gripper_angle(position) for position in positions]
        return gripper.opening(float(positions[int(np.argmin(np.abs(np.array(angles) - angle)))]))
