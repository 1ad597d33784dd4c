"""What one message of a gamepad asks for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from univla_ros.teleop.joy_sources import ButtonSource
from univla_ros.teleop.joy_sources import MotionSource
from univla_ros.teleop.joy_sources import PressSource
from univla_ros.teleop.joy_sources import StickSource
from univla_ros.teleop.joy_sources import TriggerSource

AXES = {'arm': ('x', 'y', 'z', 'rx', 'ry', 'rz'), 'base': ('linear', 'angular')}
ESTOP = 'estop'
EVENTS = (
    *(ESTOP, 'reset_estop', 'policy', 'teleop', 'hold'),
    *('record_start', 'record_stop', 'record_success', 'record_failure', 'record_discard'),
    'record_keep_last',
)
SCALES = {'normal': 0.5, 'turbo': 1.0, 'slow': 0.2}


@dataclass(frozen=True, kw_only=True)
class JoyInput:
    """What one message of a gamepad asks for.

    Attributes:
        deadman: Whether the dead-man button is held; without it nothing else may move the robot.
        twist: Shares of the largest speed in [-1, 1]: x y z rx ry rz of an arm (6,), or linear x
            and angular z of a base (2,). Zero while the dead-man button is not held.
        gripper: Opening to go to (1 open, 0 closed), None to leave the gripper as it is.
        events: Names out of `EVENTS` of the buttons that were pressed just now.
        problem: Why the message cannot be used, empty if it can.
    """

    deadman: bool
    twist: np.ndarray
    gripper: float | None = None
    events: tuple[str, ...] = ()
    problem: str = ''


@dataclass(frozen=True, kw_only=True)
class JoyMapping:
    """Meaning of the axes and buttons of one kind of gamepad.

    Attributes:
        name: File it was read from, for messages.
        deadman: Button that must be held.
        motions: Source of every axis, by kind of robot (`arm`, `base`) and axis name.
        opens: Button that opens the gripper, -1 without one.
        closes: Button that closes it, -1 without one.
        turbo: Button for full speed, -1 without one.
        slow: Button for careful speed, -1 without one.
        scales: Share of the largest speed by `normal`, `turbo` and `slow`.
        deadband: Deflection up to which an axis counts as released.
        events: Source of every event.
    """

    name: str
    deadman: int
    motions: Mapping[str, Mapping[str, MotionSource]]
    opens: int = -1
    closes: int = -1
    turbo: int = -1
    slow: int = -1
    scales: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict(SCALES))
    deadband: float = 0.1
    events: Mapping[str, PressSource] = dataclasses.field(default_factory=dict)

    def read(
        self,
        axes: Sequence[float],
        buttons: Sequence[int],
        kind: str,
        touched: Collection[int] | None = None,
    ) -> JoyInput:
        """Read one message; one that cannot be used moves nothing.

        Args:
            axes: Axes of `sensor_msgs/Joy`, left and up positive.
            buttons: Buttons of `sensor_msgs/Joy`, 1 if pressed.
            kind: `arm` or `base`.
            touched: Axes that have been other than 0 since the gamepad was found; None takes
                those that are other than 0 now.
        """
        still = np.zeros(len(AXES[kind]))
        problem = self.problem(axes, buttons, kind)
        if problem or not buttons[self.deadman]:
            return JoyInput(deadman=False, twist=still, problem=problem)
        if touched is None:
            touched = touched_axes(axes)
        sources = self.motions[kind]
        twist = np.array(
            [
                self._beyond_deadband(sources[name].value(axes, buttons, touched))
                if name in sources
                else 0.0
                for name in AXES[kind]
            ]
        )
        return JoyInput(
            deadman=True, twist=self._speed(buttons) * twist, gripper=self._gripper(buttons)
        )

    def problem(self, axes: Sequence[float], buttons: Sequence[int], kind: str) -> str:
        """Why a message cannot be used, empty if it can."""
        need_axes, need_buttons = self._needs(kind)
        if len(axes) < need_axes or len(buttons) < need_buttons:
            return (
                f'the gamepad has {len(axes)} axes and {len(buttons)} buttons, mapping '
                f'{self.name} needs {need_axes} and {need_buttons}; choose another file of '
                'config/teleop or write one'
            )
        if not all(math.isfinite(value) for value in axes):
            return f'the gamepad reports {list(axes)}; an axis that is no number moves nothing'
        return ''

    def held_events(self, axes: Sequence[float], buttons: Sequence[int]) -> frozenset[str]:
        """Names of the events whose buttons are held."""
        return frozenset(name for name, e in self.events.items() if e.pressed(axes, buttons))

    def hidden_events(self, held: Collection[str]) -> frozenset[str]:
        """Events of single buttons that belong to a chord which is held as a whole."""
        chords = [self.events[name].buttons for name in held]
        return frozenset(
            name
            for name, event in self.events.items()
            if len(event.buttons) == 1
            and any(len(chord) > 1 and event.buttons[0] in chord for chord in chords)
        )

    def _needs(self, kind: str) -> tuple[int, int]:
        axes, buttons = [-1], [self.deadman, self.turbo, self.slow, self.opens, self.closes]
        for source in self.motions[kind].values():
            if isinstance(source, StickSource):
                axes.append(source.axis)
            elif isinstance(source, TriggerSource):
                axes += [source.plus, source.minus]
            elif isinstance(source, ButtonSource):
                buttons += [source.plus, source.minus]
        if ESTOP in self.events:  # a gamepad whose stop cannot be read must not drive
            axes.append(self.events[ESTOP].axis)
            buttons += self.events[ESTOP].buttons
        return max(axes) + 1, max(buttons) + 1

    def _speed(self, buttons: Sequence[int]) -> float:
        if self.slow >= 0 and buttons[self.slow]:
            return self.scales['slow']
        turbo = self.turbo >= 0 and buttons[self.turbo]
        return self.scales['turbo' if turbo else 'normal']

    def _gripper(self, buttons: Sequence[int]) -> float | None:
        opens = self.opens >= 0 and bool(buttons[self.opens])
        closes = self.closes >= 0 and bool(buttons[self.closes])
        return None if opens == closes else float(opens)

    def _beyond_deadband(self, value: float) -> float:
        """Zero inside the dead-band, from there on steadily up to 1."""
        beyond = (abs(value) - self.deadband) / (1.0 - self.deadband)
        return math.copysign(min(max(beyond, 0.0), 1.0), value)


def touched_axes(axes: Sequence[float]) -> set[int]:
    """Axes that report something: driver and device really read them."""
    return {i for i, value in enumerate(axes) if value != 0.0 and math.isfinite(value)}
