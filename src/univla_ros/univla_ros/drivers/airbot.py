"""AIRBOT Play: no maintained public ROS 2 driver exists, so the contract is a named profile.

| profile | commands |
|---|---|
| `airbot_ros2_interface` | `joint_cmd` (JointState), `gripper/state_cm` [sic] (Bool, true opens) |
| `airbot_ros1` | `set_target_joint_q` (JointState), `gripper/set_position` (Float64 in [0, 1]) |
| `forward_controller` | `/arm_forward_position_controller/commands` (Float64MultiArray of 7) |
| `airbot_py` | no topics: the maker's Python SDK over gRPC, see `airbot_sdk` |
"""

from __future__ import annotations

import array
from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_msgs.msg import Float64
from std_msgs.msg import Float64MultiArray
from std_msgs.msg import String
from univla_control.command import Command
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.robot_state import state_joint_names

from univla_ros.drivers.airbot_sdk import AirbotSdk
from univla_ros.drivers.driver import Driver
from univla_ros.drivers.driver import driver_topic

#: Command topics of each profile, the arm's first. A leading slash: outside the arm's namespace.
COMMAND_TOPICS: dict[str, tuple[tuple[type, str], ...]] = {
    'airbot_ros2_interface': ((JointState, 'joint_cmd'), (Bool, 'gripper/state_cm')),
    'airbot_ros1': ((JointState, 'set_target_joint_q'), (Float64, 'gripper/set_position')),
    'forward_controller': ((Float64MultiArray, '/arm_forward_position_controller/commands'),),
    'airbot_py': (),
}
#: Where a profile tells the gripper's opening, if not in `joint_states`; None: nothing new.
#: Fingers that hold something are neither open nor closed: what does not tell how far they are
#: open tells at least that.
GRIPPER_STATES: dict[str, tuple[type, str, Callable[..., float | None]]] = {
    'airbot_ros2_interface': (
        String,
        'gripper/state',
        lambda msg: {'open': 1.0, 'moving': 0.5, 'close': 0.0}.get(msg.data),
    ),
    'airbot_ros1': (Float64, 'gripper/position', lambda msg: msg.data),
}


class AirbotDriver(Driver):
    """Speaks the profile that `driver.profile` names."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        super().__init__(node, embodiment)
        self._profile = self.options.get('profile', '')
        if self._profile not in COMMAND_TOPICS:
            raise ConfigError(
                f'robot {embodiment.name!r}: driver.profile {self._profile!r} is not one of '
                f'{", ".join(COMMAND_TOPICS)}'
            )
        self._topics = tuple(
            command_topic(embodiment, name) for _, name in COMMAND_TOPICS[self._profile]
        )
        self._sdk = AirbotSdk(node, embodiment) if self._profile == 'airbot_py' else None
        self._period_s = 0.0
        self._last_gripper: bool | float | None = None
        self._since_gripper = 0

    def activate(self, period_s: float) -> None:
        """Open the profile's topics, or connect to the SDK's server.

        Raises:
            DriverError: If the SDK is not installed or its server does not answer.
        """
        self._period_s, self._last_gripper = period_s, None
        for (kind, _), topic in zip(COMMAND_TOPICS[self._profile], self._topics, strict=True):
            self.open_publisher(kind, topic, period_s)
        if self._sdk is not None:
            self._sdk.activate(period_s)

    def send(self, command: Command, measured_opening: float | None) -> None:
        """Send joint targets [rad], and the gripper when its command changes.

        The gripper is told again once a second, for a driver that came later.
        """
        positions = command.positions.tolist()
        opening = command.gripper_opening
        if self._profile == 'forward_controller':
            # One message holds all: an opening that nobody asked for stays as it is.
            known = measured_opening if opening is None else opening
            total = 2.0 * self.embodiment.gripper.finger_position(1.0 if known is None else known)
            self._publishers[0].publish(
                Float64MultiArray(data=array.array('d', [*positions, total]))
            )
            return
        if self._sdk is not None:
            self._sdk.send_joints(positions)
        else:
            msg = JointState(name=list(state_joint_names(self.embodiment)))
            msg.header.stamp = self.node.get_clock().now().to_msg()
            msg.position = array.array('d', positions)
            self._publishers[0].publish(msg)
        if opening is not None:
            self._send_gripper(opening)

    def deactivate(self) -> None:
        """Leave the topics; the SDK's servo mode ends, as it wants a steady stream."""
        if self._sdk is not None:
            self._sdk.deactivate()
        super().deactivate()

    def close(self) -> None:
        """Destroy publishers, disconnect the SDK."""
        if self._sdk is not None:
            self._sdk.close()
        super().close()

    @property
    def waiting_for(self) -> str:
        """Why commands may not flow yet: the SDK lost its server."""
        return self._sdk.waiting_for if self._sdk is not None else ''

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Topics that nobody else may publish on; none with the SDK."""
        return self._topics

    def _send_gripper(self, opening: float) -> None:
        # The ROS 2 interface opens or closes, nothing between.
        binary = self._profile == 'airbot_ros2_interface'
        wanted: bool | float = opening > 0.5 if binary else round(opening, 2)
        self._since_gripper += 1
        if wanted == self._last_gripper and self._since_gripper * self._period_s < 1.0:
            return
        self._last_gripper, self._since_gripper = wanted, 0
        if self._sdk is not None:
            self._sdk.send_gripper(opening)
        elif binary:
            self._publishers[1].publish(Bool(data=bool(wanted)))
        else:
            self._publishers[1].publish(Float64(data=float(wanted)))


def command_topic(embodiment: Embodiment, name: str) -> str:
    """Full name of a command topic; with a leading slash it is outside the arm's namespace."""
    return name if name.startswith('/') else driver_topic(embodiment, name, name)
