"""Gamepads as data: `config/teleop/<name>.yaml` says what their axes and buttons mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.errors import ConfigError
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory

from univla_ros.teleop.joy_input import AXES
from univla_ros.teleop.joy_input import ESTOP
from univla_ros.teleop.joy_input import EVENTS
from univla_ros.teleop.joy_input import SCALES
from univla_ros.teleop.joy_input import JoyInput
from univla_ros.teleop.joy_input import JoyMapping
from univla_ros.teleop.joy_input import touched_axes
from univla_ros.teleop.joy_sources import ButtonSource
from univla_ros.teleop.joy_sources import MotionSource
from univla_ros.teleop.joy_sources import index
from univla_ros.teleop.joy_sources import motion_source
from univla_ros.teleop.joy_sources import number
from univla_ros.teleop.joy_sources import press_source
from univla_ros.teleop.joy_sources import refuse_unknown

_KEYS = ('deadman', 'turbo', 'slow', 'scale', 'deadband', 'arm', 'base', 'gripper', 'events')


class JoyReader:
    """Reads the messages of one gamepad in turn and tells what was pressed just now.

    After the first message, an unusable one and `reset`, everything held counts as held before:
    the dead-man button must be let go and pressed again, and no event fires but the emergency
    stop.
    """

    def __init__(self, mapping: JoyMapping, kind: str) -> None:
        self.mapping = mapping
        self._kind = kind
        self._let_go = False
        self._held: frozenset[str] = frozenset()
        self.reset()

    def reset(self) -> None:
        """Start anew, as after the gamepad was away."""
        self._touched: set[int] = set()
        self._stop_held = False
        self._forget_held()

    def read(self, axes: Sequence[float], buttons: Sequence[int]) -> JoyInput:
        """Read the next message."""
        self._touched |= touched_axes(axes)
        found = self.mapping.read(axes, buttons, self._kind, self._touched)
        events = self._new_events(axes, buttons)
        if found.problem:
            self._forget_held()
            return dataclasses.replace(found, events=tuple(e for e in events if e == ESTOP))
        self._let_go = self._let_go or not buttons[self.mapping.deadman]
        if not self._let_go:
            found = JoyInput(deadman=False, twist=np.zeros_like(found.twist))
        return dataclasses.replace(found, events=events)

    def _new_events(self, axes: Sequence[float], buttons: Sequence[int]) -> tuple[str, ...]:
        held = self.mapping.held_events(axes, buttons)
        new = held - self._held - self.mapping.hidden_events(held)
        self._held, self._stop_held = held, ESTOP in held
        return tuple(name for name in EVENTS if name in new)

    def _forget_held(self) -> None:
        self._let_go = False
        self._held = frozenset(e for e in EVENTS if e != ESTOP or self._stop_held)


def load_joy_mapping(name: str | Path) -> JoyMapping:
    """Load a mapping by name from `config/teleop`, or from the path of a YAML.

    Raises:
        ConfigError: If it is unknown (the known ones are listed) or its YAML is wrong.
    """
    path = Path(name)
    if path.suffix != '.yaml':
        path = config_directory() / 'teleop' / f'{name}.yaml'
        if not path.is_file():
            raise ConfigError(
                f'unknown gamepad {str(name)!r}; known are {", ".join(joy_mapping_names())}'
            )
    return joy_mapping(read_yaml(path), str(path))


def joy_mapping_names() -> tuple[str, ...]:
    """Names of all mappings in `config/teleop`."""
    return tuple(sorted(path.stem for path in (config_directory() / 'teleop').glob('*.yaml')))


def joy_mapping(document: Mapping[str, Any], where: str) -> JoyMapping:
    """Build a mapping from a YAML document.

    Raises:
        ConfigError: If a key is unknown or missing or a value does not fit.
    """
    refuse_unknown(document, _KEYS, where)
    if 'deadman' not in document:
        raise ConfigError(f'{where}: deadman is missing; name the button that must be held')
    buttons = {
        key: index(document[key], f'{where}: {key}')
        for key in ('deadman', 'turbo', 'slow')
        if key in document
    }
    gripper = _section(document, 'gripper', ('open', 'close'), where)
    for key, target in (('open', 'opens'), ('close', 'closes')):
        if key in gripper:
            buttons[target] = index(gripper[key], f'{where}: gripper.{key}')
    mapping = JoyMapping(
        name=Path(where).stem,
        motions={kind: _motions(document, kind, where) for kind in AXES},
        scales=_scales(document, where),
        deadband=_share(document.get('deadband', 0.1), f'{where}: deadband', below=0.9),
        events={
            name: press_source(entry, f'{where}: events.{name}')
            for name, entry in _section(document, 'events', EVENTS, where).items()
        },
        **buttons,
    )
    _refuse_moving_deadman(mapping, where)
    return mapping


def _motions(document: Mapping[str, Any], kind: str, where: str) -> dict[str, MotionSource]:
    section = _section(document, kind, AXES[kind], where)
    return {name: motion_source(e, f'{where}: {kind}.{name}') for name, e in section.items()}


def _scales(document: Mapping[str, Any], where: str) -> dict[str, float]:
    given = _section(document, 'scale', tuple(SCALES), where)
    return {
        name: _share(given.get(name, default), f'{where}: scale.{name}')
        for name, default in SCALES.items()
    }


def _section(
    document: Mapping[str, Any], key: str, known: Sequence[str], where: str
) -> Mapping[str, Any]:
    section = document.get(key, {})
    if not isinstance(section, Mapping):
        raise ConfigError(f'{where}: {key} is {section!r}; write keys out of {", ".join(known)}')
    refuse_unknown(section, known, f'{where}: {key}')
    return section


def _share(value: Any, where: str, below: float = 1.0) -> float:
    share = number(value, where)
    if not 0.0 <= share <= below:
        raise ConfigError(f'{where} is {share}; it must lie in [0, {below}]')
    return share


def _refuse_moving_deadman(mapping: JoyMapping, where: str) -> None:
    """The dead-man button must mean nothing else, or holding it would do things."""
    others = {mapping.turbo, mapping.slow, mapping.opens, mapping.closes}
    for event in mapping.events.values():
        others |= set(event.buttons)
    for sources in mapping.motions.values():
        for source in sources.values():
            if isinstance(source, ButtonSource):
                others |= {source.plus, source.minus}
    if mapping.deadman in others:
        raise ConfigError(
            f'{where}: button {mapping.deadman} is the dead-man button and something else too; '
            'give it one meaning'
        )
