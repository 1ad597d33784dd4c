"""Rotations and poses: rotation matrices, roll-pitch-yaw, rotation vectors, quaternions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def rotation_from_rpy(rpy: ArrayLike) -> np.ndarray:
    """Rotation matrix (3, 3) from fixed-axis roll, pitch, yaw [rad], the order of URDF."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) from a rotation vector (3,) [rad] (Rodrigues)."""
    x, y, z = (float(value) for value in vector)
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-12:
        return np.array([[1.0, -z, y], [z, 1.0, -x], [-y, x, 1.0]])
    x, y, z = x / angle, y / angle, z / angle
    c, s = math.cos(angle), math.sin(angle)
    t = 1.0 - c
    return np.array(
        [
            [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
            [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
            [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
        ]
    )


def vector_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) [rad] of a rotation matrix (3, 3), length in [0, pi]."""
    w, x, y, z = quaternion_from_rotation(rotation)
    sine = math.sqrt(x * x + y * y + z * z)
    if sine < 1e-12:
        return 2.0 * np.array([x, y, z])
    angle = 2.0 * math.atan2(sine, w)
    return np.array([x, y, z]) * (angle / sine)


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) nearest to a matrix (3, 3), by the sum of squared differences.

    Of an average of rotation matrices this is the average rotation.
    """
    left, _, right = np.linalg.svd(matrix)
    turn = np.sign(np.linalg.det(left @ right))
    return left @ np.diag([1.0, 1.0, turn]) @ right


def quaternion_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternion (w, x, y, z) with w >= 0 of a rotation matrix (3, 3).

    Uses the largest of the four components as pivot (Shepperd), so it is accurate near pi.
    """
    r = rotation
    trace = r[0, 0] + r[1, 1] + r[2, 2]
    pivots = (trace, r[0, 0], r[1, 1], r[2, 2])
    best = max(range(4), key=pivots.__getitem__)
    if best == 0:
        q = np.array([1.0 + trace, r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    else:
        i, j, k = ((0, 1, 2), (1, 2, 0), (2, 0, 1))[best - 1]
        q = np.empty(4)
        q[0] = r[k, j] - r[j, k]
        q[1 + i] = 1.0 + r[i, i] - r[j, j] - r[k, k]
        q[1 + j] = r[j, i] + r[i, j]
        q[1 + k] = r[k, i] + r[i, k]
    q /= np.linalg.norm(q)
    return -q if q[0] < 0.0 else q


def pose(rotation: np.ndarray, translation: ArrayLike) -> np.ndarray:
    """Homogeneous transform (4, 4) from a rotation (3, 3) and a translation (3,) [m]."""
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = translation
    return result


def pose_from_vector(vector: np.ndarray) -> np.ndarray:
    """Pose (4, 4) from x, y, z [m] and rotation vector [rad], shape (6,)."""
    return pose(rotation_from_vector(vector[3:6]), vector[:3])


def vector_from_pose(transform: np.ndarray) -> np.ndarray:
    """x, y, z [m] and rotation vector [rad], shape (6,), of a pose (4, 4)."""
    return np.concatenate([transform[:3, 3], vector_from_rotation(transform[:3, :3])])


def interpolate_pose(start: np.ndarray, stop: np.ndarray, share: float) -> np.ndarray:
    """Pose between two poses: straight line, and the shortest turn at constant rate.

    Args:
        start: Pose at share 0, shape (4, 4).
        stop: Pose at share 1, shape (4, 4).
        share: Where between the two, in [0, 1].
    """
    turn = vector_from_rotation(stop[:3, :3] @ start[:3, :3].T)
    translation = (1.0 - share) * start[:3, 3] + share * stop[:3, 3]
    return pose(rotation_from_vector(share * turn) @ start[:3, :3], translation)
