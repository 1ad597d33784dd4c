"""AIRBOT Play behind each of its topic profiles."""

from __future__ import annotations

import math

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_msgs.msg import Float64
from std_msgs.msg import Float64MultiArray
from std_msgs.msg import String
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.robot_state import state_gripper_joint
from univla_core.robot_state import state_joint_names
from univla_sim.servo import JointTrajectoryInterpolator
from univla_sim.world import World

from univla_ros.drivers.driver import driver_topic
from univla_ros.sim_drivers.sim_driver import SimDriver


class SimAirbot(SimDriver):
    """The arm steps to each target over one servo cycle, as in its servo mode (250 Hz)."""

    def __init__(self, node: Node, embodiment: Embodiment, world: World) -> None:
        super().__init__(node, embodiment, world)
        self._profile = embodiment.driver['profile']
        self._interpolator = JointTrajectoryInterpolator(world.joint_positions)
        self._publisher = node.create_publisher(
            JointState, driver_topic(embodiment, 'joint_states', 'joint_states'), 10
        )
        self._gripper_publisher = None
        openers = {
            'airbot_ros2_interface': self._open_ros2_interface,
            'airbot_ros1': self._open_ros1,
            'forward_controller': self._open_forward_controller,
        }
        if self._profile not in openers:
            raise ConfigError(
                f'driver.profile {self._profile!r} has no simulation; '
                f'simulated are {", ".join(openers)}'
            )
        openers[self._profile]()

    def restart(self) -> None:
        """Hold the joints where they are."""
        self._interpolator.reset(self.world.joint_positions)

    def move(self, duration_s: float) -> None:
        """Follow the streamed targets."""
        self.world.set_joint_targets(self._interpolator.advance(duration_s))

    def publish_state(self) -> None:
        """Joint states in the profile's names; the gripper where the profile tells it."""
        positions = self.world.joint_positions.tolist()
        finger = self.world.gripper_finger_position
        gripper = self.embodiment.gripper
        opening = gripper.opening(finger * gripper.state_scale)
        joints = list(state_joint_names(self.embodiment))
        if self._profile == 'forward_controller':
            joints.append(state_gripper_joint(self.embodiment))
            positions.append(finger * gripper.state_scale)
        elif self._profile == 'airbot_ros1':
            self._gripper_publisher.publish(Float64(data=opening))
        else:
            text = 'open' if opening > 0.9 else 'close' if opening < 0.1 else 'moving'
            self._gripper_publisher.publish(String(data=text))
        self._publisher.publish(self.joint_state(joints, positions))

    def _open_ros2_interface(self) -> None:
        self._subscribe(JointState, 'joint_cmd', self._on_joint_state)
        self._subscribe(
            Bool, 'gripper/state_cm', lambda msg: self.world.set_gripper_target(float(msg.data))
        )
        self._gripper_publisher = self.node.create_publisher(
            String, self._name('gripper/state'), 10
        )

    def _open_ros1(self) -> None:
        self._subscribe(JointState, 'set_target_joint_q', self._on_joint_state)
        self._subscribe(Float64, 'gripper/set_position', self._on_opening)
        self._gripper_publisher = self.node.create_publisher(
            Float64, self._name('gripper/position'), 10
        )

    def _open_forward_controller(self) -> None:
        self.node.create_subscription(
            Float64MultiArray, '/arm_forward_position_controller/commands', self._on_array, 10
        )

    def _name(self, topic: str) -> str:
        return driver_topic(self.embodiment, topic, topic)

    def _subscribe(self, kind: type, topic: str, callback: object) -> None:
        self.node.create_subscription(kind, self._name(topic), callback, 10)

    def _on_joint_state(self, msg: JointState) -> None:
        # The order of the names is what counts where the driver reads them.
        names = list(state_joint_names(self.embodiment))
        places = dict(zip(msg.name, msg.position, strict=False))
        if sorted(places) == sorted(names):
            self._go(np.array([places[name] for name in names]))
        else:
            self.refuse(f'joints {", ".join(msg.name)} do not match {", ".join(names)}')

    def _on_opening(self, msg: Float64) -> None:
        if math.isfinite(msg.data):
            self.world.set_gripper_target(float(np.clip(msg.data, 0.0, 1.0)))
        else:
            self.refuse('the gripper position is not finite')

    def _on_array(self, msg: Float64MultiArray) -> None:
        values = np.array(msg.data, dtype=float)
        count, gripper = self.embodiment.axis_count, self.embodiment.gripper
        if values.shape != (count + 1,) or not np.isfinite(values).all():
            self.refuse(f'{values} are not {count + 1} finite numbers')
            return
        self._go(values[:count])
        self.world.set_gripper_target(gripper.opening(values[count] * gripper.state_scale / 2.0))

    def _go(self, target: np.ndarray) -> None:
        if np.isfinite(target).all():
            self._interpolator.set_trajectory(np.array([0.01]), target[None], None)
        else:
            self.refuse(f'the angles {target} are not finite')
