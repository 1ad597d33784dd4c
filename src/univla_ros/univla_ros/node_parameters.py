"""The fields of a configuration dataclass as ROS parameters."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from univla_core.errors import ConfigError
from univla_core.parameters import config_from_mapping
from univla_core.parameters import default_of

ConfigT = TypeVar('ConfigT')


def declare_parameters(node: Node, kind: type[ConfigT]) -> ConfigT:
    """Declare every field of `kind` on `node` and return the filled dataclass.

    Raises:
        ConfigError: If a value has the wrong type or lies outside its range or choices.
    """
    values = {}
    for field in dataclasses.fields(kind):
        try:
            values[field.name] = node.declare_parameter(
                field.name, default_of(field), descriptor(field)
            ).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            hint = '; write 10.0, not 10' if isinstance(default_of(field), float) else ''
            raise ConfigError(f'{node.get_fully_qualified_name()}: {error}{hint}') from error
    return config_from_mapping(kind, values, node.get_fully_qualified_name())


def descriptor(field: dataclasses.Field) -> ParameterDescriptor:
    """Description, range and read-only flag of one configuration field."""
    meta = field.metadata
    choices = meta.get('choices', ())
    result = ParameterDescriptor(
        description=meta.get('description', ''),
        additional_constraints=f'one of {", ".join(choices)}' if choices else '',
        read_only=not meta.get('live', False),
    )
    low, high, default = meta.get('low'), meta.get('high'), default_of(field)
    if low is not None and high is not None and not isinstance(default, bool):
        if isinstance(default, float):
            result.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        elif isinstance(default, int):
            result.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return result
