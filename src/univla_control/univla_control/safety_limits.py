"""The limits in force: the robot's own, tightened by parameters while it runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.limits import AxisLimits
from univla_core.limits import CartesianLimits
from univla_core.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class SafetySettings:
    """What may be set while the robot runs; nothing can be loosened past the maker's limits."""

    limit_share: float = parameter(
        0.0,
        "Share of the maker's limits in use; 0 takes the robot YAML's",
        low=0.0,
        high=1.0,
        live=True,
    )
    speed_scale: float = parameter(
        1.0, 'Factor on all speeds: joints, base and end effector', low=0.01, high=1.0, live=True
    )
    ee_speed_mps: float = parameter(
        0.0,
        "Largest speed of the end effector [m/s]; 0 takes the robot YAML's",
        low=0.0,
        live=True,
    )
    ee_rotation_radps: float = parameter(
        0.0,
        "Largest rotation of the end effector [rad/s]; 0 takes the robot YAML's",
        low=0.0,
        live=True,
    )
    workspace_lower_m: list[float] = parameter(
        [-10.0, -10.0, -10.0],
        "Lower corner x, y, z of a box inside the robot YAML's workspace [m]",
        live=True,
    )
    workspace_upper_m: list[float] = parameter(
        [10.0, 10.0, 10.0], 'Upper corner of that box [m]', live=True
    )
    clearance_m: float = parameter(
        -1.0,
        "Distance kept to the floor and the own body [m]; below 0 takes the robot YAML's",
        high=0.2,
        live=True,
    )


def safety_limits(
    embodiment: Embodiment, settings: SafetySettings
) -> tuple[AxisLimits, CartesianLimits | None]:
    """Limits of the axes, and of an arm's end effector and body, that the settings put in force.

    Raises:
        ConfigError: If a setting would loosen a limit past the maker's, or leaves no room.
    """
    limits = embodiment.limits
    if settings.limit_share:
        share = embodiment.maker_limits.scaled(settings.limit_share)
        limits = embodiment.operating_limits.tightened(share)
    limits = limits.slowed(settings.speed_scale)
    if embodiment.cartesian is None:
        return limits, None
    assert embodiment.maker_cartesian is not None
    return limits, _cartesian(embodiment.cartesian, embodiment.maker_cartesian, settings)


def _cartesian(
    own: CartesianLimits, maker: CartesianLimits, settings: SafetySettings
) -> CartesianLimits:
    speed = settings.ee_speed_mps or own.ee_speed
    rotation = settings.ee_rotation_radps or own.ee_rotation
    clearance = settings.clearance_m if settings.clearance_m >= 0.0 else own.clearance
    for name, asked, most in (
        ('ee_speed_mps', speed, maker.ee_speed),
        ('ee_rotation_radps', rotation, maker.ee_rotation),
    ):
        if not asked <= most:
            raise ConfigError(f"{name} is {asked}; the maker's limit is {most}")
    lower = np.maximum(
        _corner(settings.workspace_lower_m, 'workspace_lower_m'), own.workspace_lower
    )
    upper = np.minimum(
        _corner(settings.workspace_upper_m, 'workspace_upper_m'), own.workspace_upper
    )
    if not (lower < upper).all():
        raise ConfigError(
            f'the workspace would be empty, {lower.tolist()} to {upper.tolist()} m; '
            f'the YAML allows {own.workspace_lower.tolist()} to {own.workspace_upper.tolist()}'
        )
    return CartesianLimits(
        ee_speed=settings.speed_scale * speed,
        ee_rotation=settings.speed_scale * rotation,
        workspace_lower=lower,
        workspace_upper=upper,
        clearance=clearance,
        floor_z=own.floor_z,
    )


def _corner(values: list[float], name: str) -> np.ndarray:
    if len(values) != 3 or not np.isfinite(values).all():
        raise ConfigError(f'{name} is {values}; write three finite numbers x, y, z [m]')
    return np.array(values, dtype=float)
