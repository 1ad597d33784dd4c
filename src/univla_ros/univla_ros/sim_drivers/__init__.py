"""Simulated drivers: the vendors' interfaces with their quirks, in front of the physics."""

from __future__ import annotations

import importlib

from rclpy.node import Node
from univla_core.embodiment import Embodiment
from univla_sim.world import World

from univla_ros.sim_drivers.sim_driver import SimDriver

_DRIVERS = {
    'interbotix': 'univla_ros.sim_drivers.interbotix:SimInterbotix',
    'ros2_control': 'univla_ros.sim_drivers.ros2_control:SimRos2Control',
    'airbot': 'univla_ros.sim_drivers.airbot:SimAirbot',
    'twist': 'univla_ros.sim_drivers.twist:SimTwist',
}


def load_sim_driver(node: Node, embodiment: Embodiment, world: World) -> SimDriver:
    """The simulated counterpart of the adapter that the robot's YAML names."""
    module, kind = _DRIVERS[embodiment.driver['adapter']].split(':')
    return getattr(importlib.import_module(module), kind)(node, embodiment, world)
