"""Where a camera stands, from what it shows of a robot's own hand."""

from __future__ import annotations

import cv2
import numpy as np
from univla_core.errors import TrainingError

#: Fewest frames that a camera is fitted to.
LEAST_FRAMES = 12
# Side of the picture that the fit thinks of [px], and its first guess of the focal lengths.
_SIDE, _FOCAL = 1000.0, 1500.0
# How often the worst frames are left out, and how much worse than the median they are.
_ROUNDS, _WORST = 3, 3.0
_FIXED = (
    cv2.CALIB_USE_INTRINSIC_GUESS
    | cv2.CALIB_FIX_PRINCIPAL_POINT
    | cv2.CALIB_ZERO_TANGENT_DIST
    | cv2.CALIB_FIX_K1
    | cv2.CALIB_FIX_K2
    | cv2.CALIB_FIX_K3
)


def fit_camera(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A pinhole camera that sees points of the room at places of its picture.

    The optical axis goes through the middle of the picture; the picture may be stretched. Places
    that are far off are left out.

    Args:
        places: Column and row as shares of the picture, (n, 2).
        points: x, y, z in the base frame [m], (n, 3).

    Returns:
        A matrix (3, 4) that turns x, y, z, 1 into multiples of column, row, 1.

    Raises:
        TrainingError: If these are too few or no camera sees them so.
    """
    places, points = (np.asarray(values, dtype=float) for values in (places, points))
    sure = np.isfinite(places).all(axis=1) & np.isfinite(points).all(axis=1)
    places, points = places[sure], points[sure]
    if len(points) < LEAST_FRAMES:
        raise TrainingError(
            f'a servo head finds its camera from at least {LEAST_FRAMES} frames of its hand, '
            f'here are {len(points)}; record a whole demonstration, or set head: query'
        )
    kept = np.ones(len(points), dtype=bool)
    for _ in range(_ROUNDS):
        camera = _fitted(places[kept], points[kept])
        off = np.linalg.norm(project(camera, points) - places, axis=1)
        kept = off <= _WORST * np.median(off[kept])
    seen = np.column_stack([points, np.ones(len(points))]) @ camera[2]
    if not (np.isfinite(camera).all() and (seen[kept] > 0.0).all()):
        raise TrainingError(
            'no camera sees the hand where the policy points at it: it hardly moves in these '
            'demonstrations, or the policy does not know it; set head: query in section decoder'
        )
    return camera


def project(camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Places (n, 2) in the picture of points (n, 3)."""
    seen = np.column_stack([points, np.ones(len(points))]) @ camera.T
    return seen[:, :2] / seen[:, 2:]


def _fitted(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    guess = np.array([[_FOCAL, 0.0, 0.5 * _SIDE], [0.0, _FOCAL, 0.5 * _SIDE], [0.0, 0.0, 1.0]])
    try:
        _, inner, _, turn, shift = cv2.calibrateCamera(
            [points.astype(np.float32)],
            [(_SIDE * places).astype(np.float32)],
            (int(_SIDE), int(_SIDE)),
            guess,
            np.zeros(5),
            flags=_FIXED,
        )
    except cv2.error as error:
        raise TrainingError(
            f'no camera can be fitted to {len(points)} frames of the hand: {error.err}'
        ) from error
    inner = np.diag([1.0 / _SIDE, 1.0 / _SIDE, 1.0]) @ inner
    return inner @ np.column_stack([cv2.Rodrigues(turn[0])[0], shift[0]])
