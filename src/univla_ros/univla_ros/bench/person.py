"""The bench's own operator: words a twist or a gamepad's message that moves the robot."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import MutableSequence
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import Joy
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory

from univla_ros.bench.steering import AXES
from univla_ros.bench.steering import FASTEST
from univla_ros.bench.steering import Steering
from univla_ros.bench.watch import RobotWatch

#: A base drives a curve [m/s], [rad/s].
_BASE_TWIST = 0.1, 0.3
#: Deflection of a stick.
_STICK = 0.6
_GAMEPAD = 'xbox'
#: Share of a velocity limit that counts as following; more than a trial asks for.
_FOLLOWS = 0.03


class Person:
    """Pushes an arm where it can move, and a base along a curve.

    Args:
        watch: What is heard of the robot.
        clock: Tells the time [s].

    Attributes:
        pressed: Whether the gamepad's dead-man button is held.
    """

    def __init__(self, watch: RobotWatch, clock: Callable[[], float] = time.monotonic) -> None:
        self._watch, self._clock = watch, clock
        self._arm = watch.embodiment.kind == 'arm'
        self._gamepad: dict[str, Any] = read_yaml(
            config_directory() / 'teleop' / f'{_GAMEPAD}.yaml'
        )
        self.pressed = False
        self.begin()

    def begin(self) -> None:
        """Take hold anew."""
        self._steering = Steering()

    def twist(self) -> TwistStamped:
        """What a person says who steers; the stamp is left open."""
        msg = TwistStamped()
        linear, angular = msg.twist.linear, msg.twist.angular
        if self._arm:
            push = self._push().tolist()
            linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = push
        else:
            linear.x, angular.z = _BASE_TWIST
        return msg

    def joy(self) -> Joy:
        """What the gamepad says, sticks and triggers pushed; the stamp is left open."""
        msg = Joy(axes=[0.0] * 8, buttons=[0] * 16)
        held = [self._gamepad['deadman']]
        if self._arm:
            held.append(self._gamepad['turbo'])
            shares = _STICK * self._push() / FASTEST
            for axis, share in zip(AXES, shares.tolist(), strict=True):
                _deflect(msg.axes, self._gamepad['arm'][axis], share)
        else:
            _deflect(msg.axes, self._gamepad['base']['linear'], _STICK)
        for button in held:
            msg.buttons[button] = int(self.pressed)
        return msg

    def _push(self) -> np.ndarray:
        """Twist (6,) [m/s, rad/s] that moves the arm, as far as is known."""
        watch = self._watch
        mine = watch.said is not None and watch.said.source == 'teleop'
        way = self._steering.way(self._clock(), not mine or watch.speed() >= _FOLLOWS)
        measured = watch.measured.values[-1:]
        return way.twist(watch.embodiment, np.asarray(measured[0]) if measured else None)


def _deflect(axes: MutableSequence[float], entry: dict[str, Any], share: float) -> None:
    """Deflect a stick, or the one of two triggers, that `entry` of a gamepad's file names."""
    if 'axis' in entry:
        axes[entry['axis']] = share * entry.get('scale', 1.0)
        return
    released, pressed = entry['released'], entry['pressed']
    for trigger, pull in zip(entry['triggers'], (share, -share), strict=True):
        axes[trigger] = released + max(0.0, pull) * (pressed - released)
