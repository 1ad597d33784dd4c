"""What each environment does to a picture and a prompt before the policy sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from univla_core.errors import ConfigError
from univla_core.image_crop import center_crop

from univla_models.jpeg import jpeg_round_trip
from univla_models.resample import resize

SIDE = 224


def rotate_half_turn(image: np.ndarray) -> np.ndarray:
    """LIBERO's cameras are mounted upside down."""
    return np.ascontiguousarray(image[::-1, ::-1])


STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'rotate_half_turn': rotate_half_turn,
    'jpeg': jpeg_round_trip,
    'lanczos3': lambda image: resize(image, SIDE, SIDE, 'lanczos3'),
    'area': lambda image: resize(image, SIDE, SIDE, 'area'),
    'bilinear': lambda image: resize(image, SIDE, SIDE, 'bilinear'),
    'center_crop': center_crop,
}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One environment's habits.

    Attributes:
        steps: Names from `STEPS`, applied in order before the checkpoint's image processor.
        history: How the prompt repeats the codes of the plan before: `codes`, `list` (with the
            punctuation of a Python list, as the R2R checkpoint was trained) or `none` (never).
    """

    steps: tuple[str, ...] = ()
    history: str = 'codes'

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Apply the steps to a uint8 RGB picture."""
        for name in self.steps:
            image = STEPS[name](image)
        return image


LIBERO = ('rotate_half_turn', 'jpeg', 'lanczos3', 'center_crop')
PRESETS = {
    'none': Preset(),
    'plain': Preset(history='none'),
    'libero': Preset(steps=LIBERO),
    'libero_blocking': Preset(steps=LIBERO, history='none'),
    'bridge': Preset(steps=('area', 'center_crop'), history='none'),
    'calvin': Preset(history='none'),
    'r2r': Preset(history='list'),
    'real_world': Preset(steps=('bilinear',)),
}


def preset(name: str) -> Preset:
    """Look up a preset.

    Raises:
        ConfigError: If the name is unknown; the known ones are listed.
    """
    if name not in PRESETS:
        raise ConfigError(f'unknown preprocessing {name!r}; choose one of {", ".join(PRESETS)}')
    return PRESETS[name]
