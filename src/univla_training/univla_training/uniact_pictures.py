"""From stored pictures to what extractor and backbone see, as a deployed policy makes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from univla_models.uniact_resnet import PROCESSOR

from univla_training.pixels import scaled


@dataclass(frozen=True, kw_only=True)
class Looks:
    """One view of each sample.

    Attributes:
        pixels: For the extractor, in [-1, 1], (batch, 3, side, side).
        views: For the backbone, (batch, 1, 3, 224, 224).
    """

    pixels: Tensor
    views: Tensor


def looks(pictures: np.ndarray, rng: np.random.Generator | None = None) -> Looks:
    """What both see of stored pictures.

    Args:
        pictures: Squashed RGB, uint8, (batch, side, side, 3).
        rng: Draws a change of brightness and tint for each picture, the same for both; None
            changes nothing.
    """
    seed = None if rng is None else int(rng.integers(2**62))
    large = np.stack([PROCESSOR.resize(picture) for picture in pictures])
    small = scaled(pictures, _again(seed))
    return Looks(
        pixels=((small - 0.5) / 0.5).contiguous(),
        views=view_pixels(scaled(large, _again(seed)))[:, None],
    )


def view_pixels(values: Tensor) -> Tensor:
    """Pictures in [0, 1], (batch, 3, 224, 224), normalised for the backbone."""
    mean, std = (
        values.new_tensor(triple[0]).view(3, 1, 1) for triple in (PROCESSOR.means, PROCESSOR.stds)
    )
    # Plane by plane: torch's convolutions on the CPU crash on the gradients of other layouts.
    return ((values - mean) / std).contiguous()


def _again(seed: int | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


def to_device(seen: Looks, device: torch.device) -> Looks:
    """The same on a device."""
    return Looks(pixels=seen.pixels.to(device), views=seen.views.to(device))
