"""Makes any twist executable by a base: bounded velocity, acceleration and jerk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ruckig import ControlInterface
from ruckig import InputParameter
from ruckig import OutputParameter
from ruckig import Result
from ruckig import Ruckig
from ruckig import RuckigError
from ruckig import Synchronization
from univla_core.limits import AxisLimits

from univla_control.braking import brake_phases
from univla_control.braking import run_phases

_MARGIN = 1e-7  # relative; keeps rounding from touching a limit
_DUST = 1e-12  # what rounding leaves of a twist that has come to rest


class TwistLimiter:
    """Follows a twist inside velocity, acceleration and jerk limits, by ruckig.

    Args:
        limits: Limits of the axes, each (n,); positions are unbounded.
        names: Names of the axes, for `largest_use`.
    """

    def __init__(self, limits: AxisLimits, names: Sequence[str] = ()) -> None:
        self._count = len(limits.velocity)
        self._names = names or [f'axis {number + 1}' for number in range(self._count)]
        self._ruckig = Ruckig(self._count, 0.01)
        self._input = InputParameter(self._count)
        self._input.control_interface = ControlInterface.Velocity
        self._input.synchronization = Synchronization.No
        self._output = OutputParameter(self._count)
        self._pending = limits
        self.reset()

    def reset(self) -> None:
        """Stand still."""
        self.held_back = ''
        self.twist = np.zeros(self._count)
        self.accelerations = np.zeros(self._count)
        self._enforce(self._pending)

    def set_limits(self, limits: AxisLimits) -> None:
        """Change the limits while moving.

        They are in force (`limits`) as soon as the motion fits them; until then it slows down
        under the ones before.
        """
        self._pending = limits
        self._adopt()

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves."""
        return not (self.twist.any() or self.accelerations.any())

    def follow(self, dt: float, twist: np.ndarray) -> None:
        """Move one tick of `dt` [s] towards a twist (n,) [m/s, rad/s]."""
        self.held_back = ''
        if not self._adopt():
            twist = np.zeros(self._count)
            self.held_back = 'new limits'
        bound = (1.0 - _MARGIN) * self.limits.velocity
        ask = self._input
        ask.current_position = [0.0] * self._count
        ask.current_velocity = self.twist.tolist()
        ask.current_acceleration = self.accelerations.tolist()
        ask.target_velocity = np.clip(twist, -bound, bound).tolist()
        self._ruckig.delta_time = dt
        self._ruckig.reset()
        try:
            result = self._ruckig.update(ask, self._output)
        except RuckigError:
            result = Result.Error
        if result in (Result.Working, Result.Finished):
            self.twist = np.array(self._output.new_velocity)
            self.accelerations = np.array(self._output.new_acceleration)
        else:
            self._stop(dt)
        settled = (np.abs(self.twist) < _DUST) & (np.abs(self.accelerations) < _DUST)
        self.twist[settled] = self.accelerations[settled] = 0.0

    def use(self) -> float:
        """Largest share of a velocity or acceleration limit in use."""
        return self.largest_use()[0]

    def largest_use(self) -> tuple[float, str]:
        """Largest share of a limit in use, and which limit it is."""
        shares = np.array(
            [
                np.abs(self.twist) / self.limits.velocity,
                np.abs(self.accelerations) / self.limits.acceleration,
            ]
        )
        kind, axis = np.unravel_index(int(shares.argmax()), shares.shape)
        name = f'{("velocity", "acceleration")[kind]} of {self._names[axis]}'
        return float(shares[kind, axis]), name

    def _adopt(self) -> bool:
        """Put pending limits in force if the motion fits them; whether none is left."""
        if self._pending is not self.limits and self._fits(self._pending):
            self._enforce(self._pending)
        return self._pending is self.limits

    def _fits(self, limits: AxisLimits) -> bool:
        """Whether acceleration and speed, now and once the acceleration is gone, are inside."""
        a = self.accelerations
        coming = self.twist + 0.5 * a * np.abs(a) / limits.jerk
        speed = np.maximum(np.abs(self.twist), np.abs(coming))
        share = 1.0 - _MARGIN
        return bool(
            (np.abs(a) <= share * limits.acceleration).all()
            and (speed <= share * limits.velocity).all()
        )

    def _enforce(self, limits: AxisLimits) -> None:
        self.limits = limits
        self._input.max_acceleration = ((1.0 - _MARGIN) * limits.acceleration).tolist()
        self._input.max_jerk = ((1.0 - _MARGIN) * limits.jerk).tolist()

    def _stop(self, dt: float) -> None:
        for axis in range(self._count):
            v, a = float(self.twist[axis]), float(self.accelerations[axis])
            phases = brake_phases(v, a, self.limits.acceleration[axis], self.limits.jerk[axis])
            _, self.twist[axis], self.accelerations[axis] = run_phases(0.0, v, a, phases, dt)
