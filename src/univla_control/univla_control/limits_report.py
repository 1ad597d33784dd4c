"""Judges recorded commands against the limits of their robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import AxisLimits
from univla_core.embodiment import Embodiment
from univla_core.errors import ShapeError

TOLERANCE = 1e-6  # relative, for rounding


@dataclass(frozen=True)
class LimitShares:
    """Largest share of each limit that each axis used, each (n,); 1 is the limit.

    A position at the middle of its range uses 0, at an end 1. Axes without position limits use 0.
    """

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    @property
    def largest(self) -> float:
        """The largest share of all."""
        return float(max(self.position.max(), self.velocity.max(), self.acceleration.max()))


@dataclass(frozen=True)
class LimitsReport:
    """How near recorded commands came to the limits.

    Attributes:
        axis_names: The axes, in the order of the shares.
        shares: Of the limits that the suite uses.
        maker_shares: Of the limits of the maker.
        gripper: Largest share of the gripper's rate.
        finite: Whether every number is finite.
        worst: The limit used most: quantity, axis and index of its command.
        ok: Everything is finite and no share exceeds 1.
    """

    axis_names: tuple[str, ...]
    shares: LimitShares
    maker_shares: LimitShares
    gripper: float
    finite: bool
    worst: tuple[str, str, int]
    ok: bool

    def __str__(self) -> str:
        quantity, axis, tick = self.worst
        return (
            f'{"inside" if self.ok else "OUTSIDE"} the limits: at most '
            f'{100.0 * self.shares.largest:.1f} % ({quantity} of {axis}, command {tick}), '
            f'{100.0 * self.maker_shares.largest:.1f} % of what the maker allows'
        )


def check_commands(
    embodiment: Embodiment,
    commands: np.ndarray,
    period_s: float,
    gripper: np.ndarray | None = None,
) -> LimitsReport:
    """Judge a stream of commands by finite differences.

    Args:
        embodiment: The robot.
        commands: Joint angles [rad] of an arm, or twists [m/s, rad/s] of a base, shape (T, n).
        period_s: Time between two commands [s].
        gripper: Gripper openings in [0, 1], shape (T,).

    Raises:
        ShapeError: If `commands` is not (T, n) with T >= 1.
    """
    commands = np.asarray(commands, dtype=float)
    count = embodiment.axis_count
    if commands.ndim != 2 or commands.shape[1] != count or not len(commands):
        raise ShapeError(
            f'commands of {embodiment.name} have shape {commands.shape}; they must be '
            f'(commands, {count}) with at least one command'
        )
    series = _series(embodiment, commands, period_s)
    used = _used(series, embodiment.limits)
    maker = _used(series, embodiment.maker_limits)
    finite = bool(np.isfinite(commands).all())
    rate = _gripper_share(embodiment, gripper, period_s)
    shares = _shares(used)
    ok = finite and max(shares.largest, rate) <= 1.0 + TOLERANCE
    worst = _worst(used, embodiment.axis_names)
    return LimitsReport(
        embodiment.axis_names, shares, _shares(maker), rate, finite, worst, bool(ok)
    )


def _series(
    embodiment: Embodiment, commands: np.ndarray, period_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, velocities and accelerations, each (., n)."""
    if embodiment.kind == 'base':
        return np.zeros_like(commands), commands, np.diff(commands, axis=0) / period_s
    velocities = np.diff(commands, axis=0) / period_s
    return commands, velocities, np.diff(velocities, axis=0) / period_s


def _used(
    series: tuple[np.ndarray, np.ndarray, np.ndarray], limits: AxisLimits
) -> dict[str, np.ndarray]:
    """Share of each limit in every command, each (., n)."""
    position, velocity, acceleration = series
    bounded = np.isfinite(limits.lower) & np.isfinite(limits.upper)
    lower, upper = np.where(bounded, limits.lower, -1.0), np.where(bounded, limits.upper, 1.0)
    offset = np.abs(position - 0.5 * (lower + upper)) / (0.5 * (upper - lower))
    return {
        'position': np.where(bounded, offset, 0.0),
        'velocity': np.abs(velocity) / limits.velocity,
        'acceleration': np.abs(acceleration) / limits.acceleration,
    }


def _shares(used: dict[str, np.ndarray]) -> LimitShares:
    largest = {name: values.max(axis=0, initial=0.0) for name, values in used.items()}
    return LimitShares(**largest)


def _worst(used: dict[str, np.ndarray], axis_names: tuple[str, ...]) -> tuple[str, str, int]:
    filled = {name: values for name, values in used.items() if values.size}
    quantity = max(filled, key=lambda name: np.nan_to_num(filled[name], nan=np.inf).max())
    values = np.nan_to_num(filled[quantity], nan=np.inf)
    tick, axis = np.unravel_index(int(values.argmax()), values.shape)
    return quantity, axis_names[int(axis)], int(tick)


def _gripper_share(embodiment: Embodiment, gripper: np.ndarray | None, period_s: float) -> float:
    if gripper is None or embodiment.gripper is None:
        return 0.0
    steps = np.abs(np.diff(np.asarray(gripper, dtype=float)))
    return float(steps.max(initial=0.0) / period_s / embodiment.gripper.opening_rate)
