"""The quickest stop of one axis under acceleration and jerk limits, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Phases = tuple[tuple[float, float], ...]


def advance(p: float, v: float, a: float, jerk: float, time: float) -> tuple[float, float, float]:
    """Position, velocity and acceleration after `time` [s] of constant jerk."""
    return (
        p + time * (v + time * (a / 2.0 + time * jerk / 6.0)),
        v + time * (a + time * jerk / 2.0),
        a + time * jerk,
    )


def brake_phases(v: float, a: float, acceleration: float, jerk: float) -> Phases:
    """Phases (duration [s], jerk) that bring velocity and acceleration to zero soonest.

    With e = v + a·|a| / 2j, the velocity left when the acceleration is first taken to zero, the
    stop pushes against e: jerk to the peak acceleration √(j·|v| + a²/2) (signs turned so that
    e > 0), hold it if it is capped, jerk back to zero.
    """
    e = v + a * abs(a) / (2.0 * jerk)
    sign = 1.0 if e >= 0.0 else -1.0
    v, a = sign * v, sign * a
    peak = math.sqrt(max(0.0, jerk * v + 0.5 * a * a))
    hold = 0.0
    if peak > acceleration:
        peak = acceleration
        hold = max(0.0, (v + 0.5 * a * a / jerk) / peak - peak / jerk)
    return ((max(0.0, (a + peak) / jerk), -sign * jerk), (hold, 0.0), (peak / jerk, sign * jerk))


def run_phases(
    p: float, v: float, a: float, phases: Phases, time: float
) -> tuple[float, float, float]:
    """State after `time` [s] of the phases; afterwards at rest."""
    for duration, jerk in phases:
        if time <= duration:
            return advance(p, v, a, jerk, time)
        p, v, a = advance(p, v, a, jerk, duration)
        time -= duration
    return p, 0.0, 0.0


def stop_extent(
    p: float, v: float, a: float, acceleration: float, jerk: float
) -> tuple[float, float, float]:
    """Lowest and highest position and highest speed met during the quickest stop."""
    low = high = p
    speed = max(abs(v), abs(v + a * abs(a) / (2.0 * jerk)))
    for duration, rate in brake_phases(v, a, acceleration, jerk):
        for moment in turning_points(v, a, rate, duration):
            turned = advance(p, v, a, rate, moment)[0]
            low, high = min(low, turned), max(high, turned)
        p, v, a = advance(p, v, a, rate, duration)
        low, high = min(low, p), max(high, p)
    return low, high, speed


def turning_points(v: float, a: float, jerk: float, duration: float) -> tuple[float, ...]:
    """Moments inside a phase at which the velocity v + a·t + jerk·t²/2 is zero."""
    if jerk == 0.0:
        roots: tuple[float, ...] = (-v / a,) if a else ()
    else:
        square = a * a - 2.0 * jerk * v
        if square < 0.0:
            return ()
        root = math.sqrt(square)
        roots = ((-a - root) / jerk, (-a + root) / jerk)
    return tuple(moment for moment in roots if 0.0 < moment < duration)


def sample_stops(
    states: Sequence[tuple[float, float, float]], phases: Sequence[Phases], times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities of n axes that run their phases, at K times [s], each (K, n)."""
    p, v, a = np.array(states).T
    left = times[:, None]
    for duration, jerk in np.array(phases).transpose(1, 2, 0):
        t = np.minimum(np.maximum(left, 0.0), duration)
        p = p + t * (v + t * (a / 2.0 + t * jerk / 6.0))
        v = v + t * (a + t * jerk / 2.0)
        a = a + t * jerk
        left = left - duration
    return p, v
