"""From stored pictures to the pixel values that the networks read."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from univla_models.release import AFFINE


def policy_pixels(pictures: np.ndarray, rng: np.random.Generator | None = None) -> Tensor:
    """Pixel values for both vision transformers, (batch, 6, side, side).

    Args:
        pictures: Resized RGB, uint8, (batch, side, side, 3).
        rng: Draws a change of brightness and tint for each picture; None changes nothing.
    """
    values = scaled(pictures, rng)  # (batch, 3, side, side)
    both = []
    for affine in AFFINE:
        mean, std = (values.new_tensor(affine[name]).view(3, 1, 1) for name in ('mean', 'std'))
        both.append((values - mean) / std)
    return torch.cat(both, dim=1)


def scaled(pictures: np.ndarray, rng: np.random.Generator | None = None) -> Tensor:
    """Pictures in [0, 1], (…, 3, side, side); with `rng` lighter, darker or tinted at random.

    Args:
        pictures: RGB, uint8, (batch, …, side, side, 3); what belongs to one sample of the first
            axis changes alike.
        rng: Source of the change.
    """
    values = torch.from_numpy(np.ascontiguousarray(pictures)).float() / 255.0
    if rng is not None:
        count, extra = len(values), (1,) * (values.ndim - 2)
        gain = rng.uniform(0.85, 1.15, (count, *extra, 1)) * rng.uniform(
            0.93, 1.07, (count, *extra, 3)
        )
        shift = rng.uniform(-0.06, 0.06, (count, *extra, 1))
        values = values * torch.from_numpy(gain).float() + torch.from_numpy(shift).float()
        values = values.clamp(0.0, 1.0)
    return values.movedim(-1, -3)


def moved(pictures: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """Pictures as cameras see them that stand a little elsewhere; edges are repeated.

    Args:
        pictures: RGB, uint8, (batch, side, side, 3).
        rng: Draws shift and zoom of each picture.
        most: Largest shift, as a share of the side, and largest change of size.

    Returns:
        As `pictures`.
    """
    side = pictures.shape[1]
    middle = 0.5 * (side - 1)
    changed = np.empty_like(pictures)
    for number, picture in enumerate(pictures):
        zoom = 1.0 + rng.uniform(-most, most)
        shift = (1.0 - zoom) * middle + side * rng.uniform(-most, most, 2)
        change = np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]]])
        changed[number] = cv2.warpAffine(
            picture, change, (side, side), borderMode=cv2.BORDER_REPLICATE
        )
    return changed
