"""From a camera picture to the pixel values of both vision transformers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from univla_core.errors import CheckpointError
from univla_core.errors import ObservationError

from univla_models.checkpoint_files import read_json

STRATEGIES = ('resize-naive', 'letterbox', 'resize-crop')


@dataclass(frozen=True)
class ImageProcessor:
    """Resize, crop and normalise as Prismatic does.

    Attributes:
        strategy: `resize-naive` squashes to a square, `letterbox` pads to one, `resize-crop`
            scales the shorter side and crops the middle.
        means, stds: One triple (red, green, blue) per vision transformer.
        size: Side of the result [px].
        fill: Colour of letterbox bars; by default the last transformer's mean.

    Source: `PrismaticImageProcessor`, arXiv:2402.07865; Pillow's bicubic gives the same bytes.
    """

    strategy: str
    means: tuple[tuple[float, float, float], ...]
    stds: tuple[tuple[float, float, float], ...]
    size: int = 224
    fill: tuple[int, int, int] | None = None

    @classmethod
    def from_json(cls, path: Path) -> ImageProcessor:
        """Read a `preprocessor_config.json`.

        `tvf_normalize_params` wins over `means` and `stds`: released processors carry constants
        rounded to bfloat16 there, and those are what the checkpoints saw.

        Raises:
            CheckpointError: If the file is unusable or asks for what is not supported.
        """
        return cls.from_mapping(read_json(path), str(path))

    @classmethod
    def from_mapping(cls, values: dict[str, Any], where: str) -> ImageProcessor:
        """As `from_json`, from the parsed object."""
        try:
            affine = values.get('tvf_normalize_params') or [
                {'mean': mean, 'std': std}
                for mean, std in zip(values['means'], values['stds'], strict=True)
            ]
            sizes = {tuple(size[-2:]) for size in values['input_sizes']}
            (height, width), *others = sizes
            processor = cls(
                strategy=values.get('image_resize_strategy', 'resize-naive'),
                means=tuple(_triple(entry['mean']) for entry in affine),
                stds=tuple(_triple(entry['std']) for entry in affine),
                size=int(height),
                fill=_fill(values.get('tvf_letterbox_fill')),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f'{where}: unusable image processor, {error!r}') from error
        if others or height != width:
            raise CheckpointError(f'{where}: input sizes {sorted(sizes)} must be one square')
        if processor.strategy not in STRATEGIES:
            raise CheckpointError(
                f'{where}: image_resize_strategy {processor.strategy!r} is unknown; '
                f'known are {", ".join(STRATEGIES)}'
            )
        if set(values.get('interpolations', ['bicubic'])) != {'bicubic'}:
            raise CheckpointError(f'{where}: only bicubic interpolation is supported')
        return processor

    def __call__(self, image: np.ndarray) -> Tensor:
        """Pixel values of one picture.

        Args:
            image: RGB, uint8, shape (height, width, 3).

        Returns:
            Float32, shape (3 · transformers, size, size).

        Raises:
            ObservationError: If the picture is not uint8 of that shape.
        """
        resized = self.resize(image)
        channels = [table[resized[..., color]] for color, table in self._tables]
        return torch.from_numpy(np.stack(channels))

    def resize(self, image: np.ndarray) -> np.ndarray:
        """The uint8 picture that is normalised, shape (size, size, 3)."""
        check_image(image)
        if self.strategy == 'resize-naive':
            if image.shape[:2] == (self.size, self.size):
                return image
            return np.asarray(_bicubic(Image.fromarray(image), self.size, self.size))
        picture = Image.fromarray(self._padded(image) if self.strategy == 'letterbox' else image)
        short = min(picture.size)
        width, height = (int(self.size * side / short) for side in picture.size)
        left, top = (round((side - self.size) / 2.0) for side in (width, height))
        resized = np.asarray(_bicubic(picture, width, height))
        return resized[top : top + self.size, left : left + self.size]

    @cached_property
    def _tables(self) -> list[tuple[int, np.ndarray]]:
        """Normalised value of each of the 256 levels, for every output channel."""
        levels = np.arange(256, dtype=np.float32) / np.float32(255.0)
        return [
            (color, (levels - np.float32(mean[color])) / np.float32(std[color]))
            for mean, std in zip(self.means, self.stds, strict=True)
            for color in range(3)
        ]

    def _padded(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        side = max(height, width)
        down, right = (side - height) // 2, (side - width) // 2
        fill = self.fill or tuple(int(mean * 255) for mean in self.means[-1])
        padded = np.empty((height + 2 * down, width + 2 * right, 3), dtype=np.uint8)
        padded[:] = fill
        padded[down : down + height, right : right + width] = image
        return padded


def check_image(image: np.ndarray) -> None:
    """Refuse what is no RGB picture.

    Raises:
        ObservationError: If it is not uint8 of shape (height, width, 3).
    """
    shape: Any = getattr(image, 'shape', ())
    dtype = getattr(image, 'dtype', type(image).__name__)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ObservationError(
            f'picture is {dtype} {shape}; it must be RGB, uint8, of shape (height, width, 3)'
        )


def _bicubic(picture: Image.Image, width: int, height: int) -> Image.Image:
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _fill(value: Any) -> tuple[int, int, int] | None:
    if value is None:
        return None
    red, green, blue = (int(level) for level in value)
    return red, green, blue
