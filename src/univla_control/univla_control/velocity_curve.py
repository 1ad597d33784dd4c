"""The velocity bound of one axis that shrinks towards the ends of its range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from univla_core.limits import VelocityBound

from univla_control.braking import Phases
from univla_control.braking import advance
from univla_control.braking import turning_points

_SLACK = 1e-9


@dataclass(frozen=True)
class VelocityCurve:
    """One axis of a `VelocityBound`, in plain numbers for the control loop.

    Upwards at most `share · (√(gain · (upper_end − p)) − offset)` [rad/s], downwards mirrored.
    """

    offset: float
    gain: float
    lower_end: float
    upper_end: float
    share: float

    @classmethod
    def of(cls, bound: VelocityBound | None, axis: int, share: float) -> VelocityCurve | None:
        """The curve of an axis with `share` of its height, None without a bound."""
        if bound is None:
            return None
        columns = (bound.offset, bound.gain, bound.lower_end, bound.upper_end)
        return cls(*(float(column[axis]) for column in columns), share * bound.share)

    def up(self, p: float) -> float:
        """Largest velocity [rad/s] at position `p` [rad]."""
        return self._speed(self.upper_end - p)

    def down(self, p: float) -> float:
        """Largest speed downwards [rad/s] at position `p` [rad]."""
        return self._speed(p - self.lower_end)

    def _speed(self, room: float) -> float:
        if room <= 0.0:
            return 0.0
        return self.share * max(0.0, math.sqrt(self.gain * room) - self.offset)

    def allows(self, low: float, high: float, speed: float) -> bool:
        """Whether a speed [rad/s] is allowed both ways everywhere in [low, high] [rad]."""
        return speed <= self.up(high) and speed <= self.down(low)

    def keeps(self, p: float, v: float, a: float, phases: Phases) -> bool:
        """Whether a motion of constant jerks stays under the curve.

        Exact where the acceleration is constant; where it changes, the largest speed of the
        phase must fit the position of the phase that allows least, so that a part of a motion
        that was found to stay under it stays under it as well.
        """
        for duration, jerk in phases:
            if duration == 0.0:
                continue
            p1, v1, a1 = advance(p, v, a, jerk, duration)
            if jerk == 0.0 and v * v1 >= 0.0:
                if not self._keeps_straight(p, v, p1, v1, a):
                    return False
            elif not self._keeps_box(p, v, a, jerk, duration):
                return False
            p, v, a = p1, v1, a1
        return True

    def _keeps_box(self, p: float, v: float, a: float, jerk: float, duration: float) -> bool:
        p1, v1, a1 = advance(p, v, a, jerk, duration)
        places, speeds = [p, p1], [v, v1]
        places += [advance(p, v, a, jerk, t)[0] for t in turning_points(v, a, jerk, duration)]
        if a * a1 < 0.0:
            speeds.append(v - 0.5 * a * a / jerk)
        fastest, slowest = max(speeds), min(speeds)
        return (fastest <= 0.0 or fastest <= self.up(max(places)) + _SLACK) and (
            slowest >= 0.0 or -slowest <= self.down(min(places)) + _SLACK
        )

    def _keeps_straight(self, p: float, v: float, p1: float, v1: float, a: float) -> bool:
        """Constant acceleration without turning: mirrored so that it goes up."""
        if v < 0.0 or v1 < 0.0:
            room, room1, v, v1, a = p - self.lower_end, p1 - self.lower_end, -v, -v1, -a
        else:
            room, room1 = self.upper_end - p, self.upper_end - p1
        if v > self._speed(room) + _SLACK or v1 > self._speed(room1) + _SLACK:
            return False
        # Both curves are roots of the room left; where their slopes agree they are nearest.
        excess = self.share * self.share * self.gain + 2.0 * a
        if a >= 0.0 or excess <= 0.0:
            return True
        beyond = room + 0.5 * v * v / a  # room left where the motion would stand
        nearest = beyond * (excess - 2.0 * a) / excess
        if not room1 < nearest < room:
            return True
        speed = math.sqrt(max(0.0, v * v + 2.0 * a * (room - nearest)))
        return speed <= self._speed(nearest) + _SLACK
