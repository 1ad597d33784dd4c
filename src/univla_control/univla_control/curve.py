"""Smooth curves: through knots, and from one motion into another."""

from __future__ import annotations

import numpy as np
from univla_core.embodiment import AxisLimits

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


class KnotCurve:
    """Cubic Hermite curve through knots, at rest before the first and after the last.

    Inner tangents are central differences, cut (Fritsch and Carlson, 1980) so that the curve
    never leaves the range of the two knots around it. The first tangent is the first slope, the
    last one is zero: the motion comes to rest on its last knot.

    Args:
        times: Increasing times of the knots [s], shape (m,), m >= 2.
        values: Knots, shape (m, n).
    """

    def __init__(self, times: np.ndarray, values: np.ndarray) -> None:
        spans = np.diff(times)[:, None]  # (m - 1, 1)
        slopes = np.diff(values, axis=0) / spans  # (m - 1, n)
        self.start, self.stop = float(times[0]), float(times[-1])
        self._times = times
        tangents = np.concatenate(
            [slopes[:1], _tangents(slopes, spans), np.zeros_like(slopes[:1])]
        )
        left, right = tangents[:-1], tangents[1:]
        self._ends = values[0], values[-1]
        self._terms = (
            values[:-1],
            left,
            (3.0 * slopes - 2.0 * left - right) / spans,
            (left + right - 2.0 * slopes) / spans**2,
        )

    def covers(self, time: float) -> bool:
        """Whether the knots say something of a time: from the first to the last."""
        return self.start <= time <= self.stop

    def sample(self, time: float) -> Sample:
        """Value, first and second derivative at a time, each (n,)."""
        if not self.start <= time < self.stop:
            end = self._ends[0] if time < self.start else self._ends[1]
            return end, np.zeros_like(end), np.zeros_like(end)
        index = int(np.searchsorted(self._times, time, side='right')) - 1
        s = time - self._times[index]
        c0, c1, c2, c3 = (term[index] for term in self._terms)
        return (
            c0 + s * (c1 + s * (c2 + s * c3)),
            c1 + s * (2.0 * c2 + s * 3.0 * c3),
            2.0 * c2 + s * 6.0 * c3,
        )


def _tangents(slopes: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Tangents of the inner knots, shape (m - 2, n)."""
    before, after = slopes[:-1], slopes[1:]
    middle = (before * spans[1:] + after * spans[:-1]) / (spans[:-1] + spans[1:])
    bound = 3.0 * np.minimum(np.abs(before), np.abs(after))
    return np.where(before * after > 0.0, np.clip(middle, -bound, bound), 0.0)


class Fade:
    """A gap between two motions that closes smoothly: added to the new one, it starts as the old.

    A quintic from the gap in value, velocity and acceleration at `start` to nothing at
    `start + duration`.
    """

    def __init__(self, start: float, duration: float, gap: Sample) -> None:
        e, v, a = gap
        t = duration
        self._start, self._duration = start, duration
        self._rest = np.zeros_like(e)
        self._terms = (
            e,
            v,
            a / 2.0,
            -(10.0 * e / t + 6.0 * v) / t**2 - 1.5 * a / t,
            (15.0 * e / t + 8.0 * v) / t**3 + 1.5 * a / t**2,
            -(6.0 * e / t + 3.0 * v) / t**4 - 0.5 * a / t**3,
        )

    def sample(self, time: float) -> Sample:
        """What is left of the gap at a time, each (n,)."""
        s = max(0.0, time - self._start)
        if s >= self._duration:
            return self._rest, self._rest, self._rest
        c0, c1, c2, c3, c4, c5 = self._terms
        return (
            c0 + s * (c1 + s * (c2 + s * (c3 + s * (c4 + s * c5)))),
            c1 + s * (2.0 * c2 + s * (3.0 * c3 + s * (4.0 * c4 + s * 5.0 * c5))),
            2.0 * c2 + s * (6.0 * c3 + s * (12.0 * c4 + s * 20.0 * c5)),
        )


def fade_duration(gap: Sample, limits: AxisLimits, shortest: float, longest: float) -> float:
    """Time [s] in which a quintic closes a joint gap about as fast as the limits allow.

    From rest, a gap e takes peak speed 1.875 e/T, acceleration 5.77 e/T² and jerk 60 e/T³.
    """
    e = np.abs(gap[0])
    needs = (
        1.875 * e / limits.velocity,
        np.sqrt(5.77 * e / limits.acceleration),
        np.cbrt(60.0 * e / limits.jerk),
    )
    need = max(float(need.max()) for need in needs)
    return max(1e-3, shortest, min(need, longest))
