"""One joint: the next state towards a target from which it can still stop inside its limits."""

from __future__ import annotations

import math

from ruckig import InputParameter
from ruckig import OutputParameter
from ruckig import Result
from ruckig import Ruckig
from ruckig import RuckigError

from univla_control.braking import Phases
from univla_control.braking import advance
from univla_control.braking import brake_phases
from univla_control.braking import run_phases
from univla_control.braking import stop_extent
from univla_control.velocity_curve import VelocityCurve

State = tuple[float, float, float]
_SLACK = 1e-9


class AxisLimiter:
    """Finds the next state of one axis inside its limits.

    Args:
        lower: Lower position limit [rad].
        upper: Upper position limit [rad].
        velocity: Largest speed [rad/s].
        acceleration: Largest acceleration [rad/s²].
        jerk: Largest jerk [rad/s³].
        curve: Bound of the velocity that shrinks towards the ends, None without one.
    """

    def __init__(
        self,
        lower: float,
        upper: float,
        velocity: float,
        acceleration: float,
        jerk: float,
        curve: VelocityCurve | None,
    ) -> None:
        self.lower, self.upper = lower, upper
        self.velocity, self.acceleration, self.jerk = velocity, acceleration, jerk
        self.curve = curve
        self._low, self._high = lower, upper
        self._outside = False
        self._planner = _Planner()

    def place(self, state: State) -> None:
        """Begin at a state; where it is outside the limits, it may only move inwards."""
        p, v, a = state
        low, high, _ = stop_extent(p, v, a, self.acceleration, self.jerk)
        self._low, self._high = min(self.lower, low), max(self.upper, high)
        self._outside = self._low < self.lower or self._high > self.upper

    def accept(self, state: State) -> None:
        """Take note of the state that was chosen."""
        if self._outside:
            self.place(state)

    def towards(self, state: State, target: State, look_ahead: float, dt: float) -> State | None:
        """The state after `dt` [s] on the way to a target, None if only a stop is viable.

        Args:
            state: Position, velocity and acceleration now.
            target: The same of the reference, `look_ahead` after the tick.
            look_ahead: [s].
            dt: Length of the tick [s].
        """
        target = self._inside(target)
        for make in (self._smooth, self._quick):
            candidate = make(state, target, look_ahead, dt)
            if candidate is not None and self.viable(candidate):
                return candidate
        return None

    def stopping(self, state: State, dt: float) -> State:
        """The state after `dt` [s] of the quickest stop."""
        p, v, a = state
        return run_phases(p, v, a, self.stop_phases(state), dt)

    def stop_phases(self, state: State) -> Phases:
        """The quickest stop."""
        return brake_phases(state[1], state[2], self.acceleration, self.jerk)

    def viable(self, state: State) -> bool:
        """Whether the axis can stop from a state without leaving its limits."""
        p, v, a = state
        if abs(a) > self.acceleration + _SLACK:
            return False
        low, high, speed = stop_extent(p, v, a, self.acceleration, self.jerk)
        return (
            low >= self._low - _SLACK
            and high <= self._high + _SLACK
            and speed <= self.velocity + _SLACK
            and (
                self.curve is None
                or self.curve.allows(low, high, speed)
                or self.curve.keeps(p, v, a, self.stop_phases(state))
            )
        )

    def top_speed(self, p: float, v: float) -> float:
        """Largest speed [rad/s] at position `p` [rad] in the direction of `v`; not 0."""
        if self.curve is None:
            return self.velocity
        curved = self.curve.up(p) if v >= 0.0 else self.curve.down(p)
        return max(1e-6, min(self.velocity, curved))

    def _inside(self, target: State) -> State:
        p, v, a = target
        low, high, speed = self.lower, self.upper, self.velocity
        if not low < p < high:
            return min(max(p, low), high), 0.0, 0.0
        up = min(speed, math.sqrt(self.acceleration * (high - p)))
        down = min(speed, math.sqrt(self.acceleration * (p - low)))
        if self.curve is not None:
            up, down = min(up, self.curve.up(p)), min(down, self.curve.down(p))
        return p, min(max(v, -down), up), a

    def _smooth(self, state: State, target: State, look_ahead: float, dt: float) -> State | None:
        """The first tick of the quintic to the reference, as one stretch of constant jerk."""
        p, v, a = state
        jerk = _quintic_jerk(state, target, look_ahead + dt, dt)
        after = a + jerk * dt
        if abs(jerk) > self.jerk:
            return None
        turning = a * after < 0.0  # the speed peaks inside the tick
        if turning and abs(v - 0.5 * a * a / jerk) > self.velocity:
            return None
        if self.curve is not None:
            speed = abs(v) + abs(a) * dt + 0.5 * abs(jerk) * dt * dt
            way = speed * dt
            spacious = self.curve.allows(p - way, p + way, speed)
            if not (spacious or self.curve.keeps(p, v, a, ((dt, jerk),))):
                return None
        return advance(p, v, a, jerk, dt)

    def _quick(self, state: State, target: State, look_ahead: float, dt: float) -> State | None:
        least = look_ahead + dt  # to be early would be as wrong as to be late
        down = up = self.velocity
        if self.curve is not None:
            # The tightest bound that the tick may meet, so that it holds within the tick.
            p, v, _a = state
            way = 0.5 * self.acceleration * dt * dt
            up = min(up, self.curve.up(p + max(0.0, v) * dt + way))
            down = min(down, self.curve.down(p + min(0.0, v) * dt - way))
        rates = self.acceleration, self.jerk
        return self._planner.step(state, target, (-down, up), rates, dt, least)


def _quintic_jerk(state: State, target: State, duration: float, dt: float) -> float:
    """Mean jerk in the first `dt` of the quintic from `state` to `target` in `duration`."""
    (p, v, a), (p1, v1, a1), t = state, target, duration
    gap = (p1 - p) / t**3
    third = 60.0 * gap - (36.0 * v + 24.0 * v1) / t**2 - (9.0 * a - 3.0 * a1) / t
    fourth = -360.0 * gap / t + (192.0 * v + 168.0 * v1) / t**3 + (36.0 * a - 24.0 * a1) / t**2
    fifth = 720.0 * gap / t**2 - 360.0 * (v + v1) / t**4 - 60.0 * (a - a1) / t**3
    return third + dt * (fourth / 2.0 + dt * fifth / 6.0)


class _Planner:
    """Ruckig for one axis: time-optimal from state to target."""

    def __init__(self) -> None:
        self._ruckig = Ruckig(1, 0.01)
        self._input = InputParameter(1)
        self._output = OutputParameter(1)

    def step(
        self,
        state: State,
        target: State,
        speeds: tuple[float, float],
        rates: tuple[float, float],
        dt: float,
        least_s: float,
    ) -> State | None:
        """The state after `dt` [s] of the quickest way that takes `least_s` [s] or more.

        Args:
            state: Position, velocity and acceleration now.
            target: The same at the end, which is reached without acceleration.
            speeds: Lowest and highest velocity [rad/s].
            rates: Largest acceleration [rad/s²] and jerk [rad/s³].
            dt: Length of the tick [s].
            least_s: Shortest time to the target [s].

        Returns:
            None where ruckig finds no way.
        """
        lowest, highest = speeds
        if lowest >= 0.0 or highest <= 0.0:
            return None
        ask, answer = self._input, self._output
        self._ruckig.delta_time = dt
        ask.current_position, ask.current_velocity = [state[0]], [state[1]]
        ask.current_acceleration = [state[2]]
        speed = min(max(target[1], lowest), highest)
        ask.target_position, ask.target_velocity = [target[0]], [speed]
        ask.target_acceleration = [0.0]
        ask.min_velocity, ask.max_velocity = [lowest], [highest]
        ask.max_acceleration, ask.max_jerk = [rates[0]], [rates[1]]
        ask.minimum_duration = least_s
        self._ruckig.reset()
        try:
            result = self._ruckig.update(ask, answer)
        except RuckigError:  # it gives up on some states at the edge of a velocity bound
            return None
        if result not in (Result.Working, Result.Finished):
            return None
        return answer.new_position[0], answer.new_velocity[0], answer.new_acceleration[0]
