"""Turns what a person asks for into joint references, one per tick."""

from __future__ import annotations

import numpy as np
from ruckig import ControlInterface
from ruckig import InputParameter
from ruckig import Ruckig
from ruckig import Synchronization
from ruckig import Trajectory
from univla_core.embodiment import AxisLimits
from univla_core.embodiment import Embodiment
from univla_core.poses import pose
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation

from univla_control.config import ControlConfig
from univla_control.curve import Sample
from univla_control.limiter import JointLimiter
from univla_control.teleop import Ask
from univla_control.teleop import JointAsk
from univla_control.teleop import TwistAsk

_EASE = 0.7  # share of acceleration and jerk that a person's wish may use
_LED = 0.05  # a leader arm within this distance leads at once [rad]
_LEADER_SHARE = 0.3  # of a new measurement in the speed of the leader
_CORRECTION = 6.0  # of the way back to the line per second
_WEIGHTS = np.repeat([1.0, 0.04], 3)  # of m² and rad²: 0.2 m of a hand turn like 1 rad
_SINGULAR, _DAMPING = 0.015, 0.01  # singular value below which damping sets in, and its most


class TeleopMotion:
    """Follows a person from wherever the robot is, without a jump.

    What is asked for becomes joint velocities; all joints change theirs together, so that the
    hand stays on the line that was asked for, and gently enough that the limiter can follow.

    Args:
        embodiment: An arm.
        config: Parameters.
    """

    def __init__(self, embodiment: Embodiment, config: ControlConfig) -> None:
        assert embodiment.chain is not None
        self._chain = embodiment.chain
        self._catch_up = config.catch_up_share
        self._cartesian = embodiment.cartesian
        self._shape = _VelocityShape(embodiment.axis_count)
        self.reset()

    def reset(self) -> None:
        """The next reference starts at the commands."""
        self._joints: np.ndarray | None = None
        self._target: np.ndarray | None = None
        self._line: np.ndarray | None = None
        self._led = False

    def follow(
        self, time: float, dt: float, ask: Ask, limiter: JointLimiter, limits: AxisLimits
    ) -> Sample:
        """Reference `look_ahead_s` ahead: positions [rad], velocities, accelerations, each (n,).

        Args:
            time: Time of the tick [s].
            dt: Length of the tick [s].
            ask: What the person asks for; None asks to stay.
            limiter: Where the commands are.
            limits: Limits in force.
        """
        if self._joints is None:
            self._joints = limiter.positions
            self._shape.begin(limiter.velocities, limiter.accelerations)
            self._leader = np.zeros_like(self._joints)
        if isinstance(ask, JointAsk):
            velocity = self._towards(ask.at(time), dt, limits)
        else:
            self._period = dt
            velocity = self._rate(ask, limits)
        ahead = limiter.look_ahead_s
        now, later, rate, second = self._shape.step(dt, ahead, velocity, limits)
        # Where a bound stops the commands the reference waits, or letting go would be too late.
        lead = (ahead + 2.0 * dt) * limits.velocity
        joints = np.clip(self._joints + now, limiter.positions - lead, limiter.positions + lead)
        self._joints = np.clip(joints, limits.lower, limits.upper)
        return np.clip(self._joints + later, limits.lower, limits.upper), rate, second

    def _rate(self, ask: Ask, limits: AxisLimits) -> np.ndarray:
        """Joint velocities (n,) [rad/s] that move the end effector as asked."""
        joints = self._joints
        assert joints is not None
        if not isinstance(ask, TwistAsk):
            self._line = None
            return np.zeros_like(joints)
        twist = ask.twist
        if ask.tool:
            R_base_ee = self._chain.forward(joints)[:3, :3]
            twist = np.concatenate([R_base_ee @ twist[:3], R_base_ee @ twist[3:]])
        if self._cartesian is not None:
            most = 0.9 * self._cartesian.ee_speed, 0.9 * self._cartesian.ee_rotation
            twist = _capped(twist, *most)
        jacobian = self._chain.jacobian(joints)
        velocity = _solve(jacobian, twist + self._drift(twist, jacobian, joints))
        # All joints slow down together, so that the path stays what was asked for.
        share = float(np.max(np.abs(velocity) / _room(joints, velocity, limits), initial=0.0))
        return velocity / max(1.0, share)

    def _drift(self, twist: np.ndarray, jacobian: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """Twist (6,) that leads back to the line asked for, where slow joints left it.

        The line goes on as fast as the hand does along it.
        """
        here = self._chain.forward(joints)
        size = float(_WEIGHTS @ twist**2)
        if size == 0.0 or self._line is None:
            self._line = here
            return np.zeros(6)
        moving = jacobian @ self._shape.velocity
        way = float(np.clip((_WEIGHTS * twist) @ moving / size, 0.0, 1.0)) * self._period * twist
        self._line = pose(
            rotation_from_vector(way[3:]) @ self._line[:3, :3], self._line[:3, 3] + way[:3]
        )
        turn = vector_from_rotation(self._line[:3, :3] @ here[:3, :3].T)
        back = _CORRECTION * np.concatenate([self._line[:3, 3] - here[:3, 3], turn])
        return _capped(back, float(np.linalg.norm(twist[:3])) + 0.02, 0.2)

    def _towards(self, target: np.ndarray, dt: float, limits: AxisLimits) -> np.ndarray:
        """Joint velocities (n,) [rad/s] towards the angles of a leader arm (n,) [rad].

        A leader that is elsewhere is approached slowly first, then followed closely: at its own
        speed, and as fast on top as still lets the gap end without overshoot.
        """
        assert self._joints is not None
        target = np.clip(target, limits.lower, limits.upper)
        before, self._target = self._target, target
        moving = np.zeros_like(target) if before is None else (target - before) / dt
        self._leader += _LEADER_SHARE * (moving - self._leader)
        gap = target - self._joints
        self._led = self._led or float(np.abs(gap).max()) < _LED
        most = (0.95 if self._led else self._catch_up) * limits.velocity
        gentle = 0.5 * _EASE * limits.acceleration
        closing = np.minimum(np.sqrt(gentle * np.abs(gap)), np.abs(gap) / (8.0 * dt))
        return np.clip(self._leader + np.sign(gap) * closing, -most, most)


class _VelocityShape:
    """Passes joint velocities on without steps in velocity or acceleration, by ruckig."""

    def __init__(self, count: int) -> None:
        self._ruckig = Ruckig(count)
        self._trajectory = Trajectory(count)
        self._input = InputParameter(count)
        self._input.control_interface = ControlInterface.Velocity
        self._input.synchronization = Synchronization.Phase

    def begin(self, velocity: np.ndarray, acceleration: np.ndarray) -> None:
        """Start from a motion, each (n,)."""
        self.velocity, self._acceleration = velocity, acceleration

    def step(
        self, dt: float, ahead: float, target: np.ndarray, limits: AxisLimits
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One tick on the way to the velocities `target` (n,) [rad/s].

        Returns:
            Way of the tick [rad], way of the `ahead` [s] after it, and velocities and
            accelerations at its end, each (n,).
        """
        ask = self._input
        ask.current_position = np.zeros_like(target).tolist()
        ask.current_velocity = self.velocity.tolist()
        ask.current_acceleration = self._acceleration.tolist()
        ask.target_velocity = target.tolist()
        ask.max_acceleration = np.maximum(
            _EASE * limits.acceleration, np.abs(self._acceleration)
        ).tolist()
        ask.max_jerk = (_EASE * limits.jerk).tolist()
        self._ruckig.calculate(ask, self._trajectory)
        now, self.velocity, self._acceleration = map(np.array, self._trajectory.at_time(dt)[:3])
        later, rate, second = map(np.array, self._trajectory.at_time(dt + ahead)[:3])
        return now, later - now, rate, second


def _solve(jacobian: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """Joint velocities (n,) of a twist (6,), damped only where the arm is all but singular."""
    left, values, right = np.linalg.svd(jacobian, full_matrices=False)
    near = max(0.0, 1.0 - (float(values[-1]) / _SINGULAR) ** 2)
    gains = values / (values**2 + near * _DAMPING**2)
    return right.T @ (gains * (left.T @ twist))


def _capped(twist: np.ndarray, linear: float, angular: float) -> np.ndarray:
    """A twist (6,) whose halves are no longer than [m/s] and [rad/s]."""
    sizes = np.linalg.norm(twist[:3]), np.linalg.norm(twist[3:])
    scales = [
        min(1.0, cap / size) if size > 0.0 else 1.0
        for size, cap in zip(sizes, (linear, angular), strict=True)
    ]
    return twist * np.repeat(scales, 3)


def _room(joints: np.ndarray, velocity: np.ndarray, limits: AxisLimits) -> np.ndarray:
    """Largest speed (n,) [rad/s] from which each joint can still stop before its limit."""
    left = np.where(velocity > 0.0, limits.upper - joints, joints - limits.lower)
    stopping = np.sqrt(np.maximum(limits.acceleration * left, 1e-9))
    return np.minimum(0.95 * limits.velocity, stopping)
