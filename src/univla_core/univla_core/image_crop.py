"""The centre crop that matches training with random crops of fixed size."""

from __future__ import annotations

import numpy as np

from univla_core.errors import ShapeError

AREA = 0.9
SIDE = 224


def center_crop_float(image: np.ndarray, area: float = AREA, side: int = SIDE) -> np.ndarray:
    """Crop the middle `area` share of a picture and resample it to a square.

    Training drew random crops of that area, so at run time the middle one is taken. Samples are
    bilinear without antialiasing and include both ends of the crop.

    Args:
        image: RGB, uint8, shape (height, width, 3).
        area: Share of the picture's area to keep, in (0, 1].
        side: Side of the output [px].

    Returns:
        Float32 in [0, 1], shape (side, side, 3).

    Raises:
        ShapeError: If the picture is not uint8 of that shape.

    Source: the TensorFlow crop-and-resize of OpenVLA's evaluation scripts, arXiv:2406.09246.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError(f'picture is {image.dtype} {image.shape}; it must be uint8 (h, w, 3)')
    scaled = image.astype(np.float32) / np.float32(255.0)
    rows = _interpolate(scaled, area, side)  # (side, width, 3)
    return _interpolate(rows.swapaxes(0, 1), area, side).swapaxes(0, 1)  # (side, side, 3)


def center_crop(image: np.ndarray, area: float = AREA, side: int = SIDE) -> np.ndarray:
    """`center_crop_float` as uint8, shape (side, side, 3), scaled by 255.5 and truncated."""
    scaled = center_crop_float(image, area, side) * np.float32(255.5)
    return np.clip(scaled, 0.0, 255.0).astype(np.uint8)


def _interpolate(image: np.ndarray, area: float, side: int) -> np.ndarray:
    """Resample the first axis at `side` points spread over the middle of its extent."""
    last = image.shape[0] - 1
    keep = np.sqrt(area)
    points = ((1.0 - keep) / 2.0 + keep * np.arange(side) / (side - 1)) * last
    low = np.clip(np.floor(points), 0, last).astype(int)
    high = np.minimum(low + 1, last)
    share = (points - low).astype(np.float32)[:, None, None]
    return image[low] * (np.float32(1.0) - share) + image[high] * share
