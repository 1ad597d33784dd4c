"""Judges recorded commands against the limits of their robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ShapeError
from univla_core.kinematics import KinematicChain
from univla_core.limits import AxisLimits
from univla_core.limits import CartesianLimits

TOLERANCE = 1e-6  # relative, besides what the numbers are rounded to


@dataclass(frozen=True)
class LimitShares:
    """Largest share of each limit that each axis used, each (n,); 1 is the limit.

    A position at the middle of its range uses 0, at an end 1; so does a place in the workspace.
    Axes without position limits use 0. What a robot does not have is used by 0.

    Attributes:
        near_end: Of the velocity that is allowed so near the ends of the range.
        ee_speed: Of the end effector's speed.
        ee_rotation: Of the speed of its rotation.
        workspace: Of the box in which it stays.
    """

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray
    near_end: np.ndarray
    ee_speed: float = 0.0
    ee_rotation: float = 0.0
    workspace: float = 0.0

    @property
    def largest(self) -> float:
        """The largest share of all."""
        axes = (self.position, self.velocity, self.acceleration, self.jerk, self.near_end)
        cartesian = (self.ee_speed, self.ee_rotation, self.workspace)
        return max(*(float(shares.max()) for shares in axes), *cartesian)


@dataclass(frozen=True)
class LimitsReport:
    """How near recorded commands came to the limits.

    Attributes:
        axis_names: The axes, in the order of the shares.
        shares: Of the limits that the suite uses.
        maker_shares: Of the limits of the maker.
        gripper: Largest share of the gripper's rate.
        finite: Whether every number is finite.
        worst: The limit used most: quantity, axis (or end effector frame) and index of its
            command.
        ok: Everything is finite and no share exceeds 1 by more than rounding.
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
    used = _used(embodiment, commands, period_s, embodiment.limits, embodiment.cartesian)
    maker = _used(
        embodiment, commands, period_s, embodiment.maker_limits, embodiment.maker_cartesian
    )
    finite = bool(np.isfinite(commands).all())
    rate = _gripper_share(embodiment, gripper, period_s)
    shares = _shares(used)
    names = (*embodiment.axis_names, embodiment.ee_frame)
    return LimitsReport(
        axis_names=embodiment.axis_names,
        shares=shares,
        maker_shares=_shares(maker),
        gripper=rate,
        finite=finite,
        worst=_worst(used, names),
        ok=finite and max(shares.largest, rate) <= 1.0 + TOLERANCE,
    )


#: Shares (T, n) or (T, 1) of each limit in every command.
Used = dict[str, np.ndarray]
_CARTESIAN = ('ee_speed', 'ee_rotation', 'workspace')


def _used(
    embodiment: Embodiment,
    commands: np.ndarray,
    period_s: float,
    limits: AxisLimits,
    cartesian: CartesianLimits | None,
) -> Used:
    base = embodiment.kind == 'base'
    rates = (limits.velocity, limits.acceleration, limits.jerk)
    names = ('velocity', 'acceleration', 'jerk')
    grain, series = _grain(commands), commands
    used = {'position': _inside(commands, limits.lower, limits.upper)}
    for name, most in zip(names, rates, strict=True):
        if not (base and name == 'velocity'):
            series, grain = np.diff(series, axis=0) / period_s, 2.0 * grain / period_s
        used[name] = np.maximum(0.0, np.abs(series) - grain) / most  # beyond doubt
    used['near_end'] = _near_end(commands, period_s, limits)
    if cartesian is not None and embodiment.chain is not None:
        used |= _end_effector(embodiment.chain, commands, period_s, cartesian)
    return used


def _grain(commands: np.ndarray) -> float:
    """What the commands are rounded to; drivers that take 32-bit numbers are told such."""
    largest = np.nan_to_num(np.abs(commands), posinf=0.0).max()
    with np.errstate(over='ignore'):
        coarse = bool((commands.astype(np.float32) == commands).all())
    return float(np.spacing(np.float32(largest) if coarse else np.float64(largest)))


def _inside(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """0 in the middle of a range, 1 at its ends; 0 without one."""
    bounded = np.isfinite(lower) & np.isfinite(upper)
    lower, upper = np.where(bounded, lower, -1.0), np.where(bounded, upper, 1.0)
    offset = np.abs(values - 0.5 * (lower + upper)) / (0.5 * (upper - lower))
    return np.where(bounded, offset, 0.0)


def _near_end(commands: np.ndarray, period_s: float, limits: AxisLimits) -> np.ndarray:
    """Of the velocity bound that depends on the position, the looser of a period's two ends."""
    velocities = np.diff(commands, axis=0) / period_s
    doubt = 2.0 * _grain(commands) / period_s
    if limits.velocity_bound is None:
        return np.zeros_like(velocities)
    lowest, highest = limits.bounds(commands)
    up = np.maximum(highest[:-1], highest[1:])
    down = np.maximum(-lowest[:-1], -lowest[1:])
    most = np.where(velocities >= 0.0, up, down)
    return np.maximum(0.0, np.abs(velocities) - doubt) / np.maximum(most, 1e-6)


def _end_effector(
    chain: KinematicChain, commands: np.ndarray, period_s: float, cartesian: CartesianLimits
) -> Used:
    joints = np.nan_to_num(commands, posinf=0.0, neginf=0.0)
    places, turns, _, _ = chain.motion(joints, np.zeros_like(joints))
    speeds = np.linalg.norm(np.diff(places, axis=0), axis=1) / period_s
    halves = np.linalg.norm(np.diff(turns, axis=0), axis=(1, 2)) / np.sqrt(8.0)
    angles = 2.0 * np.arcsin(np.minimum(halves, 1.0))  # |R₁ − R₀| = 2√2 · sin(θ / 2)
    box = _inside(places, cartesian.workspace_lower, cartesian.workspace_upper)
    rates = speeds / cartesian.ee_speed, angles / period_s / cartesian.ee_rotation
    return {
        'ee_speed': rates[0][:, None],
        'ee_rotation': rates[1][:, None],
        'workspace': box.max(axis=1)[:, None],
    }


def _shares(used: Used) -> LimitShares:
    axes = {
        name: values.max(axis=0, initial=0.0)
        for name, values in used.items()
        if name not in _CARTESIAN
    }
    ee = {name: float(used[name].max(initial=0.0)) for name in _CARTESIAN if name in used}
    return LimitShares(**axes, **ee)


def _worst(used: Used, names: tuple[str, ...]) -> tuple[str, str, int]:
    filled = {name: np.nan_to_num(v, nan=np.inf) for name, v in used.items() if v.size}
    quantity = max(filled, key=lambda name: float(filled[name].max()))
    values = filled[quantity]
    tick, axis = np.unravel_index(int(values.argmax()), values.shape)
    return quantity, names[-1 if quantity in _CARTESIAN else int(axis)], int(tick)


def _gripper_share(embodiment: Embodiment, gripper: np.ndarray | None, period_s: float) -> float:
    if gripper is None or embodiment.gripper is None:
        return 0.0
    steps = np.abs(np.diff(np.asarray(gripper, dtype=float)))
    return float(steps.max(initial=0.0) / period_s / embodiment.gripper.opening_rate)
