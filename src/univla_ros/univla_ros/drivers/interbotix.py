"""Interbotix X-series arms (`interbotix_xs_sdk`): WidowX 250s and its kin.

The driver passes commands straight to the motors and checks nothing, and its default time
profile takes 2 s for every target: the profile is set to the control period at activation.
"""

from __future__ import annotations

import array
import math

from interbotix_xs_msgs.msg import JointGroupCommand
from interbotix_xs_msgs.msg import JointSingleCommand
from interbotix_xs_msgs.srv import OperatingModes
from rclpy.node import Node
from univla_control.command import Command
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError

from univla_ros.drivers.driver import Driver
from univla_ros.drivers.driver import driver_option
from univla_ros.drivers.driver import driver_topic
from univla_ros.drivers.interbotix_modes import OperatingModeSetter

#: The gripper's slider-crank [m]: radius of the horn, length of the arm.
_HORN, _ARM = 0.014, 0.024
_GRIPPER_MODES = ('pwm', 'current_based_position')
#: How near, in opening, the end of the travel counts as reached.
_NEAR_STOP = 0.02


class InterbotixDriver(Driver):
    """Publishes `commands/joint_group` [rad] and `commands/joint_single` (gripper)."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        super().__init__(node, embodiment)
        self._mode = self.options.get('gripper_mode', 'pwm')
        if self._mode not in _GRIPPER_MODES:
            raise ConfigError(
                f'robot {embodiment.name!r}: gripper_mode {self._mode!r} is not one of '
                f'{", ".join(_GRIPPER_MODES)}'
            )
        self._arm_name = str(driver_option(embodiment, 'group'))
        self._gripper_name = str(driver_option(embodiment, 'gripper'))
        self._pwm = 0.0
        if self._mode == 'pwm':
            self._pwm = float(driver_option(embodiment, 'gripper_pwm'))
        self._group_topic = driver_topic(embodiment, 'group_topic', 'commands/joint_group')
        self._single_topic = driver_topic(embodiment, 'single_topic', 'commands/joint_single')
        self._modes = OperatingModeSetter(
            node,
            driver_topic(embodiment, 'modes_service', 'set_operating_modes'),
            driver_topic(embodiment, 'joint_states', 'joint_states'),
        )
        self._period_s = 0.0
        self._last_gripper: float | None = None
        self._since_gripper = 0

    def activate(self, period_s: float) -> None:
        """Set position mode with a profile of one control period, then the gripper's mode."""
        self._period_s, self._last_gripper = period_s, None
        self._group = self.open_publisher(JointGroupCommand, self._group_topic, period_s)
        self._single = self.open_publisher(JointSingleCommand, self._single_topic, period_s)
        period_ms = max(1, round(1000.0 * period_s))
        arm = OperatingModes.Request(
            cmd_type='group',
            name=self._arm_name,
            mode='position',
            profile_type='time',
            profile_velocity=period_ms,
            profile_acceleration=period_ms // 2,
        )
        gripper = OperatingModes.Request(
            cmd_type='single',
            name=self._gripper_name,
            mode=self._mode,
            profile_type='velocity',
            profile_velocity=0,
            profile_acceleration=0,
        )
        self._modes.start(arm, gripper)

    def send(self, command: Command, measured_opening: float | None) -> None:
        """Publish joint targets, and the gripper when its command changes or a second passed."""
        self._group.publish(
            JointGroupCommand(
                name=self._arm_name, cmd=array.array('f', command.positions.tolist())
            )
        )
        if command.gripper_opening is None:
            return
        value = self._gripper_command(command.gripper_opening, measured_opening)
        self._since_gripper += 1
        if value != self._last_gripper or self._since_gripper * self._period_s > 1.0:
            self._single.publish(JointSingleCommand(name=self._gripper_name, cmd=value))
            self._last_gripper, self._since_gripper = value, 0

    def deactivate(self) -> None:
        """Stop asking for modes and leave the topics; motors and gripper keep their command."""
        self._modes.stop()
        super().deactivate()

    def close(self) -> None:
        """Destroy publishers and client."""
        self._modes.close()
        super().close()

    @property
    def waiting_for(self) -> str:
        """Why commands may not flow yet: the operating modes are not confirmed."""
        return self._modes.waiting_for

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Topics that nobody else may publish on."""
        return (self._group_topic, self._single_topic)

    def _gripper_command(self, opening: float, measured: float | None) -> float:
        """PWM towards the wanted opening, or the motor angle [rad] of that opening."""
        if self._mode == 'current_based_position':
            return gripper_angle(self.embodiment.gripper.finger_position(opening))
        pwm = self._pwm
        if opening < 0.1:  # keep squeezing, so that a grasped object stays; spare an empty gripper
            return 0.0 if self._at_stop(measured, 0.0) else -pwm
        if measured is None:
            return math.copysign(pwm, opening - 0.5)
        if opening > 0.9:
            return 0.0 if self._at_stop(1.0 - measured, _NEAR_STOP) else pwm
        error = opening - measured
        return 0.0 if abs(error) < 0.08 else math.copysign(pwm, error)

    def _at_stop(self, distance: float | None, near: float) -> bool:
        """Whether the fingers have reached the end they are driven to, with hysteresis."""
        if distance is None:
            return False
        return distance <= (near + _NEAR_STOP if self._last_gripper == 0.0 else near)


def gripper_angle(finger_position: float) -> float:
    """Motor angle [rad] of the gripper's slider-crank for a finger position [m].

    Law of cosines on horn, arm and finger; the driver counts from a quarter turn.
    """
    cosine = (_HORN**2 + finger_position**2 - _ARM**2) / (2.0 * _HORN * finger_position)
    return math.pi / 2.0 - math.acos(max(-1.0, min(1.0, cosine)))
