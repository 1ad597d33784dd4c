"""Makes any reference executable: bounded position, velocity, acceleration and jerk."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from ruckig import ControlInterface
from ruckig import InputParameter
from ruckig import OutputParameter
from ruckig import Result
from ruckig import Ruckig
from ruckig import Synchronization
from univla_core.embodiment import AxisLimits

from univla_control.braking import advance
from univla_control.braking import brake_phases
from univla_control.braking import run_phases
from univla_control.braking import stop_extent

State = tuple[float, float, float]
_MARGIN = 1e-7  # relative; keeps rounding from touching a limit
_SLACK = 1e-9
_DUST = 1e-12  # what rounding leaves of a twist that has come to rest


def look_ahead(limits: AxisLimits) -> float:
    """Time ahead at which the reference is met [s]: long enough to turn the acceleration."""
    return float(np.clip(1.5 * np.max(limits.acceleration / limits.jerk), 0.08, 0.2))


class JointLimiter:
    """Follows a joint reference from tick to tick inside `limits`.

    Every tick each axis takes the first of three moves that keeps it *viable*, that is able to
    stop inside its limits afterwards: the minimum-jerk curve to the reference `look_ahead_s`
    ahead, which has no lag on a feasible reference; the time-optimal move of ruckig, which
    catches up with one that is not; and the quickest stop, which a viable axis always has. So by
    induction no command leaves the limits, whatever the reference does. An axis that starts
    outside its position limits may only move inwards.

    Args:
        limits: Limits of the axes, each (n,).
        look_ahead_s: Time ahead of the tick to which the reference passed to `follow` belongs.
    """

    def __init__(self, limits: AxisLimits, look_ahead_s: float) -> None:
        self.look_ahead_s = look_ahead_s
        self.braked = 0
        self._lower = limits.lower.tolist()
        self._upper = limits.upper.tolist()
        self._velocity = ((1.0 - _MARGIN) * limits.velocity).tolist()
        self._acceleration = ((1.0 - _MARGIN) * limits.acceleration).tolist()
        self._jerk = ((1.0 - _MARGIN) * limits.jerk).tolist()
        self._count = len(self._lower)
        self._states: list[State] = [(0.0, 0.0, 0.0)] * self._count
        self._low, self._high = list(self._lower), list(self._upper)
        self._planner = _AxisPlanner()

    def reset(self, positions: np.ndarray) -> None:
        """Stand still at joint angles (n,) [rad]."""
        self._states = [(float(p), 0.0, 0.0) for p in positions]
        for axis in range(self._count):
            self._tighten(axis)

    @property
    def positions(self) -> np.ndarray:
        """Commanded joint angles [rad], shape (n,)."""
        return np.array([state[0] for state in self._states])

    @property
    def velocities(self) -> np.ndarray:
        """Commanded velocities [rad/s], shape (n,)."""
        return np.array([state[1] for state in self._states])

    @property
    def accelerations(self) -> np.ndarray:
        """Commanded accelerations [rad/s²], shape (n,)."""
        return np.array([state[2] for state in self._states])

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves."""
        return all(v == 0.0 and a == 0.0 for _, v, a in self._states)

    def follow(
        self, dt: float, positions: np.ndarray, velocities: np.ndarray, accelerations: np.ndarray
    ) -> None:
        """Move one tick of `dt` [s] towards the reference, each array (n,)."""
        columns = (positions.tolist(), velocities.tolist(), accelerations.tolist())
        for axis, target in enumerate(zip(*columns, strict=True)):
            self._accept(axis, self._next(axis, self._inside(axis, target), dt))

    def brake(self, dt: float) -> None:
        """Spend one tick of `dt` [s] on the quickest stop."""
        for axis in range(self._count):
            self._accept(axis, self._stopping(axis, dt))

    def use(self) -> float:
        """Largest share of a position, velocity or acceleration limit in use."""
        shares = [0.0]
        for axis, (p, v, a) in enumerate(self._states):
            half = 0.5 * (self._upper[axis] - self._lower[axis])
            shares.append(abs(p - 0.5 * (self._upper[axis] + self._lower[axis])) / half)
            shares.append(abs(v) / self._velocity[axis])
            shares.append(abs(a) / self._acceleration[axis])
        return max(shares)

    def _next(self, axis: int, target: State, dt: float) -> State:
        makers: tuple[Callable[[int, State, float], State | None], ...] = (
            self._smooth,
            self._quick,
        )
        for make in makers:
            state = make(axis, target, dt)
            if state is not None and self._viable(axis, state):
                return state
        self.braked += 1
        return self._stopping(axis, dt)

    def _inside(self, axis: int, target: State) -> State:
        p, v, a = target
        low, high, speed = self._lower[axis], self._upper[axis], self._velocity[axis]
        if not low < p < high:
            return min(max(p, low), high), 0.0, 0.0
        up = min(speed, math.sqrt(self._acceleration[axis] * (high - p)))
        down = min(speed, math.sqrt(self._acceleration[axis] * (p - low)))
        return p, min(max(v, -down), up), a

    def _smooth(self, axis: int, target: State, dt: float) -> State | None:
        """The first tick of the quintic to the reference, as one stretch of constant jerk."""
        p, v, a = self._states[axis]
        jerk = _quintic_jerk(self._states[axis], target, self.look_ahead_s + dt, dt)
        after = a + jerk * dt
        if abs(jerk) > self._jerk[axis]:
            return None
        turning = a * after < 0.0  # the speed peaks inside the tick
        if turning and abs(v - 0.5 * a * a / jerk) > self._velocity[axis]:
            return None
        return advance(p, v, a, jerk, dt)

    def _quick(self, axis: int, target: State, dt: float) -> State | None:
        bounds = self._velocity[axis], self._acceleration[axis], self._jerk[axis]
        least = self.look_ahead_s + dt  # to be early would be as wrong as to be late
        return self._planner.step(self._states[axis], target, bounds, dt, least)

    def _stopping(self, axis: int, dt: float) -> State:
        p, v, a = self._states[axis]
        return run_phases(
            p, v, a, brake_phases(v, a, self._acceleration[axis], self._jerk[axis]), dt
        )

    def _viable(self, axis: int, state: State) -> bool:
        p, v, a = state
        if abs(a) > self._acceleration[axis] + _SLACK:
            return False
        low, high, speed = stop_extent(p, v, a, self._acceleration[axis], self._jerk[axis])
        return (
            low >= self._low[axis] - _SLACK
            and high <= self._high[axis] + _SLACK
            and speed <= self._velocity[axis] + _SLACK
        )

    def _accept(self, axis: int, state: State) -> None:
        self._states[axis] = state
        if self._low[axis] < self._lower[axis] or self._high[axis] > self._upper[axis]:
            self._tighten(axis)

    def _tighten(self, axis: int) -> None:
        """Outside the limits, what was reached on the way in is the new limit."""
        p, v, a = self._states[axis]
        low, high, _ = stop_extent(p, v, a, self._acceleration[axis], self._jerk[axis])
        self._low[axis] = min(self._lower[axis], low)
        self._high[axis] = max(self._upper[axis], high)


def _quintic_jerk(state: State, target: State, duration: float, dt: float) -> float:
    """Mean jerk in the first `dt` of the quintic from `state` to `target` in `duration`."""
    (p, v, a), (p1, v1, a1), t = state, target, duration
    gap = (p1 - p) / t**3
    third = 60.0 * gap - (36.0 * v + 24.0 * v1) / t**2 - (9.0 * a - 3.0 * a1) / t
    fourth = -360.0 * gap / t + (192.0 * v + 168.0 * v1) / t**3 + (36.0 * a - 24.0 * a1) / t**2
    fifth = 720.0 * gap / t**2 - 360.0 * (v + v1) / t**4 - 60.0 * (a - a1) / t**3
    return third + dt * (fourth / 2.0 + dt * fifth / 6.0)


class _AxisPlanner:
    """Ruckig for one axis: time-optimal from state to target."""

    def __init__(self) -> None:
        self._ruckig = Ruckig(1, 0.01)
        self._input = InputParameter(1)
        self._output = OutputParameter(1)

    def step(
        self,
        state: State,
        target: State,
        bounds: tuple[float, float, float],
        dt: float,
        least_s: float,
    ) -> State | None:
        ask, answer = self._input, self._output
        self._ruckig.delta_time = dt
        ask.current_position, ask.current_velocity = [state[0]], [state[1]]
        ask.current_acceleration = [state[2]]
        ask.target_position, ask.target_velocity = [target[0]], [target[1]]
        ask.target_acceleration = [0.0]
        ask.max_velocity, ask.max_acceleration = [bounds[0]], [bounds[1]]
        ask.max_jerk = [bounds[2]]
        ask.minimum_duration = least_s
        self._ruckig.reset()
        if self._ruckig.update(ask, answer) not in (Result.Working, Result.Finished):
            return None
        return answer.new_position[0], answer.new_velocity[0], answer.new_acceleration[0]


class TwistLimiter:
    """Follows a twist inside velocity, acceleration and jerk limits, by ruckig.

    Args:
        limits: Limits of the axes, each (n,); positions are unbounded.
    """

    def __init__(self, limits: AxisLimits) -> None:
        self._limits = limits
        self._count = len(limits.velocity)
        self._ruckig = Ruckig(self._count, 0.01)
        self._input = InputParameter(self._count)
        self._input.control_interface = ControlInterface.Velocity
        self._input.synchronization = Synchronization.No
        self._input.max_acceleration = ((1.0 - _MARGIN) * limits.acceleration).tolist()
        self._input.max_jerk = ((1.0 - _MARGIN) * limits.jerk).tolist()
        self._output = OutputParameter(self._count)
        self.reset()

    def reset(self) -> None:
        """Stand still."""
        self.twist = np.zeros(self._count)
        self.accelerations = np.zeros(self._count)

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves."""
        return not (self.twist.any() or self.accelerations.any())

    def follow(self, dt: float, twist: np.ndarray) -> None:
        """Move one tick of `dt` [s] towards a twist (n,) [m/s, rad/s]."""
        bound = (1.0 - _MARGIN) * self._limits.velocity
        ask = self._input
        ask.current_position = [0.0] * self._count
        ask.current_velocity = self.twist.tolist()
        ask.current_acceleration = self.accelerations.tolist()
        ask.target_velocity = np.clip(twist, -bound, bound).tolist()
        self._ruckig.delta_time = dt
        self._ruckig.reset()
        result = self._ruckig.update(ask, self._output)
        if result in (Result.Working, Result.Finished):
            self.twist = np.array(self._output.new_velocity)
            self.accelerations = np.array(self._output.new_acceleration)
        else:
            self._stop(dt)
        settled = (np.abs(self.twist) < _DUST) & (np.abs(self.accelerations) < _DUST)
        self.twist[settled] = self.accelerations[settled] = 0.0

    def use(self) -> float:
        """Largest share of a velocity or acceleration limit in use."""
        speed = np.abs(self.twist) / self._limits.velocity
        return float(
            max(speed.max(), (np.abs(self.accelerations) / self._limits.acceleration).max())
        )

    def _stop(self, dt: float) -> None:
        for axis in range(self._count):
            v, a = float(self.twist[axis]), float(self.accelerations[axis])
            phases = brake_phases(v, a, self._limits.acceleration[axis], self._limits.jerk[axis])
            _, self.twist[axis], self.accelerations[axis] = run_phases(0.0, v, a, phases, dt)
