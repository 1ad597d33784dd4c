"""Turns what a person asks for into joint references, one per tick."""

from __future__ import annotations

import numpy as np
from univla_core.embodiment import AxisLimits
from univla_core.embodiment import Embodiment

from univla_control.config import ControlConfig
from univla_control.curve import Sample
from univla_control.limiter import JointLimiter
from univla_control.reference import pseudo_inverse
from univla_control.teleop import Ask
from univla_control.teleop import JointAsk
from univla_control.teleop import TwistAsk

_EE_ACCELERATION = 1.0  # [m/s²]; a hand at the stick does not move in steps
_EE_TURNING = 4.0  # [rad/s²]
_LED = 0.05  # a leader arm within this distance leads at once [rad]
_LEADER_SHARE = 0.3  # of a new measurement in the speed of the leader


class TeleopMotion:
    """Follows a person from wherever the robot is, without a jump.

    Args:
        embodiment: An arm.
        config: Parameters.
    """

    def __init__(self, embodiment: Embodiment, config: ControlConfig) -> None:
        assert embodiment.chain is not None
        self._chain = embodiment.chain
        self._catch_up = config.catch_up_share
        self._cartesian = getattr(embodiment, 'cartesian', None)
        self.reset()

    def reset(self) -> None:
        """The next reference starts at the commands."""
        self._joints: np.ndarray | None = None
        self._target: np.ndarray | None = None
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
            self._velocity = limiter.velocities
            self._leader = np.zeros_like(self._velocity)
            self._twist = self._chain.jacobian(limiter.positions) @ self._velocity
        if isinstance(ask, JointAsk):
            velocity = self._towards(ask.at(time), dt, limits)
        else:
            twist = ask.twist if isinstance(ask, TwistAsk) else np.zeros(6)
            tool = isinstance(ask, TwistAsk) and ask.tool
            velocity = self._rate(dt, twist, tool, limits)
        ahead = limiter.look_ahead_s
        # Where a bound stops the commands the reference waits, or letting go would be too late.
        lead = (ahead + 2.0 * dt) * limits.velocity
        self._joints = np.clip(
            self._joints + velocity * dt, limiter.positions - lead, limiter.positions + lead
        )
        self._joints = np.clip(self._joints, limits.lower, limits.upper)
        target = np.clip(self._joints + velocity * ahead, limits.lower, limits.upper)
        return target, velocity, np.zeros_like(velocity)

    def _rate(self, dt: float, twist: np.ndarray, tool: bool, limits: AxisLimits) -> np.ndarray:
        """Joint velocities (n,) [rad/s] that move the end effector by the twist (6,)."""
        joints = self._joints
        assert joints is not None
        if tool:
            R_base_ee = self._chain.forward(joints)[:3, :3]
            twist = np.concatenate([R_base_ee @ twist[:3], R_base_ee @ twist[3:]])
        if self._cartesian is not None:
            most = 0.9 * self._cartesian.ee_speed, 0.9 * self._cartesian.ee_rotation
            twist = _capped(twist, *most)
        change = _capped(twist - self._twist, _EE_ACCELERATION * dt, _EE_TURNING * dt)
        self._twist = self._twist + change
        velocity = pseudo_inverse(self._chain.jacobian(joints)) @ self._twist
        # All joints slow down together, so that the path stays what was asked for.
        share = float(np.max(np.abs(velocity) / _room(joints, velocity, limits), initial=0.0))
        change = velocity / max(1.0, share) - self._velocity
        most = 0.7 * limits.acceleration * dt
        share = float(np.max(np.abs(change) / most, initial=0.0))
        self._velocity = self._velocity + change / max(1.0, share)
        return self._velocity

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
        gentle = 0.5 * limits.acceleration
        closing = np.sign(gap) * np.minimum(
            np.sqrt(gentle * np.abs(gap)), np.abs(gap) / (4.0 * dt)
        )
        wanted = np.clip(self._leader + closing, -most, most)
        change = np.clip(wanted - self._velocity, -1.4 * gentle * dt, 1.4 * gentle * dt)
        self._velocity = self._velocity + change
        return self._velocity


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
