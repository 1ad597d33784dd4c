"""Makes any reference executable: bounded position, velocity, acceleration and jerk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from univla_core.limits import AxisLimits

from univla_control.axis_limiter import AxisLimiter
from univla_control.axis_limiter import State
from univla_control.braking import sample_stops
from univla_control.envelope import DENSEST
from univla_control.envelope import SPACING
from univla_control.envelope import Envelope
from univla_control.envelope import StopPath
from univla_control.envelope import Verdict
from univla_control.twist_limiter import TwistLimiter
from univla_control.velocity_curve import VelocityCurve

__all__ = ['JointLimiter', 'TwistLimiter', 'look_ahead']

_MARGIN = 1e-7  # relative; keeps rounding from touching a limit
_TRIES = 2  # milder candidates that are tried where the envelope refuses one
_LEAST_SHARE = 0.01  # of a candidate; below it the stop is as good
_SLIDE_SHARE = 0.3  # of a candidate; below it single axes may still go on


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

    With an envelope all axes together must be viable too: the state and the stop from it must
    keep the envelope's bounds. Where they do not, the states between the quickest stop and the
    candidate are tried, all axes alike; they are as reachable as both. So a motion that asks for
    too much runs near the bound instead of going and stopping. At a wall of the workspace or a
    part of the body, the axes that lead along or away from it go on. The last choice is again
    the quickest stop, which was judged one tick before.

    Args:
        limits: Limits of the axes, each (n,).
        look_ahead_s: Time ahead of the tick to which the reference passed to `follow` belongs.
        envelope: Bounds on all axes together.
        names: Names of the axes, for `largest_use`.
    """

    def __init__(
        self,
        limits: AxisLimits,
        look_ahead_s: float,
        envelope: Envelope | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.look_ahead_s = look_ahead_s
        self.braked = 0
        self.held_back = ''
        self.limits = limits
        self._envelope = envelope
        self._names = names or [f'axis {number + 1}' for number in range(len(limits.lower))]
        self._axes, self._pending = _axes(limits), limits
        self._states: list[State] = [(0.0, 0.0, 0.0)] * len(self._axes)

    def reset(self, positions: np.ndarray) -> None:
        """Stand still at joint angles (n,) [rad]."""
        self._states = [(float(p), 0.0, 0.0) for p in positions]
        self._axes, self.limits = _axes(self._pending), self._pending
        for axis, state in zip(self._axes, self._states, strict=True):
            axis.place(state)
        if self._envelope is not None:
            self._envelope.begin(self.positions)
        self.held_back = ''

    def set_limits(self, limits: AxisLimits) -> None:
        """Change the limits while moving.

        They are in force (`limits`) as soon as the arm can stop under them; until then it brakes
        under the ones before. A joint beyond a new position limit may only move inwards.
        """
        self._pending = limits
        self._adopt()

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
        self.held_back = ''
        if not self._adopt():
            self._stop(dt, 'new limits')
            return
        wanted: list[State] = []
        columns = positions.tolist(), velocities.tolist(), accelerations.tolist()
        targets = zip(*columns, strict=True)
        for axis, state, target in zip(self._axes, self._states, targets, strict=True):
            chosen = axis.towards(state, target, self.look_ahead_s, dt)
            if chosen is None:
                self.held_back = 'joint limits'
                chosen = axis.stopping(state, dt)
            wanted.append(chosen)
        if self.held_back:
            self.braked += 1
        if self._envelope is None:
            self._accept(wanted)
        else:
            self._admit(self._envelope, wanted, dt)

    def brake(self, dt: float) -> None:
        """Spend one tick of `dt` [s] on the quickest stop."""
        self.held_back = ''
        self._adopt()
        self._stop(dt, '')

    def use(self) -> float:
        """Largest share of a limit in use."""
        return self.largest_use()[0]

    def largest_use(self) -> tuple[float, str]:
        """Largest share of a limit in use, and which limit it is."""
        best, quantity, name = 0.0, 'position', self._names[0]
        for index, (axis, (p, v, a)) in enumerate(zip(self._axes, self._states, strict=True)):
            half = 0.5 * (axis.upper - axis.lower)
            shares = (
                (abs(p - 0.5 * (axis.upper + axis.lower)) / half, 'position'),
                (abs(v) / axis.top_speed(p, v), 'velocity'),
                (abs(a) / axis.acceleration, 'acceleration'),
            )
            for share, kind in shares:
                if share > best:
                    best, quantity, name = share, kind, self._names[index]
        largest = best, f'{quantity} of {name}'
        if self._envelope is None:
            return largest
        return max(largest, *self._envelope.uses, key=lambda use: use[0])

    # --- one tick ---------------------------------------------------------------------------

    def _admit(self, envelope: Envelope, wanted: list[State], dt: float) -> None:
        """Take the candidate, or as much of it as the envelope allows."""
        verdict = self._judge(envelope, self._axes, wanted, dt)
        if not verdict.held_back:
            self._take(envelope, wanted, '')
            return
        reason, stop, share = verdict.held_back, self._stopping(dt), verdict.share
        if share < _SLIDE_SHARE and not verdict.speed:
            wanted = self._sliding(envelope, wanted, stop)
            share = 1.0
        for _ in range(_TRIES):
            if share < _LEAST_SHARE or wanted == stop:
                break
            milder = [_between(a, b, share) for a, b in zip(stop, wanted, strict=True)]
            if not all(axis.viable(s) for axis, s in zip(self._axes, milder, strict=True)):
                break
            verdict = self._judge(envelope, self._axes, milder, dt)
            if not verdict.held_back:
                self._take(envelope, milder, reason)
                return
            share *= min(0.9, verdict.share)
        self._stop(dt, reason)

    def _sliding(self, envelope: Envelope, wanted: list[State], stop: list[State]) -> list[State]:
        """The candidate for the axes that lead along or away from the bound, others stopping."""
        direction = np.array([w[0] - s[0] for w, s in zip(wanted, stop, strict=True)])
        free = envelope.harmless(self.positions, direction)
        return [w if go else s for w, s, go in zip(wanted, stop, free, strict=True)]

    def _take(self, envelope: Envelope, states: list[State], reason: str) -> None:
        envelope.accept()
        self._accept(states)
        self.held_back = reason or self.held_back

    def _judge(
        self, envelope: Envelope, axes: list[AxisLimiter], states: list[State], dt: float
    ) -> Verdict:
        phases = [axis.stop_phases(state) for axis, state in zip(axes, states, strict=True)]
        total = max(sum(duration for duration, _ in stop) for stop in phases)
        spacing = min(SPACING, max(DENSEST, dt))  # the commands of a stop, if they are denser
        times = np.append(np.arange(0.0, total - 1e-6, spacing), total)
        positions, velocities = sample_stops(states, phases, times)
        acceleration = np.array([axis.acceleration for axis in axes])
        return envelope.judge(
            StopPath(
                positions=np.vstack([self.positions, positions]),
                velocities=np.vstack([self.velocities, velocities]),
                steps=np.append(dt, np.maximum(np.diff(times), 1e-6)),
                acceleration=acceleration,
            )
        )

    def _stop(self, dt: float, reason: str) -> None:
        if reason:
            self.braked += 1
            self.held_back = reason
        self._accept(self._stopping(dt))
        if self._envelope is not None:
            self._envelope.brake()

    def _stopping(self, dt: float) -> list[State]:
        pairs = zip(self._axes, self._states, strict=True)
        return [axis.stopping(state, dt) for axis, state in pairs]

    def _accept(self, states: list[State]) -> None:
        self._states = states
        for axis, state in zip(self._axes, states, strict=True):
            axis.accept(state)

    def _adopt(self) -> bool:
        """Put pending limits in force if the arm can stop under them; whether none is left."""
        if self._pending is self.limits:
            return True
        axes = _axes(self._pending)
        for axis, state in zip(axes, self._states, strict=True):
            axis.place(state)
            if not axis.viable(state):
                return False
        if self._envelope is not None:
            if self._judge(self._envelope, axes, self._states, SPACING).held_back:
                return False
            self._envelope.accept()
        self._axes, self.limits = axes, self._pending
        return True


def _axes(limits: AxisLimits) -> list[AxisLimiter]:
    share = 1.0 - _MARGIN
    return [
        AxisLimiter(
            float(limits.lower[axis]),
            float(limits.upper[axis]),
            float(share * limits.velocity[axis]),
            float(share * limits.acceleration[axis]),
            float(share * limits.jerk[axis]),
            VelocityCurve.of(limits.velocity_bound, axis, share),
        )
        for axis in range(len(limits.lower))
    ]


def _between(first: State, second: State, share: float) -> State:
    """The state at `share` of the way from the first to the second."""
    (p, v, a), (p1, v1, a1) = first, second
    return p + share * (p1 - p), v + share * (v1 - v), a + share * (a1 - a)
