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
from rclpy.task import Future
from univla_control.command import Command
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_ros.drivers.driver import Driver
from univla_ros.drivers.driver import driver_topic
from univla_ros.qos import command as command_qos

#: The gripper's slider-crank [m]: radius of the horn, length of the arm.
_HORN, _ARM = 0.014, 0.024
_GRIPPER_MODES = ('pwm', 'current_based_position')


class InterbotixDriver(Driver):
    """Publishes `commands/joint_group` [rad] and `commands/joint_single` (gripper)."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        super().__init__(node, embodiment)
        mode = self.options.get('gripper_mode', 'pwm')
        if mode not in _GRIPPER_MODES:
            raise ConfigError(
                f'robot {embodiment.name!r}: gripper_mode {mode!r} is not one of '
                f'{", ".join(_GRIPPER_MODES)}'
            )
        self._group_topic = driver_topic(embodiment, 'group_topic', 'commands/joint_group')
        self._single_topic = driver_topic(embodiment, 'single_topic', 'commands/joint_single')
        self._service_name = driver_topic(embodiment, 'modes_service', 'set_operating_modes')
        self._client = node.create_client(OperatingModes, self._service_name)
        self._pending: list[OperatingModes.Request] = []
        self._waiting = 'the driver was never activated'
        self._group = self._single = None
        self._last_gripper: float | None = None
        self._since_gripper = 0

    def activate(self, period_s: float) -> None:
        """Set position mode with a profile of one control period, then the gripper's mode."""
        qos = command_qos(period_s)
        self._group = self.node.create_publisher(JointGroupCommand, self._group_topic, qos)
        self._single = self.node.create_publisher(JointSingleCommand, self._single_topic, qos)
        period_ms = max(1, round(1000.0 * period_s))
        self._period_s = period_s
        self._pending = [
            OperatingModes.Request(
                cmd_type='group',
                name=self.options['group'],
                mode='position',
                profile_type='time',
                profile_velocity=period_ms,
                profile_acceleration=period_ms // 2,
            ),
            OperatingModes.Request(
                cmd_type='single',
                name=self.options['gripper'],
                mode=self.options['gripper_mode'],
                profile_type='velocity',
                profile_velocity=0,
                profile_acceleration=0,
            ),
        ]
        self._waiting = (
            f'service {self._service_name} is not there yet; is xsarm_control.launch.py running?'
        )
        self._timer = self.node.create_timer(0.2, self._request_next)

    def send(self, command: Command, measured_opening: float | None) -> None:
        """Publish joint targets, and the gripper when its command changes."""
        self._group.publish(
            JointGroupCommand(
                name=self.options['group'], cmd=array.array('f', command.positions.tolist())
            )
        )
        if command.gripper_opening is None:
            return
        value = self._gripper_command(command.gripper_opening, measured_opening)
        self._since_gripper += 1
        if value != self._last_gripper or self._since_gripper * self._period_s > 1.0:
            self._single.publish(JointSingleCommand(name=self.options['gripper'], cmd=value))
            self._last_gripper, self._since_gripper = value, 0

    def close(self) -> None:
        """Destroy publishers and client."""
        for publisher in (self._group, self._single):
            if publisher is not None:
                self.node.destroy_publisher(publisher)
        self.node.destroy_client(self._client)

    @property
    def waiting_for(self) -> str:
        """Why commands may not flow yet: the operating modes are not confirmed."""
        return self._waiting

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Topics that nobody else may publish on."""
        return (self._group_topic, self._single_topic)

    def _request_next(self) -> None:
        if not self._pending:
            self.node.destroy_timer(self._timer)
            self._waiting = ''
        elif self._client.service_is_ready():
            self._waiting = f'{self._service_name} has not answered yet'
            self._timer.cancel()
            self._client.call_async(self._pending.pop(0)).add_done_callback(self._on_answer)

    def _on_answer(self, future: Future) -> None:
        self._timer.reset()
        self._request_next()

    def _gripper_command(self, opening: float, measured: float | None) -> float:
        """PWM towards the wanted opening, or the motor angle [rad] of that opening."""
        if self.options['gripper_mode'] == 'current_based_position':
            return gripper_angle(self.embodiment.gripper.finger_position(opening))
        pwm = float(self.options['gripper_pwm'])
        if opening < 0.1:  # keep squeezing, so that a grasped object stays
            return -pwm
        if measured is None:
            return pwm if opening > 0.5 else -pwm
        error = opening - measured
        if abs(error) < 0.08:
            return 0.0
        return math.copysign(pwm, error)


def gripper_angle(finger_position: float) -> float:
    """Motor angle [rad] of the gripper's slider-crank for a finger position [m].

    Law of cosines on horn, arm and finger; the driver counts from a quarter turn.
    """
    cosine = (_HORN**2 + finger_position**2 - _ARM**2) / (2.0 * _HORN * finger_position)
    return math.pi / 2.0 - math.acos(max(-1.0, min(1.0, cosine)))
