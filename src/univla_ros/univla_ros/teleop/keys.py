"""From keys to what the operator wants now. No terminal and no ROS: time comes as an argument."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from univla_ros.teleop.code_picker import CodePicker
from univla_ros.teleop.key_names import ESCAPE

#: Time that a key counts as held after its last repetition [s].
RELEASE_S = 0.25
#: The same after its first press: terminals begin to repeat only after a while [s].
FIRST_S = 0.6
#: Keys of every axis, forward and backward: x y z rx ry rz of an arm, linear and turn of a base.
AXIS_KEYS = {'arm': ('ws', 'ad', 'qe', 'ou', 'ki', 'jl'), 'base': ('ws', 'ad')}
#: Gripper opening that a key asks for.
GRIPPER_KEYS = {'g': 1.0, 'h': 0.0}
_STEP = 1.25  # + and - change the speed by this factor
_SLOWEST = 0.02  # share of the largest speed


class Request(Enum):
    """What a key asks for beside motion; `IDLE` to `HOLD` are modes of the controller."""

    IDLE = 'idle'
    POLICY = 'policy'
    TELEOP = 'teleop'
    HOLD = 'hold'
    ESTOP = 'estop'
    RESET = 'reset_estop'


_REQUESTS = {
    '0': Request.IDLE,
    '1': Request.POLICY,
    '2': Request.TELEOP,
    '3': Request.HOLD,
    ' ': Request.HOLD,
    'x': Request.ESTOP,
    ESCAPE: Request.ESTOP,
    'r': Request.RESET,
}


@dataclass(frozen=True)
class Speeds:
    """Translation [m/s] and rotation [rad/s]."""

    linear: float
    angular: float

    def scaled(self, factor: float, largest: Speeds) -> Speeds:
        """Both times a factor, from a fiftieth of the largest speeds up to them."""
        return Speeds(
            min(max(self.linear * factor, _SLOWEST * largest.linear), largest.linear),
            min(max(self.angular * factor, _SLOWEST * largest.angular), largest.angular),
        )


@dataclass(frozen=True)
class Intent:
    """What is to be published at this instant; None publishes nothing.

    Attributes:
        twist: Velocity of the end effector (6,) or the base (2,) [m/s, rad/s].
        opening: Gripper opening to go to, 0 to 1.
        codes: Latent codes to follow; empty lets go of them.
    """

    twist: np.ndarray | None = None
    opening: float | None = None
    codes: tuple[int, ...] | None = None


class KeyState:
    """What is held, at which speed, in which frame, and which latent code is chosen.

    A terminal tells no release of a key, only its repetitions. A motion key therefore counts as
    held until `RELEASE_S` after it came last, `FIRST_S` after its first press. Whatever cuts the
    keys off (a lost connection, another window) stops the robot in the same way.

    Args:
        kind: `arm` or `base`.
        speeds: Speeds to begin with.
        largest: Speeds that `+` does not pass.
        gripper: Whether the robot has one.
        tool: Whether twists are in the end effector's frame instead of the base's.
        picker: Chooser of latent codes.
    """

    def __init__(
        self,
        kind: str,
        speeds: Speeds,
        largest: Speeds,
        *,
        gripper: bool = False,
        tool: bool = False,
        picker: CodePicker | None = None,
    ) -> None:
        self.kind = kind
        self.speeds = speeds
        self.largest = largest
        self.gripper = gripper
        self.tool = tool
        self.picker = picker or CodePicker()
        self.code_mode = False
        self.note = ''
        self._held: dict[Hashable, tuple[float, float]] = {}  # slot: value, time of release
        self._moving = self._following = False

    def press(self, key: str, now: float) -> Request | None:
        """Take in one key at a time [s]; returns what it asks for beside motion."""
        name = key.lower() if len(key) == 1 else key
        self.note = ''
        if name == 'c':
            self.code_mode = not self.code_mode
            self._held.clear()
            return None
        if name in ('+', '=', '-', '_'):
            factor = _STEP if name in '+=' else 1.0 / _STEP
            self.speeds = self.speeds.scaled(factor, self.largest)
            return None
        request = None if self.code_mode and name.isdecimal() else _REQUESTS.get(name)
        if request is not None:
            if request not in (Request.POLICY, Request.TELEOP):
                self._held.clear()
            return request
        if self.code_mode:
            self._press_in_code_mode(name, now)
        else:
            self._press_motion(name, now)
        return None

    def intent(self, now: float) -> Intent:
        """What is to be published at a time [s]; call it at every tick.

        When the last key is released, zero velocity or no codes are said once, then nothing more.
        """
        self._held = {slot: h for slot, h in self._held.items() if h[1] > now}
        if 'code' in self._held:
            self._moving, self._following = False, True
            return Intent(codes=self.picker.message())
        followed, self._following = self._following, False
        moved, self._moving = self._moving, bool(self._held)
        opening = self._held.get('gripper')
        return Intent(
            twist=self._twist() if moved or self._moving else None,
            opening=opening and opening[0],
            codes=() if followed else None,
        )

    def release(self) -> None:
        """Let go of everything."""
        self._held.clear()

    def _press_motion(self, key: str, now: float) -> None:
        axis = self._axis(key)
        if axis is not None:
            self._hold(axis, 1.0 if AXIS_KEYS[self.kind][axis][0] == key else -1.0, now)
        elif key in GRIPPER_KEYS and self.gripper:
            self._hold('gripper', GRIPPER_KEYS[key], now)
        elif key == 't' and self.kind == 'arm':
            self.tool = not self.tool
            self._held.clear()

    def _press_in_code_mode(self, key: str, now: float) -> None:
        if key == 'f':
            self._hold('code', 1.0, now)
            return
        note = self.picker.press(key)
        if note is not None:
            self.note = note
        elif self._axis(key) is not None or key in GRIPPER_KEYS:
            self.note = 'the keys pick a latent code now; c goes back to motion'

    def _hold(self, slot: Hashable, value: float, now: float) -> None:
        """Hold one key; the others have stopped repeating, as a terminal repeats only one."""
        before = self._held.get(slot)
        repeated = before is not None and before[0] == value and before[1] > now
        until = now + (RELEASE_S if repeated else FIRST_S)
        self._held = {s: (v, min(t, now + RELEASE_S)) for s, (v, t) in self._held.items()}
        self._held[slot] = (value, max(until, before[1]) if repeated and before else until)

    def _axis(self, key: str) -> int | None:
        """Number of the axis that a key moves."""
        pairs = AXIS_KEYS[self.kind]
        return next((axis for axis, pair in enumerate(pairs) if key in pair), None)

    def _twist(self) -> np.ndarray:
        linear, angular = self.speeds.linear, self.speeds.angular
        scale = [linear] * 3 + [angular] * 3 if self.kind == 'arm' else [linear, angular]
        values = [self._held.get(axis, (0.0, 0.0))[0] for axis in range(len(scale))]
        return np.array(scale) * values
