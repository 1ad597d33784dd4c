"""Time behaviour of robot drivers as pure code: servo profiles, trajectories, command timeout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from univla_core.errors import ActionError
from univla_core.errors import ShapeError


class TimeProfile:
    """Dynamixel servos in the time-based profile: every goal takes the same time to reach.

    A new goal starts a new trapezoid of `profile_velocity_ms` from the present set-point and its
    present velocity: `profile_acceleration_ms` to speed up, as long to slow down. Goals streamed
    faster than that are chased with a lag of `velocity - acceleration / 2`: with the driver's
    default of 2000 and 300 ms nearly two seconds. Zero means: go there at once.

    Args:
        start: Set-points to start from, at rest [rad], shape (n,).
        profile_velocity_ms: Time of a whole motion [ms].
        profile_acceleration_ms: Time of its first part [ms], at most half of it counts.

    Source: X-series manual, "Profile Velocity" and "Drive Mode" (time-based profile).
    """

    def __init__(
        self,
        start: np.ndarray,
        profile_velocity_ms: float = 2000.0,
        profile_acceleration_ms: float = 300.0,
    ) -> None:
        self.set_profile(profile_velocity_ms, profile_acceleration_ms)
        self.reset(start)

    def set_profile(self, profile_velocity_ms: float, profile_acceleration_ms: float) -> None:
        """Change both times [ms]; a motion under way keeps its old ones.

        Raises:
            ActionError: If one is negative or not finite.
        """
        times = np.array([profile_velocity_ms, profile_acceleration_ms], dtype=float)
        if not (np.isfinite(times).all() and (times >= 0.0).all()):
            raise ActionError(f'profile times {times} ms must be finite and not negative')
        self._duration = 1e-3 * float(times[0])
        self._ramp = min(1e-3 * float(times[1]), 0.5 * self._duration)

    def reset(self, start: np.ndarray) -> None:
        """Stand still at `start` (n,)."""
        self._start = np.array(start, dtype=float)
        self._goal, self._start_velocity = self._start.copy(), np.zeros_like(self._start)
        self._cruise = np.zeros_like(self._start)
        self._total = self._rise = self._time = 0.0

    def set_goal(self, goal: np.ndarray) -> None:
        """Start towards a new goal (n,) from the present set-point and velocity.

        Raises:
            ShapeError: If the number of values is not that of the start.
            ActionError: If a value is not finite; the motion under way goes on.
        """
        goal = _vector(goal, self._goal.shape)
        start, velocity = self.setpoints, self.velocities
        self._start, self._start_velocity, self._goal = start, velocity, goal
        self._time, self._total, self._rise = 0.0, self._duration, self._ramp
        # The areas of ramp up (v0 to v), cruise (v) and ramp down (v to 0) make up the way.
        if self._total > 0.0:
            way = goal - start - 0.5 * self._rise * velocity
            self._cruise = way / (self._total - self._rise)

    def advance(self, dt: float) -> np.ndarray:
        """Let `dt` [s] pass; returns the set-points then, shape (n,)."""
        self._time += dt
        return self.setpoints

    @property
    def setpoints(self) -> np.ndarray:
        """Present set-points (n,)."""
        if self._time >= self._total:
            return self._goal.copy()
        up = min(self._time, self._rise)
        flat = min(max(self._time - self._rise, 0.0), self._total - 2.0 * self._rise)
        down = max(self._time - (self._total - self._rise), 0.0)
        gain = (self._cruise - self._start_velocity) / self._rise if self._rise else 0.0
        way = self._start_velocity * up + 0.5 * gain * up**2 + self._cruise * (flat + down)
        if down > 0.0:
            way = way - 0.5 * self._cruise * down**2 / self._rise
        return self._start + way

    @property
    def velocities(self) -> np.ndarray:
        """Present velocities of the set-points (n,) [1/s]."""
        if self._time >= self._total:
            return np.zeros_like(self._goal)
        if self._time < self._rise:
            share = self._time / self._rise
            return (1.0 - share) * self._start_velocity + share * self._cruise
        left = self._total - self._time
        return self._cruise * min(1.0, left / self._rise if self._rise else 1.0)


class JointTrajectoryInterpolator:
    """What a joint trajectory controller commands between the points of a trajectory.

    A new trajectory replaces the old one and starts from the set-point commanded at that moment.
    Segments are cubic when the points tell velocities, else straight. The last point is held.

    Args:
        start: Set-points to start from, at rest [rad], shape (n,).

    Source: ros2_controllers, joint_trajectory_controller, "Trajectory representation".
    """

    def __init__(self, start: np.ndarray) -> None:
        self.reset(start)

    def reset(self, start: np.ndarray) -> None:
        """Forget the trajectory and hold `start` (n,)."""
        start = np.array(start, dtype=float)
        self._times, self._positions, self._time = np.zeros(1), start[None], 0.0
        self._velocities: np.ndarray | None = None

    def set_trajectory(
        self,
        times_from_start_s: Sequence[float],
        positions: np.ndarray,
        velocities: np.ndarray | None = None,
    ) -> None:
        """Replace the trajectory; its clock starts now.

        Args:
            times_from_start_s: Time of each point [s], increasing, shape (points,).
            positions: Shape (points, n).
            velocities: Shape (points, n), or None.

        Raises:
            ShapeError: If the shapes do not fit each other or the robot.
            ActionError: If a number is not finite or the times do not increase from 0 on; the
                old trajectory goes on.
        """
        times = np.asarray(times_from_start_s, dtype=float)
        joints = self._positions.shape[1]
        if times.ndim != 1 or times.size == 0:
            raise ShapeError(f'a trajectory needs one time per point, not shape {times.shape}')
        positions = _vector(positions, (len(times), joints))
        if not np.isfinite(times).all() or times[0] < 0.0 or (np.diff(times) <= 0.0).any():
            raise ActionError(f'times of trajectory points must increase from 0 on, not {times}')
        speed = self.velocities
        if velocities is not None:
            velocities = np.vstack([speed, _vector(velocities, positions.shape)])
        # A first point at 0 leaves no time to get there: it is jumped to.
        self._positions = np.vstack([self.setpoints, positions])
        self._times, self._velocities = np.append(0.0, times), velocities
        self._time = 0.0

    def advance(self, dt: float) -> np.ndarray:
        """Let `dt` [s] pass; returns the set-points then, shape (n,)."""
        self._time += dt
        return self.setpoints

    @property
    def finished(self) -> bool:
        """Whether the last point is reached."""
        return bool(self._time >= self._times[-1])

    @property
    def setpoints(self) -> np.ndarray:
        """Present set-points (n,)."""
        return self._sample()[0]

    @property
    def velocities(self) -> np.ndarray:
        """Present velocities of the set-points (n,) [1/s], zero when holding."""
        return self._sample()[1]

    def _sample(self) -> tuple[np.ndarray, np.ndarray]:
        if self.finished:
            return self._positions[-1].copy(), np.zeros_like(self._positions[-1])
        index = int(np.searchsorted(self._times, self._time, side='right')) - 1
        length = self._times[index + 1] - self._times[index]
        share = (self._time - self._times[index]) / length
        start, stop = self._positions[index], self._positions[index + 1]
        if self._velocities is None:
            return start + share * (stop - start), (stop - start) / length
        m0, m1 = length * self._velocities[index], length * self._velocities[index + 1]
        # Cubic Hermite polynomial through both points with both slopes.
        c2, c3 = 3.0 * (stop - start) - 2.0 * m0 - m1, 2.0 * (start - stop) + m0 + m1
        position = start + share * (m0 + share * (c2 + share * c3))
        return position, (m0 + share * (2.0 * c2 + 3.0 * share * c3)) / length


class CommandTimeout:
    """The last command, until it is too old: then zero. A base that lacks this runs away.

    Args:
        size: Values in a command.
        timeout_s: Age from which a command no longer counts [s].
    """

    def __init__(self, size: int, timeout_s: float = 0.5) -> None:
        self._size, self._timeout = size, timeout_s
        self._command, self._stamp = np.zeros(size), -np.inf

    def update(self, command: np.ndarray, now: float) -> None:
        """Take a command (size,) that arrived at `now` [s].

        Raises:
            ShapeError: If it has another size.
            ActionError: If a value is not finite; the last command stays.
        """
        self._command, self._stamp = _vector(command, (self._size,)), now

    def value(self, now: float) -> np.ndarray:
        """The command (size,) in force at `now` [s]."""
        return self._command.copy() if self.fresh(now) else np.zeros(self._size)

    def fresh(self, now: float) -> bool:
        """Whether the last command still counts at `now` [s]."""
        return now - self._stamp < self._timeout


def _vector(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    values = np.array(values, dtype=float)
    if values.shape != shape:
        raise ShapeError(f'got values of shape {values.shape}, expected {shape}')
    if not np.isfinite(values).all():
        raise ActionError('a commanded value is not finite; the command was dropped')
    return values
