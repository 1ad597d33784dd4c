"""Where a camera stands, from what it shows of a robot's own hand."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from univla_core.errors import TrainingError

#: Fewest frames that a camera is fitted to.
LEAST_FRAMES = 12
# Side of the picture that the fit thinks of [px]. The focal length, in widths of the picture, and
# how much wider than high the picture was before it was made square are tried one by one: a hand
# that moves in a small room tells little of them, and free they run away to a camera far off.
_SIDE = 1000.0
_FOCALS = tuple(np.geomspace(0.6, 3.0, 9))
_SHAPES = (1.0, 4.0 / 3.0, 16.0 / 9.0)
# Cameras over tables mostly see 30 to 70 degrees: the middle of that as a focal length, and what
# share another one has to err less, per square of its logarithm.
_USUAL, _DOUBT = 1.15, 0.1
# How often the worst frames are left out, and how much worse than the median they are.
_ROUNDS, _WORST = 3, 3.0
# Places that are this far off at most, as a share of the picture, decide about a first fit.
_NEAR = 0.04


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
        camera = _best(places[kept], points[kept])
        off = np.linalg.norm(project(camera, points) - places, axis=1)
        kept = off <= _WORST * np.median(off[kept])
    return camera


def project(camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Places (n, 2) in the picture of points (n, 3)."""
    seen = np.column_stack([points, np.ones(len(points))]) @ camera.T
    return seen[:, :2] / seen[:, 2:]


def _best(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The camera that errs least, with all points before it; a usual one if many err alike."""
    found: list[tuple[float, np.ndarray]] = []
    for focal, shape in product(_FOCALS, _SHAPES):
        camera = _posed(places, points, focal, focal * shape)
        if camera is not None:
            off = np.linalg.norm(project(camera, points) - places, axis=1)
            unusual = _DOUBT * np.log(focal / _USUAL) ** 2
            found.append((float(off.mean() * (1.0 + unusual)), camera))
    if not found:
        raise TrainingError(
            'no camera sees the hand where the policy points at it: it hardly moves in these '
            'demonstrations, or the policy does not know it; set head: query in section decoder'
        )
    return min(found, key=lambda fit: fit[0])[1]


def _posed(
    places: np.ndarray, points: np.ndarray, across: float, down: float
) -> np.ndarray | None:
    """The camera of these focal lengths where it fits best, None if things are behind it."""
    inner = np.array([[across, 0.0, 0.5], [0.0, down, 0.5], [0.0, 0.0, 1.0]])
    pixels = np.diag([_SIDE, _SIDE, 1.0]) @ inner
    try:
        found, turn, shift, _ = cv2.solvePnPRansac(
            points, _SIDE * places, pixels, None, reprojectionError=_SIDE * _NEAR
        )
    except cv2.error:
        return None
    if not found:
        return None
    camera = inner @ np.column_stack([cv2.Rodrigues(turn)[0], shift])
    depth = np.column_stack([points, np.ones(len(points))]) @ camera[2]
    return camera if np.isfinite(camera).all() and (depth > 0.0).all() else None
