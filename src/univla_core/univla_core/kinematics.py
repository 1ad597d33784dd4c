"""Forward and inverse kinematics of a serial chain, in plain numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from univla_core.errors import KinematicsError
from univla_core.errors import ShapeError
from univla_core.poses import pose
from univla_core.poses import rotation_from_rpy
from univla_core.poses import vector_from_rotation


@dataclass(frozen=True)
class IkResult:
    """Outcome of one inverse kinematics call.

    Attributes:
        joints: Best joint angles found [rad], shape (n,), inside the limits.
        position_error: Distance left to the target [m].
        rotation_error: Angle left to the target [rad].
        iterations: Newton steps taken.
    """

    joints: np.ndarray
    position_error: float
    rotation_error: float
    iterations: int


class KinematicChain:
    """Revolute joints from base to end effector.

    Args:
        origins: Pose of each joint frame in its parent link at angle 0, shape (n, 4, 4).
        axes: Unit joint axis in the joint frame, shape (n, 3).
        T_last_ee: Pose of the end effector frame in the last link, shape (4, 4).
    """

    def __init__(self, origins: np.ndarray, axes: np.ndarray, T_last_ee: np.ndarray) -> None:
        self._origins = np.asarray(origins, dtype=float)
        axes = np.asarray(axes, dtype=float)
        self._axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        self._T_last_ee = np.asarray(T_last_ee, dtype=float)
        self._outer = self._axes[:, :, None] * self._axes[:, None, :]
        self._cross = np.zeros((len(axes), 3, 3))
        x, y, z = self._axes.T
        self._cross[:, 0, 1], self._cross[:, 0, 2] = -z, y
        self._cross[:, 1, 0], self._cross[:, 1, 2] = z, -x
        self._cross[:, 2, 0], self._cross[:, 2, 1] = -y, x
        # Origin times turn = still + cos(q) · cosine + sin(q) · sine.
        rotations = self._origins[:, :3, :3]
        self._still = rotations @ self._outer
        self._cosine = rotations - self._still
        self._sine = rotations @ self._cross

    @classmethod
    def from_origins(
        cls,
        joints: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]],
        tool: Sequence[tuple[Sequence[float], Sequence[float]]],
    ) -> KinematicChain:
        """Build from (xyz [m], rpy [rad], axis) per joint and (xyz, rpy) per fixed tool frame."""
        origins = np.array([pose(rotation_from_rpy(rpy), xyz) for xyz, rpy, _ in joints])
        T_last_ee = np.eye(4)
        for xyz, rpy in tool:
            T_last_ee = T_last_ee @ pose(rotation_from_rpy(rpy), xyz)
        return cls(origins, np.array([axis for _, _, axis in joints]), T_last_ee)

    @property
    def joint_count(self) -> int:
        """Number of joints."""
        return len(self._axes)

    def link_poses(self, joints: np.ndarray) -> np.ndarray:
        """Poses of all links in the base frame, shape (n, 4, 4), for angles (n,) [rad].

        Raises:
            ShapeError: If the number of angles is not the number of joints.
        """
        joints = np.asarray(joints, dtype=float)
        if joints.shape != (self.joint_count,):
            raise ShapeError(
                f'got joint angles of shape {joints.shape} for {self.joint_count} joints'
            )
        cosine = np.cos(joints)[:, None, None]
        turns = np.zeros((self.joint_count, 4, 4))
        turns[:, 3, 3] = 1.0
        turns[:, :3, :3] = (
            cosine * np.eye(3)
            + np.sin(joints)[:, None, None] * self._cross
            + (1.0 - cosine) * self._outer
        )
        steps = self._origins @ turns
        for index in range(1, self.joint_count):
            steps[index] = steps[index - 1] @ steps[index]
        return steps

    def forward(self, joints: np.ndarray) -> np.ndarray:
        """Pose `T_base_ee` (4, 4) of the end effector for joint angles (n,) [rad]."""
        return self.link_poses(joints)[-1] @ self._T_last_ee

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        """Geometric Jacobian (6, n): linear [m/rad], then angular, both in the base frame."""
        return self._pose_and_jacobian(joints)[1]

    def motion(
        self, joints: np.ndarray, velocities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where the end effector is and how it moves, for many states at once.

        Args:
            joints: Joint angles [rad], shape (K, n).
            velocities: Joint velocities [rad/s], shape (K, n).

        Returns:
            Positions [m] (K, 3), rotations (K, 3, 3), velocities [m/s] (K, 3) and angular
            velocities [rad/s] (K, 3) of the end effector in the base frame.
        """
        count, states = self.joint_count, len(joints)
        angles = joints.T[:, :, None, None]
        steps = self._still[:, None] + np.cos(angles) * self._cosine[:, None]
        steps += np.sin(angles) * self._sine[:, None]
        turns = np.empty((count + 1, states, 3, 3))  # before the first joint, after each
        turns[0] = np.eye(3)
        for index in range(count):
            np.matmul(turns[index], steps[index], out=turns[index + 1])
        offsets = np.matmul(turns[:-1], self._origins[:, None, :3, 3:])[..., 0]
        places = np.cumsum(offsets, axis=0)  # of the joints, (n, K, 3)
        axes = np.matmul(turns[1:], self._axes[:, None, :, None])[..., 0]
        ee = places[-1] + turns[-1] @ self._T_last_ee[:3, 3]
        spins = velocities.T[:, :, None] * axes
        linear = _cross(spins, ee - places).sum(axis=0)
        return ee, turns[-1] @ self._T_last_ee[:3, :3], linear, spins.sum(axis=0)

    def reach(self) -> np.ndarray:
        """How far one radian of each joint moves the end effector at most [m], shape (n,)."""
        links = np.linalg.norm(self._origins[1:, :3, 3], axis=1)
        lengths = np.append(links, np.linalg.norm(self._T_last_ee[:3, 3]))
        return np.cumsum(lengths[::-1])[::-1]

    def _pose_and_jacobian(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        links = self.link_poses(joints)
        T_base_ee = links[-1] @ self._T_last_ee
        axes = np.einsum('nij,nj->ni', links[:, :3, :3], self._axes)
        arms = T_base_ee[:3, 3] - links[:, :3, 3]
        return T_base_ee, np.concatenate([_cross(axes, arms).T, axes.T])

    def inverse(
        self,
        T_base_ee: np.ndarray,
        seed: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        *,
        iterations: int = 30,
        damping: float = 0.02,
        rest: np.ndarray | None = None,
        position_tolerance: float = 1e-4,
        rotation_tolerance: float = 1e-3,
    ) -> IkResult:
        """Joint angles whose end effector is nearest the target, by damped least squares.

        Starts at `seed`, so a stream of near targets stays on one branch. Joints stay inside
        [lower, upper]. The result is the best point met, not necessarily on target: look at the
        errors.

        Args:
            T_base_ee: Target pose, shape (4, 4).
            seed: Angles to start from [rad], shape (n,).
            lower: Lower position limits [rad], shape (n,).
            upper: Upper position limits [rad], shape (n,).
            iterations: Steps at most.
            damping: Levenberg damping λ of the normal equations.
            rest: Posture that a redundant arm drifts to without moving the hand, shape (n,).
            position_tolerance: Stop below this distance [m].
            rotation_tolerance: Stop below this angle [rad].

        Raises:
            KinematicsError: If the target is not finite.
        """
        if not np.isfinite(T_base_ee).all():
            raise KinematicsError('the target pose of inverse kinematics is not finite')
        joints = np.clip(np.asarray(seed, dtype=float), lower, upper)
        best = IkResult(joints, np.inf, np.inf, 0)
        for count in range(iterations + 1):
            now, jacobian = self._pose_and_jacobian(joints)
            error = np.concatenate(
                [
                    T_base_ee[:3, 3] - now[:3, 3],
                    vector_from_rotation(T_base_ee[:3, :3] @ now[:3, :3].T),
                ]
            )
            distance, angle = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
            if distance + 0.2 * angle < best.position_error + 0.2 * best.rotation_error:
                best = IkResult(joints, distance, angle, count)
            if distance < position_tolerance and angle < rotation_tolerance:
                break
            joints = np.clip(
                joints + self._step(jacobian, error, damping, joints, rest), lower, upper
            )
        return best

    def _step(
        self,
        jacobian: np.ndarray,
        error: np.ndarray,
        damping: float,
        joints: np.ndarray,
        rest: np.ndarray | None,
    ) -> np.ndarray:
        """One damped step (n,) [rad]; a far target is approached by at most 0.3 m or rad."""
        error = error * min(1.0, 0.3 / max(1e-12, float(np.linalg.norm(error))))
        gram = jacobian @ jacobian.T + damping**2 * np.eye(6)
        if rest is None or self.joint_count <= 6:
            return jacobian.T @ np.linalg.solve(gram, error)
        pull = 0.05 * (rest - joints)
        return pull + jacobian.T @ np.linalg.solve(gram, error - jacobian @ pull)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product along the last axis; `np.cross` costs more than the sums."""
    product = np.empty_like(a)
    product[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    product[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    product[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product
