"""AIRBOT Play: no maintained public ROS 2 driver exists, so the contract is a named profile.

| profile | commands |
|---|---|
| `airbot_ros2_interface` | `joint_cmd` (JointState), `gripper/state_cm` [sic] (Bool, true opens) |
| `airbot_ros1` | `set_target_joint_q` (JointState), `gripper/set_position` (Float64 0..1), bridged |
| `forward_controller` | `/arm_forward_position_controller/commands` (Float64MultiArray of 7) |
| `airbot_py` | no topics: the maker's Python SDK over gRPC, imported lazily |
"""

from __future__ import annotations

import array
import importlib
from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_msgs.msg import Float64
from std_msgs.msg import Float64MultiArray
from univla_control.command import Command
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.errors import DriverError
from univla_ros.drivers.driver import Driver
from univla_ros.drivers.driver import driver_topic
from univla_ros.qos import command as command_qos

PROFILES = ('airbot_ros2_interface', 'airbot_ros1', 'forward_controller', 'airbot_py')


class AirbotDriver(Driver):
    """Speaks the profile that `driver.profile` names."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        super().__init__(node, embodiment)
        self._profile = self.options.get('profile', '')
        if self._profile not in PROFILES:
            raise ConfigError(
                f'robot {embodiment.name!r}: driver.profile {self._profile!r} is not one of '
                f'{", ".join(PROFILES)}'
            )
        self._publishers: list = []
        self._topics: tuple[str, ...] = ()
        self._arm = None
        self._last_gripper: bool | float | None = None

    def activate(self, period_s: float) -> None:
        """Open the profile's topics, or connect to the SDK's server."""
        qos = command_qos(period_s)
        openers: dict[str, Callable] = {
            'airbot_ros2_interface': lambda: self._open(
                qos, (JointState, 'joint_cmd'), (Bool, 'gripper/state_cm')
            ),
            'airbot_ros1': lambda: self._open(
                qos, (JointState, 'set_target_joint_q'), (Float64, 'gripper/set_position')
            ),
            'forward_controller': lambda: self._open(
                qos, (Float64MultiArray, '/arm_forward_position_controller/commands')
            ),
            'airbot_py': self._connect,
        }
        openers[self._profile]()

    def send(self, command: Command, measured_opening: float | None) -> None:
        """Publish joint targets [rad], and the gripper when its command changes."""
        if self._profile == 'airbot_py':
            self._arm.servo_joint_pos(command.positions.tolist())
        elif self._profile == 'forward_controller':
            opening = 1.0 if command.gripper_opening is None else command.gripper_opening
            total = 2.0 * self.embodiment.gripper.finger_position(opening)
            values = [*command.positions.tolist(), total]
            self._publishers[0].publish(Float64MultiArray(data=array.array('d', values)))
            return
        else:
            names = self.options.get('state_joint_names', self.embodiment.axis_names)
            msg = JointState(name=list(names))
            msg.header.stamp = self.node.get_clock().now().to_msg()
            msg.position = array.array('d', command.positions.tolist())
            self._publishers[0].publish(msg)
        if command.gripper_opening is not None:
            self._send_gripper(command.gripper_opening)

    def close(self) -> None:
        """Destroy publishers, disconnect the SDK."""
        for publisher in self._publishers:
            self.node.destroy_publisher(publisher)
        self._publishers = []
        if self._arm is not None:
            self._arm.disconnect()

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Topics that nobody else may publish on; none with the SDK."""
        return self._topics

    def _open(self, qos: object, *topics: tuple[type, str]) -> None:
        # A name with a leading slash is the vendor's own and outside the arm's namespace.
        names = [
            name if name.startswith('/') else driver_topic(self.embodiment, name, name)
            for _, name in topics
        ]
        self._topics = tuple(names)
        self._publishers = [
            self.node.create_publisher(kind, name, qos)
            for (kind, _), name in zip(topics, names)
        ]

    def _send_gripper(self, opening: float) -> None:
        if self._profile == 'airbot_ros2_interface':  # open or close, nothing between
            wanted: bool | float = opening > 0.5
        else:
            wanted = round(opening, 2)
        if wanted == self._last_gripper:
            return
        self._last_gripper = wanted
        if self._profile == 'airbot_py':
            self._arm.servo_eef_pos([2.0 * self.embodiment.gripper.finger_position(opening)])
        elif self._profile == 'airbot_ros1':
            self._publishers[1].publish(Float64(data=float(wanted)))
        else:
            self._publishers[1].publish(Bool(data=bool(wanted)))

    def _connect(self) -> None:
        try:
            sdk = importlib.import_module('airbot_py.arm')
        except ModuleNotFoundError as error:
            raise DriverError(
                'profile airbot_py needs the maker\'s SDK, which is on no package index; install '
                'the airbot_py wheel that came with the arm, or choose another profile'
            ) from error
        url, port = self.options.get('url', 'localhost'), self.options.get('port', 50051)
        self._arm = sdk.AIRBOTPlay(url=url, port=port)
        if not self._arm.connect():
            raise DriverError(f'no AIRBOT server at {url}:{port}; start airbot_server first')
        self._arm.set_speed_profile(sdk.SpeedProfile.DEFAULT)  # FAST may damage the arm
        self._arm.switch_mode(sdk.RobotMode.SERVO_JOINT_POS)
