"""The last look at every command before it is sent; it shares no code with the limiter."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.limits import AxisLimits

from univla_control.command import Command

_SLACK = 1e-4  # relative, for rounding
_START_RAD = 0.1  # between the first command and the measured joints [rad]


class OutputGate:
    """Compares each command with the ones before it, by finite differences.

    Args:
        embodiment: The robot.
        period_s: Time between two commands [s].
    """

    def __init__(self, embodiment: Embodiment, period_s: float) -> None:
        self._names, self._arm = embodiment.axis_names, embodiment.kind == 'arm'
        self._period = period_s
        self._gripper_step = math.inf
        if embodiment.gripper is not None:
            self._gripper_step = embodiment.gripper.opening_rate * period_s
        self._past: deque[np.ndarray] = deque(maxlen=3)
        self._opening: float | None = None

    def reset(self) -> None:
        """A new stream of commands begins."""
        self._past.clear()
        self._opening = None

    def check(
        self, command: Command, limits: AxisLimits, measured: np.ndarray | None
    ) -> str | None:
        """Look at the next command of the stream.

        Args:
            command: The command, finite or not.
            limits: The loosest limits that may be in force: the maker's.
            measured: Measured joint angles (n,) [rad], None for a base or if not known.

        Returns:
            What is wrong with it, in words, or None. A wrong command is not remembered.
        """
        values = command.positions if self._arm else command.velocities
        if values.shape != (len(self._names),) or not np.isfinite(values).all():
            return f'the command {values.tolist()} is not {len(self._names)} finite numbers'
        wrong = self._start(values, measured) if self._arm else None
        wrong = wrong or self._place(values, limits) or self._rates(values, limits)
        wrong = wrong or self._gripper(command.gripper_opening)
        if wrong is None:
            self._past.append(values)
            self._opening = command.gripper_opening
        return wrong

    def _start(self, values: np.ndarray, measured: np.ndarray | None) -> str | None:
        if self._past or measured is None:
            return None
        gap = np.abs(values - measured)
        axis = int(gap.argmax())
        if gap[axis] <= _START_RAD:
            return None
        return f'the first command is {gap[axis]:.3f} rad away from {self._names[axis]}'

    def _place(self, values: np.ndarray, limits: AxisLimits) -> str | None:
        """Inside the position limits, or on the way back to them."""
        if not self._arm:
            return self._beyond('velocity', np.abs(values) / limits.velocity)
        outside = np.maximum(limits.lower - values, values - limits.upper)
        if self._past:
            before = self._past[-1]
            allowed = np.maximum(limits.lower - before, before - limits.upper)
        else:
            allowed = outside  # where the robot was found
        worse = outside - np.maximum(allowed, 0.0)
        axis = int(worse.argmax())
        if worse[axis] <= _SLACK:
            return None
        return f'{self._names[axis]} would go {outside[axis]:.4f} rad past its end'

    def _rates(self, values: np.ndarray, limits: AxisLimits) -> str | None:
        """Velocity, acceleration and jerk of the last commands."""
        rates = (limits.velocity, limits.acceleration, limits.jerk)
        names = ('velocity', 'acceleration', 'jerk')
        if not self._arm:
            rates, names = rates[1:], names[1:]
        series = [*self._past, values]
        for name, most in zip(names, rates, strict=True):
            series = [(b - a) / self._period for a, b in pairwise(series)]
            if not series:
                return None
            wrong = self._beyond(name, np.abs(series[-1]) / most)
            if wrong is not None:
                return wrong
            if name == 'velocity' and limits.velocity_bound is not None:
                wrong = self._near_the_end(series[-1], values, limits)
                if wrong is not None:
                    return wrong
        return None

    def _near_the_end(
        self, speed: np.ndarray, values: np.ndarray, limits: AxisLimits
    ) -> str | None:
        """The bound that depends on the position; the looser one of the two commands' places."""
        lows, highs = zip(
            *(limits.bounds(place) for place in (self._past[-1], values)), strict=True
        )
        over = np.maximum(speed - np.maximum(*highs), np.minimum(*lows) - speed)
        axis = int(over.argmax())
        if over[axis] <= _SLACK * limits.velocity[axis]:
            return None
        return f'{self._names[axis]} is {over[axis]:.4f} rad/s too fast so near its end'

    def _beyond(self, name: str, shares: np.ndarray) -> str | None:
        axis = int(shares.argmax())
        if shares[axis] <= 1.0 + _SLACK:
            return None
        return f'{name} of {self._names[axis]} is {100.0 * shares[axis]:.2f} % of its limit'

    def _gripper(self, opening: float | None) -> str | None:
        if opening is None:
            return None
        if not 0.0 <= opening <= 1.0:
            return f'the gripper opening {opening} is outside 0 to 1'
        step = abs(opening - self._opening) if self._opening is not None else 0.0
        if step <= self._gripper_step * (1.0 + _SLACK):
            return None
        return f'the gripper would move {step:.3f} in one period, more than its rate'
