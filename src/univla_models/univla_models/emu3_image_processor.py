"""Camera picture → pixel values for Emu3's vision tokenizer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from univla_core.errors import ObservationError

from univla_models.image_processor import check_image

FACTOR = 8
MAX_ASPECT = 5.0
#: The released processor enlarges to 512²; all official callers override it with this.
INFERENCE_MIN_PIXELS = 80 * 80


@dataclass(frozen=True)
class Emu3ImageProcessor:
    """Resizes to multiples of 8 within an area, and scales to [-1, 1].

    Attributes:
        min_pixels: Smaller pictures are enlarged to this area.
        max_pixels: Larger ones are reduced to this.
    """

    min_pixels: int = INFERENCE_MIN_PIXELS
    max_pixels: int = 1024 * 1024

    def __call__(self, image: np.ndarray) -> Tensor:
        """Pixel values, float32, (3, height, width), of RGB uint8 (height, width, 3).

        Raises:
            ObservationError: If the picture is unusable.
        """
        check_image(image)
        height, width = self.size(*image.shape[:2])
        pixels = resized(image, width, height).astype(np.float32) / np.float32(255.0)
        return torch.from_numpy((pixels - np.float32(0.5)) / np.float32(0.5)).permute(2, 0, 1)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture is resized to.

        Raises:
            ObservationError: If it is more than five times as long as wide.
        """
        if max(height, width) > MAX_ASPECT * min(height, width):
            raise ObservationError(
                f'a picture of {height} x {width} is too long; sides may differ by a factor of '
                f'{MAX_ASPECT:g}'
            )
        rows, columns = (max(1, round(side / FACTOR)) * FACTOR for side in (height, width))
        if rows * columns > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            rows, columns = (
                math.floor(side / shrink / FACTOR) * FACTOR for side in (height, width)
            )
        elif rows * columns < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            rows, columns = (math.ceil(side * grow / FACTOR) * FACTOR for side in (height, width))
        return rows, columns


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture at another size, bicubic; untouched where it has it."""
    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
