"""Where one number or one press comes from in the axes and buttons of a gamepad."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from univla_core.errors import ConfigError


@dataclass(frozen=True)
class StickSource:
    """A stick or d-pad axis, times `scale`; left and up are positive in `sensor_msgs/Joy`."""

    axis: int
    scale: float = 1.0

    def value(
        self, axes: Sequence[float], buttons: Sequence[int], touched: Collection[int]
    ) -> float:
        """Deflection in [-1, 1]."""
        return self.scale * axes[self.axis]


@dataclass(frozen=True)
class TriggerSource:
    """Two triggers: the first counts as positive, the second as negative.

    Drivers report a trigger as 0 until it is first touched, which for most gamepads would mean
    half pressed. A trigger therefore counts as released until its value has been another one.
    """

    plus: int
    minus: int
    released: float
    pressed: float

    def value(
        self, axes: Sequence[float], buttons: Sequence[int], touched: Collection[int]
    ) -> float:
        """Difference of the two in [-1, 1]."""
        return self._pull(axes, self.plus, touched) - self._pull(axes, self.minus, touched)

    def _pull(self, axes: Sequence[float], index: int, touched: Collection[int]) -> float:
        if index not in touched:
            return 0.0
        share = (axes[index] - self.released) / (self.pressed - self.released)
        return min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class ButtonSource:
    """Two buttons: the first counts as +1, the second as -1, times `scale`."""

    plus: int
    minus: int
    scale: float = 1.0

    def value(
        self, axes: Sequence[float], buttons: Sequence[int], touched: Collection[int]
    ) -> float:
        """-1, 0 or 1 times the scale."""
        return self.scale * (float(bool(buttons[self.plus])) - float(bool(buttons[self.minus])))


MotionSource = StickSource | TriggerSource | ButtonSource


@dataclass(frozen=True)
class PressSource:
    """One button, several held together, or one side of a d-pad axis.

    Attributes:
        buttons: Buttons that must all be pressed.
        axis: Axis that must be deflected, -1 without one.
        side: Side to which it must be deflected, 1 or -1.
    """

    buttons: tuple[int, ...] = ()
    axis: int = -1
    side: float = 1.0

    def pressed(self, axes: Sequence[float], buttons: Sequence[int]) -> bool:
        """Whether it is pressed; false where the message is too short to tell."""
        if self.axis >= 0:
            return self.axis < len(axes) and axes[self.axis] * self.side > 0.5
        return all(index < len(buttons) and bool(buttons[index]) for index in self.buttons)


def motion_source(entry: Any, where: str) -> MotionSource:
    """Read `{axis, scale}`, `{buttons: [plus, minus], scale}` or `{triggers: [plus, minus], …}`.

    Raises:
        ConfigError: If it has another form.
    """
    forms = {'axis': ('scale',), 'buttons': ('scale',), 'triggers': ('released', 'pressed')}
    kind = next((name for name in forms if isinstance(entry, Mapping) and name in entry), None)
    if kind is None:
        raise ConfigError(
            f'{where} is {entry!r}; write {{axis: 1}}, {{axis: 1, scale: -1.0}}, '
            '{buttons: [plus, minus]} or {triggers: [plus, minus], released: 1.0, pressed: -1.0}'
        )
    refuse_unknown(entry, (kind, *forms[kind]), where)
    if kind == 'axis':
        return StickSource(index(entry['axis'], f'{where}.axis'), _number(entry, 'scale', where))
    plus, minus = _pair(entry[kind], f'{where}.{kind}')
    if kind == 'buttons':
        return ButtonSource(plus, minus, _number(entry, 'scale', where))
    released, pressed = (_number(entry, name, where) for name in forms[kind])
    if released == pressed:
        raise ConfigError(f'{where}: released and pressed must differ; look at both on topic joy')
    return TriggerSource(plus, minus, released, pressed)


def press_source(entry: Any, where: str) -> PressSource:
    """Read a button number, a list of numbers held together, or `{axis, side}`.

    Raises:
        ConfigError: If it has another form.
    """
    if isinstance(entry, Mapping):
        refuse_unknown(entry, ('axis', 'side'), where)
        side = entry.get('side', 1)
        if side not in (1, -1) or 'axis' not in entry:
            raise ConfigError(
                f'{where} is {dict(entry)!r}; write {{axis: 7, side: 1}} or side: -1'
            )
        return PressSource(axis=index(entry['axis'], f'{where}.axis'), side=float(side))
    numbers = entry if isinstance(entry, list) else [entry]
    if not numbers:
        raise ConfigError(f'{where} names no button; leave the key out instead')
    return PressSource(tuple(index(number, where) for number in numbers))


def index(value: Any, where: str) -> int:
    """A number of an axis or a button, counted from 0.

    Raises:
        ConfigError: If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f'{where} is {value!r}; write its number, counted from 0')
    return value


def refuse_unknown(entry: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse keys that nobody reads.

    Raises:
        ConfigError: If there is one; the known ones are listed.
    """
    unknown = sorted(str(name) for name in set(entry) - set(known))
    if unknown:
        raise ConfigError(
            f'{where}: unknown key {", ".join(unknown)}; known keys are {", ".join(known)}'
        )


def number(value: Any, where: str) -> float:
    """A finite number.

    Raises:
        ConfigError: If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise ConfigError(f'{where} is {value!r}; write a number')
    return float(value)


def _number(entry: Mapping[str, Any], name: str, where: str) -> float:
    defaults = {'pressed': -1.0}
    return number(entry.get(name, defaults.get(name, 1.0)), f'{where}.{name}')


def _pair(value: Any, where: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f'{where} is {value!r}; write two numbers, [plus, minus]')
    return index(value[0], where), index(value[1], where)
