"""AIRBOT's own Python client (`airbot_py`, gRPC), bridged to `joint_states`."""

from __future__ import annotations

import array
import importlib
import time
from types import ModuleType
from typing import Any

from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from univla_core.embodiment import Embodiment
from univla_core.errors import DriverError
from univla_core.robot_state import state_gripper_joint
from univla_core.robot_state import state_joint_names

from univla_ros.drivers.driver import driver_topic
from univla_ros.qos import PLAN


class AirbotSdk:
    """One connection to the maker's server: commands go there, measured joints come back.

    The SDK has no topics, so the measured joints are published on the driver's `joint_states`,
    where everyone else looks for them. A lost server is connected to again once a second.

    Args:
        node: Node that publishes the joint states.
        embodiment: The robot; `driver.url` and `driver.port` name the server.
    """

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        self._node, self._embodiment = node, embodiment
        options = embodiment.driver
        self._url, self._port = options.get('url', 'localhost'), int(options.get('port', 50051))
        self._sdk: ModuleType | None = None
        self._arm: Any = None
        self._active, self._next_try = False, 0.0
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._publisher: Any = None
        self._timer: Any = None
        self.waiting_for = 'the SDK was never activated'

    def activate(self, period_s: float) -> None:
        """Connect and ask for the servo mode.

        Raises:
            DriverError: If the SDK is not installed or the server does not answer.
        """
        if self._arm is None:
            self._sdk = _import_sdk()
            # The class was called AIRBOTArm in older releases.
            kind = getattr(self._sdk, 'AIRBOTPlay', None) or self._sdk.AIRBOTArm
            self._arm = kind(url=self._url, port=self._port)
            topic = driver_topic(self._embodiment, 'joint_states', 'joint_states')
            self._publisher = self._node.create_publisher(JointState, topic, PLAN)
            self._timer = self._node.create_timer(
                period_s, self._publish_state, clock=self._steady
            )
        self._active = True
        self._connect()
        if self.waiting_for:
            reason, self.waiting_for = self.waiting_for, 'the SDK is not connected'
            self.close()
            raise DriverError(reason)

    def send_joints(self, positions: list[float]) -> None:
        """Stream joint targets [rad]."""
        try:
            self._arm.servo_joint_pos(positions)
        except RuntimeError as error:  # the SDK's word for a lost server
            self._lose(error)

    def send_gripper(self, opening: float) -> None:
        """Stream the gripper's total opening [m] for an opening in [0, 1]."""
        try:
            self._arm.servo_eef_pos([2.0 * self._embodiment.gripper.finger_position(opening)])
        except RuntimeError as error:
            self._lose(error)

    def deactivate(self) -> None:
        """Leave the servo mode: it wants commands without end; in planning mode the arm holds."""
        lost, self.waiting_for, self._active = self.waiting_for, 'the SDK is not activated', False
        if lost:
            return
        try:
            self._arm.switch_mode(self._sdk.RobotMode.PLANNING_POS)
        except RuntimeError as error:
            self._lose(error)

    def close(self) -> None:
        """Disconnect and stop publishing."""
        self._active = False
        if self._arm is not None:
            self._node.destroy_timer(self._timer)
            self._node.destroy_publisher(self._publisher)
            self._arm.disconnect()
            self._arm = None

    def _connect(self) -> None:
        """Connect, limit the speed, take servo mode; `waiting_for` says what failed."""
        server = f'AIRBOT server at {self._url}:{self._port}'
        self._next_try = time.monotonic() + 1.0
        try:
            if not self._arm.connect():
                self.waiting_for = f'no {server}; start airbot_server first'
                return
            self._arm.set_speed_profile(self._sdk.SpeedProfile.DEFAULT)  # FAST may damage the arm
            accepted = self._arm.switch_mode(self._sdk.RobotMode.SERVO_JOINT_POS)
        except RuntimeError as error:
            self.waiting_for = f'{server} went away: {error}'
            return
        self.waiting_for = (
            '' if accepted else f'{server} refuses SERVO_JOINT_POS; is another program in control?'
        )

    def _lose(self, error: RuntimeError) -> None:
        if not self.waiting_for:
            self.waiting_for = f'AIRBOT server at {self._url}:{self._port} is gone: {error}'

    def _publish_state(self) -> None:
        if self._active and self.waiting_for and time.monotonic() >= self._next_try:
            self._connect()
        try:
            joints, fingers = self._arm.get_joint_pos(), self._arm.get_eef_pos()
        except RuntimeError as error:
            self._lose(error)
            return
        if not joints:
            return
        msg = JointState(name=list(state_joint_names(self._embodiment)))
        if fingers:
            msg.name.append(state_gripper_joint(self._embodiment))
        msg.position = array.array('d', [*joints, *(fingers or [])])
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(msg)


def _import_sdk() -> ModuleType:
    try:
        return importlib.import_module('airbot_py.arm')
    except ModuleNotFoundError as error:
        raise DriverError(
            "profile airbot_py needs the maker's SDK, which is on no package index; install the "
            'airbot_py wheel that came with the arm, or choose another profile'
        ) from error
