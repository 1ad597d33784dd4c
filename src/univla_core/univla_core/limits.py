"""Limits of an embodiment: of its axes, of their velocity near the ends, of its end effector."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np


@dataclass(frozen=True, kw_only=True)
class VelocityBound:
    """A velocity bound that shrinks towards the ends of the position range.

    Upwards an axis at position q may move at `share · (√(gain · (upper_end − q)) − offset)`, not
    below 0; downwards the mirror image holds. It comes on top of the constant velocity limit.

    Attributes:
        offset: Velocity taken off [rad/s], shape (n,).
        gain: Twice the deceleration that ends at `upper_end` [rad/s²], shape (n,).
        lower_end: Position at which the bound ends downwards [rad], shape (n,).
        upper_end: Position at which the bound ends upwards [rad], shape (n,).
        share: Share of the maker's bound that is used.

    Source: `computeUpperLimitsJointVelocity` of libfranka (`rate_limiting.h`).
    """

    offset: np.ndarray
    gain: np.ndarray
    lower_end: np.ndarray
    upper_end: np.ndarray
    share: float = 1.0

    def up(self, positions: np.ndarray) -> np.ndarray:
        """Largest velocity [rad/s] at positions (..., n) [rad]."""
        return self._speed(self.upper_end - positions)

    def down(self, positions: np.ndarray) -> np.ndarray:
        """Largest speed downwards [rad/s], a positive number, at positions (..., n) [rad]."""
        return self._speed(positions - self.lower_end)

    def _speed(self, room: np.ndarray) -> np.ndarray:
        reach = np.sqrt(self.gain * np.maximum(0.0, room))
        return self.share * np.maximum(0.0, reach - self.offset)


@dataclass(frozen=True, kw_only=True)
class AxisLimits:
    """Limits of every commanded axis, each of shape (n,).

    An arm's axes are its joints: position [rad], velocity [rad/s], acceleration [rad/s²] and
    jerk [rad/s³]. A base's axes are velocities: `lower` and `upper` are infinite, `velocity`
    bounds the command itself [m/s, rad/s], `acceleration` and `jerk` its derivatives.
    `velocity_bound` is what some arms add near the ends of their position range.
    """

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray
    velocity_bound: VelocityBound | None = None

    def scaled(self, share: float) -> AxisLimits:
        """The middle `share` of the position range and `share` of every rate."""
        bounded = np.isfinite(self.lower) & np.isfinite(self.upper)
        lower, upper = np.where(bounded, self.lower, 0.0), np.where(bounded, self.upper, 0.0)
        middle = 0.5 * (lower + upper)
        half = np.where(bounded, 0.5 * share * (upper - lower), np.inf)
        return replace(
            self.slowed(share),
            lower=middle - half,
            upper=middle + half,
            acceleration=share * self.acceleration,
            jerk=share * self.jerk,
        )

    def slowed(self, share: float) -> AxisLimits:
        """The same with `share` of every velocity."""
        bound = self.velocity_bound
        return replace(
            self,
            velocity=share * self.velocity,
            velocity_bound=replace(bound, share=share * bound.share) if bound else None,
        )

    def tightened(self, other: AxisLimits) -> AxisLimits:
        """The tighter of two sets of limits of one robot, axis by axis."""
        bounds = [b for b in (self.velocity_bound, other.velocity_bound) if b is not None]
        return AxisLimits(
            lower=np.maximum(self.lower, other.lower),
            upper=np.minimum(self.upper, other.upper),
            velocity=np.minimum(self.velocity, other.velocity),
            acceleration=np.minimum(self.acceleration, other.acceleration),
            jerk=np.minimum(self.jerk, other.jerk),
            velocity_bound=min(bounds, key=lambda bound: bound.share, default=None),
        )

    def bounds(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest (≤ 0) and highest velocity [rad/s] at positions (..., n) [rad]."""
        if self.velocity_bound is None:
            speed = np.broadcast_to(self.velocity, np.shape(positions))
            return -speed, speed
        return (
            -np.minimum(self.velocity, self.velocity_bound.down(positions)),
            np.minimum(self.velocity, self.velocity_bound.up(positions)),
        )


@dataclass(frozen=True, kw_only=True)
class CartesianLimits:
    """What the end effector and the body of an arm keep to, in the base frame.

    Attributes:
        ee_speed: Largest speed of the end effector frame's origin [m/s].
        ee_rotation: Largest speed of its rotation [rad/s].
        workspace_lower: Corner of the box in which that origin stays [m], shape (3,).
        workspace_upper: The opposite corner [m], shape (3,).
        clearance: Distance kept between parts of the body, and to the floor [m].
        floor_z: Height of the floor, or of the table the arm stands on [m].
    """

    ee_speed: float
    ee_rotation: float
    workspace_lower: np.ndarray
    workspace_upper: np.ndarray
    clearance: float
    floor_z: float = 0.0

    def tightened(self, other: CartesianLimits) -> CartesianLimits:
        """The tighter of two sets of limits."""
        return CartesianLimits(
            ee_speed=min(self.ee_speed, other.ee_speed),
            ee_rotation=min(self.ee_rotation, other.ee_rotation),
            workspace_lower=np.maximum(self.workspace_lower, other.workspace_lower),
            workspace_upper=np.minimum(self.workspace_upper, other.workspace_upper),
            clearance=max(self.clearance, other.clearance),
            floor_z=max(self.floor_z, other.floor_z),
        )

    def clip(self, position: np.ndarray) -> np.ndarray:
        """The point of the workspace box nearest to a position (3,) [m]."""
        return np.clip(position, self.workspace_lower, self.workspace_upper)
