"""What a chunk asks of the robot at any time: reference motions in joint and Cartesian space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.kinematics import IkResult
from univla_core.poses import pose
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation

from univla_control.curve import Fade
from univla_control.curve import KnotCurve
from univla_control.curve import Sample
from univla_control.curve import fade_duration

_LONGEST_SEAM = 0.45  # for passing from one chunk to the next [s]
_LONGEST_START = 2.0  # for setting out from a hold [s]
_DAMPING = 0.02  # of the pseudo-inverse, as in `KinematicChain.inverse`


@dataclass(frozen=True)
class Unreachable:
    """How far a target pose stayed away."""

    distance: float  # [m]
    angle: float  # [rad]


class JointReference:
    """Joint angles over time: a curve through the rows, joined to the motion before it.

    Args:
        curve: Joint angles [rad] over time.
        embodiment: The robot.
        seam_blend_s: Shortest time of the passage.
    """

    unreachable: Unreachable | None = None

    def __init__(self, curve: KnotCurve, embodiment: Embodiment, seam_blend_s: float) -> None:
        self._curve, self._limits = curve, embodiment.limits
        self._shortest = seam_blend_s
        self._fade: Fade | None = None

    def join(self, time: float, state: Sample, before: Motion | None) -> None:
        """Begin at what `before` asks for at `time`, or at the motion being executed.

        Args:
            time: When the passage begins [s].
            state: Commanded positions, velocities and accelerations, each (n,).
            before: The reference being followed, None after a hold.
        """
        longest = _LONGEST_START
        if isinstance(before, JointReference):
            state, longest = _sum(before._curve, before._fade, time), _LONGEST_SEAM
        there = self._curve.sample(time)
        gap = (state[0] - there[0], state[1] - there[1], state[2] - there[2])
        self._fade = Fade(time, fade_duration(gap, self._limits, self._shortest, longest), gap)

    def planned(self, time: float, near: np.ndarray) -> np.ndarray | None:
        """Joint angles (n,) [rad] of the curve alone at a time, None outside of it."""
        return self._curve.sample(time)[0] if self._curve.covers(time) else None

    def sample(self, time: float, joints: np.ndarray, reach: np.ndarray) -> Sample:
        """Positions [rad], velocities, accelerations at a time, each (n,)."""
        return _sum(self._curve, self._fade, time)


class CartesianReference:
    """End effector poses over time, turned into joint angles by one inverse kinematics a call.

    Poses run in a chart of six numbers: position [m] and the rotation vector [rad] that turns
    `R_origin` into the orientation.

    Args:
        curve: Charted poses over time, (6,).
        R_origin: Orientation at which the chart's rotation vector is zero, shape (3, 3).
        embodiment: The robot.
        seam_blend_s: Shortest time of the passage.
        tolerance: Distance [m] and angle [rad] beyond which a pose counts as unreachable.
    """

    def __init__(
        self,
        curve: KnotCurve,
        R_origin: np.ndarray,
        embodiment: Embodiment,
        seam_blend_s: float,
        tolerance: Unreachable,
    ) -> None:
        assert embodiment.chain is not None
        self.unreachable: Unreachable | None = None
        self._curve, self._R_origin = curve, R_origin
        self._embodiment, self._chain = embodiment, embodiment.chain
        self._limits = embodiment.limits
        self._shortest, self._tolerance = seam_blend_s, tolerance
        self._fade: Fade | None = None
        self._seed = embodiment.home
        self._last: tuple[float, np.ndarray] | None = None

    def join(self, time: float, state: Sample, before: Motion | None) -> None:
        """Begin at what `before` asks for at `time`, or at the motion being executed.

        Args:
            time: When the passage begins [s].
            state: Commanded positions, velocities and accelerations, each (n,).
            before: The reference being followed, None after a hold.
        """
        jacobian = self._chain.jacobian(state[0])
        longest = _LONGEST_START
        if isinstance(before, CartesianReference):
            self._seed, longest = before._seed, _LONGEST_SEAM
            self._last = before._last
            now, twist, second_twist = before.pose_motion(time)
        else:
            self._seed = state[0]
            now, twist = self._chain.forward(state[0]), jacobian @ state[1]
            second_twist = jacobian @ state[2]
        there, rate, second = self._curve.sample(time)
        turn = nearest_turn(vector_from_rotation(now[:3, :3] @ self._R_origin.T), there[3:])
        here = np.concatenate([now[:3, 3], turn])
        gap = (here - there, _charted(twist, turn) - rate, _charted(second_twist, turn) - second)
        inverse = pseudo_inverse(jacobian)
        joint_gap = (inverse @ gap[0], inverse @ gap[1], inverse @ gap[2])
        duration = fade_duration(joint_gap, self._limits, self._shortest, longest)
        self._fade = Fade(time, duration, gap)

    def planned(self, time: float, near: np.ndarray) -> np.ndarray | None:
        """Joint angles (n,) [rad] of the curve alone at a time, None outside of it.

        Args:
            time: When [s].
            near: Where the search for them begins (n,) [rad].
        """
        if not self._curve.covers(time):
            return None
        charted = self._curve.sample(time)[0]
        target = pose(rotation_from_vector(charted[3:]) @ self._R_origin, charted[:3])
        return self._inverse(target, near).joints

    def pose_motion(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pose (4, 4), twist (6,) and its derivative (6,) asked for at a time, in the base."""
        charted, rate, second = _sum(self._curve, self._fade, time)
        turning = turn_jacobian(charted[3:])
        return (
            pose(rotation_from_vector(charted[3:]) @ self._R_origin, charted[:3]),
            np.concatenate([rate[:3], turning @ rate[3:]]),
            np.concatenate([second[:3], turning @ second[3:]]),
        )

    def sample(self, time: float, joints: np.ndarray, reach: np.ndarray) -> Sample:
        """Positions [rad], velocities, accelerations at a time, each (n,).

        Args:
            time: When [s].
            joints: Commanded angles now (n,) [rad].
            reach: How far from them each joint can get until then (n,) [rad]; a solution
                beyond is another branch and is approached by that much only.
        """
        target, twist, _ = self.pose_motion(time)
        solution = self._solve(target)
        step = solution - joints
        share = float(np.max(np.abs(step) / reach))
        self._seed = solution if share <= 1.0 else joints + step / share
        if self.unreachable or share > 1.0:
            return self._seed, np.zeros_like(joints), np.zeros_like(joints)
        jacobian = self._chain.jacobian(solution)
        rate = pseudo_inverse(jacobian) @ twist
        last, self._last = self._last, (time, rate)
        second = (
            (rate - last[1]) / (time - last[0]) if last and time > last[0] else np.zeros_like(rate)
        )
        return solution, rate, second

    def _solve(self, target: np.ndarray) -> np.ndarray:
        result = self._inverse(target, self._seed)
        limit = self._tolerance
        missed = result.position_error > limit.distance or result.rotation_error > limit.angle
        self.unreachable = (
            Unreachable(result.position_error, result.rotation_error) if missed else None
        )
        return result.joints

    def _inverse(self, target: np.ndarray, seed: np.ndarray) -> IkResult:
        return self._chain.inverse(
            target,
            seed,
            self._limits.lower,
            self._limits.upper,
            iterations=3,
            damping=_DAMPING,
            rest=seed + 0.05 * (self._embodiment.home - seed),
            position_tolerance=1e-5,
            rotation_tolerance=1e-4,
        )


Motion = JointReference | CartesianReference


class TwistReference:
    """Twist of a base: row i holds until its due time, afterwards zero.

    Args:
        start: Time at which the first row begins [s].
        step_s: Time between rows [s].
        rows: Twists, shape (horizon, 2).
    """

    def __init__(self, start: float, step_s: float, rows: np.ndarray) -> None:
        self._start, self._step, self._rows = start, step_s, rows

    def sample(self, time: float) -> np.ndarray:
        """Twist (2,) [m/s, rad/s] at a time."""
        index = int((time - self._start) / self._step)
        if time < self._start or index >= len(self._rows):
            return np.zeros(self._rows.shape[1])
        return self._rows[index]


def _sum(curve: KnotCurve, fade: Fade | None, time: float) -> Sample:
    value, rate, second = curve.sample(time)
    if fade is None:
        return value, rate, second
    gap = fade.sample(time)
    return value + gap[0], rate + gap[1], second + gap[2]


def pseudo_inverse(jacobian: np.ndarray) -> np.ndarray:
    """Damped right inverse (n, 6) of a Jacobian (6, n)."""
    gram = jacobian @ jacobian.T
    gram[np.diag_indices(6)] += _DAMPING**2
    return np.linalg.solve(gram, jacobian).T


def turn_jacobian(turn: np.ndarray) -> np.ndarray:
    """Matrix (3, 3) from the rate of a rotation vector to the angular velocity in fixed axes."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-4:
        return np.eye(3) + 0.5 * cross
    return (
        np.eye(3)
        + (1.0 - np.cos(angle)) / angle**2 * cross
        + (angle - np.sin(angle)) / angle**3 * cross @ cross
    )


def nearest_turn(turn: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Of the rotation vectors that mean the same turn, the one nearest to another, each (3,)."""
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return turn
    axis = turn / angle
    return turn + 2.0 * np.pi * round(float((near - turn) @ axis) / (2.0 * np.pi)) * axis


def _charted(twist: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Rates of the chart (6,) from linear and angular velocity (6,) at a rotation vector (3,)."""
    angular = np.linalg.lstsq(turn_jacobian(turn), twist[3:], rcond=1e-3)[0]
    return np.concatenate([twist[:3], angular])
