"""One frozen dataclass is one node's configuration, one YAML section, one set of parameters."""

from __future__ import annotations

import array
import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import Protocol
from typing import TypeVar

import yaml

from univla_core.errors import ConfigError


class Dataclass(Protocol):
    """Anything made by `dataclasses.dataclass`."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


ConfigT = TypeVar('ConfigT', bound=Dataclass)
#: The parser in C is ten times as fast; builds of PyYAML without it read the same.
_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare one configuration field together with what a person needs to know about it.

    Args:
        default: Value when neither YAML nor the command line gives one.
        description: One sentence; units in square brackets.
        low: Smallest accepted number.
        high: Largest accepted number.
        choices: Accepted strings; empty accepts any.
        live: Whether the node reacts to a change while it runs.
    """
    metadata = {
        'description': description,
        'low': low,
        'high': high,
        'choices': choices,
        'live': live,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def default_of(field: dataclasses.Field) -> Any:
    """The default value of a field made by `parameter`."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def config_from_mapping(kind: type[ConfigT], values: Mapping[str, Any], where: str) -> ConfigT:
    """Build `kind` from plain values, checking names, types, ranges and choices.

    Raises:
        ConfigError: If a name is unknown or a value does not fit; `where` names the source.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f'{where}: unknown key {", ".join(unknown)}; known keys are {", ".join(fields)}'
        )
    hints = typing.get_type_hints(kind)
    checked = {
        name: _checked(value, fields[name], hints[name], f'{where}: {name}')
        for name, value in values.items()
    }
    return kind(**checked)


def load_config(kind: type[ConfigT], path: str | Path, section: str = '/**') -> ConfigT:
    """Read `kind` from a ROS parameter file (`section: ros__parameters: …`) without ROS.

    Raises:
        ConfigError: If the file is missing, is not YAML or holds values that do not fit.
    """
    document = read_yaml(path)
    values = document.get(section, {}).get('ros__parameters', {})
    return config_from_mapping(kind, values, str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: If the file is missing, is not valid YAML or is not a mapping.
    """
    try:
        document = yaml.load(Path(path).read_text(), Loader=_LOADER)
    except OSError as error:
        raise ConfigError(f'{path}: cannot be read ({error.strerror}); check the path') from error
    except yaml.YAMLError as error:
        raise ConfigError(f'{path}: is not valid YAML: {error}') from error
    if not isinstance(document, dict):
        raise ConfigError(f'{path}: must hold a mapping of keys, not {type(document).__name__}')
    return document


def _checked(value: Any, field: dataclasses.Field, hint: Any, where: str) -> Any:
    kind = typing.get_origin(hint) or hint
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is list and isinstance(value, array.array):  # as rclpy hands over numbers
        value = value.tolist()
    if kind in (bool, int, float, str, list) and (
        not isinstance(value, kind) or (kind is int and isinstance(value, bool))
    ):
        raise ConfigError(f'{where} is {value!r}; write a {kind.__name__}')
    low, high = field.metadata.get('low'), field.metadata.get('high')
    if kind in (int, float) and not _inside(value, low, high):
        raise ConfigError(f'{where} is {value}; it must lie in [{low}, {high}]')
    choices = field.metadata.get('choices', ())
    if choices and value not in choices:
        raise ConfigError(f'{where} is {value!r}; choose one of {", ".join(choices)}')
    return value


def _inside(value: float, low: float | None, high: float | None) -> bool:
    if value != value:  # NaN is inside nothing
        return False
    return (low is None or value >= low) and (high is None or value <= high)
