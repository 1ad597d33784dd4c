"""Subscribes to everything through which a person moves or stops one robot."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool
from std_msgs.msg import Int32MultiArray
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory
from univla_control.command import Mode
from univla_control.controller import ChunkController
from univla_control.teleop import JointAsk
from univla_control.teleop import TwistAsk
from univla_core.embodiment import Embodiment
from univla_core.errors import ActionError

from univla_ros.conversions import seconds_from_msg
from univla_ros.qos import EVENT
from univla_ros.qos import SENSOR
from univla_ros.teleop.joy_input import JoyInput
from univla_ros.teleop.joy_mapping import JoyReader
from univla_ros.teleop.joy_mapping import load_joy_mapping

#: Where the recorder hears what is pressed for it.
RECORD_EVENT = 'record/event'

#: Name of the gripper in `teleop/joint_trajectory`; its position is the opening in [0, 1].
GRIPPER = 'gripper'

_JOY_AWAY_S = 0.5  # silence after which a gamepad is as new: nothing held counts


class OperatorInputs:
    """Hands a person's messages to the controller; what is bad is told and counts as letting go.

    Args:
        node: An active `ControllerNode`, for subscriptions, clock and warnings.
        embodiment: The robot.
        controller: Takes in what the person asks for.
        config: `joy_mapping`, `joy_speed_mps`, `joy_rotation_radps`.

    Raises:
        ConfigError: If the mapping of the gamepad is unknown or malformed.
    """

    def __init__(
        self, node: Any, embodiment: Embodiment, controller: ChunkController, config: Any
    ) -> None:
        self._node, self._embodiment, self._controller = node, embodiment, controller
        self._config = config
        self._joy = JoyReader(load_joy_mapping(config.joy_mapping), embodiment.kind)
        self._joy_heard = 0.0
        self._lock_heard: float | None = None
        make: Node = node
        self._record = make.create_publisher(String, RECORD_EVENT, EVENT)
        self._entities = [
            make.create_subscription(*entry)
            for entry in (
                (TwistStamped, 'teleop/twist', self._on_twist, SENSOR),
                (JointTrajectory, 'teleop/joint_trajectory', self._on_joints, SENSOR),
                (Int32MultiArray, 'teleop/latent_code', self._on_code, SENSOR),
                (Joy, 'joy', self._on_joy, SENSOR),
                (Bool, 'estop_lock', self._on_lock, EVENT),
            )
        ]

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._entities:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self._record)

    def check_lock(self) -> None:
        """Latch the emergency stop when the lock is required and its publisher is silent."""
        timeout = self._config.estop_lock_timeout_s
        if not timeout or self._controller.mode in (Mode.IDLE, Mode.ESTOP):
            return
        if self._lock_heard is None or self._node.now() - self._lock_heard > timeout:
            self._estop('estop_lock is silent; its publisher must say false all the time')

    def _estop(self, reason: str) -> None:
        self._controller.set_mode(Mode.ESTOP, self._node.now(), reason)

    def _tell(self, refused: str | None) -> None:
        if refused is not None:
            self._node.warn(refused)

    def _on_lock(self, msg: Bool) -> None:
        self._lock_heard = self._node.now()
        if msg.data and self._controller.mode is not Mode.IDLE:
            self._estop('estop_lock')

    def _on_twist(self, msg: TwistStamped) -> None:
        linear, angular = msg.twist.linear, msg.twist.angular
        if self._embodiment.kind == 'base':
            ask = TwistAsk(np.array([linear.x, angular.z]))
        else:
            values = [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]
            try:
                ask = TwistAsk(np.array(values), self._is_tool(msg.header.frame_id))
            except ActionError as error:
                self._controller.teleop.release('twist')
                self._tell(str(error))
                return
        self._tell(self._controller.teleop.on_twist(self._node.now(), ask))

    def _is_tool(self, frame: str) -> bool:
        """Whether a twist is given along the end effector's axes.

        Raises:
            ActionError: If the frame is neither the base nor the end effector.
        """
        prefix = self._embodiment.frame_prefix
        name = frame.removeprefix(prefix)
        if name in ('', self._embodiment.base_frame):
            return False
        if name == self._embodiment.ee_frame:
            return True
        raise ActionError(
            f'teleop/twist is in frame {frame!r}; send it in '
            f'{prefix}{self._embodiment.base_frame} or {prefix}{self._embodiment.ee_frame}'
        )

    def _on_joints(self, msg: JointTrajectory) -> None:
        teleop = self._controller.teleop
        try:
            ask, opening = joint_ask_from_msg(msg, self._embodiment, self._node.now())
        except ActionError as error:
            teleop.release('joint_trajectory')
            self._tell(str(error))
            return
        if opening is not None:
            self._tell(teleop.on_opening(opening))
        if ask is not None:
            self._tell(teleop.on_joints(self._node.now(), ask))

    def _on_code(self, msg: Int32MultiArray) -> None:
        if len(msg.data):
            self._tell(self._controller.teleop.on_code(self._node.now()))
        else:
            self._controller.teleop.release('latent_code')

    def _on_joy(self, msg: Joy) -> None:
        now, teleop = self._node.now(), self._controller.teleop
        if now - self._joy_heard > _JOY_AWAY_S:
            self._joy.reset()
        self._joy_heard = now
        read = self._joy.read(msg.axes, msg.buttons)
        if read.problem:
            self._tell(read.problem)
        for event in read.events:
            self._on_joy_event(event)
        if not read.deadman:
            teleop.release('joy')
            return
        self._tell(teleop.on_twist(now, self._joy_ask(read), 'joy'))
        if read.gripper is not None:
            self._tell(teleop.on_opening(read.gripper))

    def _joy_ask(self, read: JoyInput) -> TwistAsk:
        if self._embodiment.kind == 'base':
            return TwistAsk(read.twist * self._embodiment.limits.velocity)
        scale = np.repeat([self._config.joy_speed_mps, self._config.joy_rotation_radps], 3)
        return TwistAsk(read.twist * scale, self._config.joy_frame == 'tool')

    def _on_joy_event(self, event: str) -> None:
        modes = {'policy': Mode.POLICY, 'hold': Mode.HOLD, 'teleop': Mode.TELEOP}
        if event == 'estop':
            self._estop('button of the gamepad')
        elif event == 'reset_estop':
            self._tell(self._controller.reset_estop())
        elif event in modes:
            now = self._node.now()
            self._tell(self._controller.set_mode(modes[event], now, 'gamepad'))
        else:
            self._record.publish(String(data=event))


def joint_ask_from_msg(
    msg: JointTrajectory, embodiment: Embodiment, now: float
) -> tuple[JointAsk | None, float | None]:
    """Joint angles over time and the gripper opening that a leader asks for.

    Args:
        msg: A trajectory; points are due `time_from_start` after its stamp, or after `now` if it
            has none. Joints come in any order, all of them or none.
        embodiment: The follower.
        now: Time of arrival [s].

    Raises:
        ActionError: If joints are missing, unknown, or points have other lengths.
    """
    names, arm = list(msg.joint_names), list(embodiment.axis_names)
    led = [name for name in names if name != GRIPPER]
    if led and sorted(led) != sorted(arm):
        raise ActionError(
            f'teleop/joint_trajectory names {", ".join(led)}; a leader of {embodiment.name} must '
            f'name {", ".join(arm)}, or {GRIPPER} alone'
        )
    if not msg.points or any(len(point.positions) != len(names) for point in msg.points):
        raise ActionError(
            f'teleop/joint_trajectory needs points with {len(names)} positions, one a name'
        )
    rows = np.array([point.positions for point in msg.points], dtype=float)
    opening = float(rows[-1, names.index(GRIPPER)]) if GRIPPER in names else None
    if not led:
        return None, opening
    start = seconds_from_msg(msg.header.stamp) or now
    times = [start + p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in msg.points]
    return JointAsk(np.array(times), rows[:, [names.index(name) for name in arm]]), opening
