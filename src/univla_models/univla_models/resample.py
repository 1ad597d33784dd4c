"""Separable resampling with the exact kernels of the libraries that made the training pictures."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

LANCZOS_RADIUS = 3.0


def resize(image: np.ndarray, height: int, width: int, kernel: str) -> np.ndarray:
    """Resample a picture.

    Args:
        image: uint8, shape (rows, columns, 3).
        height: Rows of the result.
        width: Columns of the result.
        kernel: `lanczos3` (TensorFlow's, antialiased), `area` (OpenCV's INTER_AREA) or
            `bilinear` (half-pixel centres, no antialiasing).

    Returns:
        uint8, rounded and clipped, shape (height, width, 3).
    """
    matrix = _MATRICES[kernel]
    down, right = matrix(image.shape[0], height), matrix(image.shape[1], width)
    rows = np.tensordot(down, image.astype(np.float32), axes=(1, 0))  # (height, columns, 3)
    both = np.tensordot(rows, right, axes=(1, 1)).swapaxes(1, 2)  # (height, width, 3)
    return np.clip(np.floor(both + 0.5), 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def lanczos3_matrix(source: int, target: int) -> np.ndarray:
    """Weights (target, source) of TensorFlow's antialiased lanczos3."""
    scale = source / target
    width = max(scale, 1.0)
    centers = (np.arange(target) + 0.5) * scale
    distance = np.abs((np.arange(source) + 0.5)[None, :] - centers[:, None]) / width
    ratio = distance / LANCZOS_RADIUS
    weights = np.where(distance < LANCZOS_RADIUS, np.sinc(distance) * np.sinc(ratio), 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=16)
def area_matrix(source: int, target: int) -> np.ndarray:
    """Weights (target, source) of OpenCV's INTER_AREA: the share of each source pixel covered."""
    scale = source / target
    if scale >= 1.0:
        low = np.arange(target)[:, None] * scale
        pixel = np.arange(source)[None, :]
        overlap = np.minimum(low + scale, pixel + 1.0) - np.maximum(low, pixel)
        return (np.clip(overlap, 0.0, None) / scale).astype(np.float32)
    # Enlarging: OpenCV blends two neighbours by the share that reaches past the pixel's edge.
    first = np.floor(np.arange(target) * scale).astype(int)
    share = np.arange(1, target + 1) - (first + 1) / scale
    share = np.where(share <= 0.0, 0.0, share - np.floor(share))
    return _two_taps(first, share, source)


@lru_cache(maxsize=16)
def bilinear_matrix(source: int, target: int) -> np.ndarray:
    """Weights (target, source) of bilinear sampling at half-pixel centres."""
    points = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0.0, source - 1.0)
    first = np.floor(points).astype(int)
    return _two_taps(first, points - first, source)


def _two_taps(first: np.ndarray, share: np.ndarray, source: int) -> np.ndarray:
    weights = np.zeros((len(first), source), dtype=np.float32)
    rows = np.arange(len(first))
    np.add.at(weights, (rows, np.minimum(first, source - 1)), 1.0 - share)
    np.add.at(weights, (rows, np.minimum(first + 1, source - 1)), share)
    return weights


_MATRICES = {'lanczos3': lanczos3_matrix, 'area': area_matrix, 'bilinear': bilinear_matrix}
