"""Driver adapters: one module per driver family, chosen by the robot's YAML.

Adding a driver is one module with a subclass of `Driver` and one line in `_ADAPTERS`.
"""

from __future__ import annotations

import importlib

from rclpy.node import Node
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError

from univla_ros.drivers.driver import Driver

_ADAPTERS = {
    'interbotix': 'univla_ros.drivers.interbotix:InterbotixDriver',
    'ros2_control': 'univla_ros.drivers.ros2_control:Ros2ControlDriver',
    'airbot': 'univla_ros.drivers.airbot:AirbotDriver',
    'twist': 'univla_ros.drivers.twist:TwistDriver',
}


def load_driver(node: Node, embodiment: Embodiment) -> Driver:
    """The adapter that the robot's YAML names.

    Raises:
        ConfigError: If the adapter is unknown or its message package is not installed.
    """
    name = embodiment.driver['adapter']
    if name not in _ADAPTERS:
        raise ConfigError(
            f'robot {embodiment.name!r}: unknown driver adapter {name!r}; '
            f'known are {", ".join(_ADAPTERS)}'
        )
    module, kind = _ADAPTERS[name].split(':')
    try:
        adapter = getattr(importlib.import_module(module), kind)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'driver adapter {name!r} needs the package {error.name}; install or build it and '
            'source its workspace'
        ) from error
    return adapter(node, embodiment)
