"""How a loaded `uniact` checkpoint is used, and how its pictures are prepared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image
from univla_core.errors import ConfigError

from univla_models.image_presets import rotate_half_turn
from univla_models.image_processor import check_image

LIBERO_SIDE = 400
CROP = 384
SELECTIONS = ('firm', 'mixture')
BATCH_NORMS = ('running', 'frame')
#: Sides of the pictures that small checkpoints are trained on [px].
SQUASHED = (28, 56, 84, 112, 168, 224, 378)


def zoom(image: np.ndarray) -> np.ndarray:
    """Squash to 400 px and keep the middle 384, as the original evaluates its MLP heads."""
    check_image(image)
    size = (LIBERO_SIDE, LIBERO_SIDE)
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    first = (LIBERO_SIDE - CROP) // 2
    return np.ascontiguousarray(resized[first : first + CROP, first : first + CROP])


def squash(image: np.ndarray, side: int) -> np.ndarray:
    """Squash to a square of so many pixels, as the frames are stored that small ones train on."""
    check_image(image)
    resized = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(resized)


#: Steps before extractor and backbone: those of the first view, those of every other view.
#: Checkpoints that `univla train uniact` makes take one of `squash_<side>`.
PREPARATIONS: dict[str, tuple[tuple[Callable[[np.ndarray], np.ndarray], ...], ...]] = {
    'none': ((), ()),
    **{f'squash_{side}': ((partial(squash, side=side),),) * 2 for side in SQUASHED},
    'libero_mlp': ((rotate_half_turn, zoom), (rotate_half_turn,)),
    'libero_act': ((rotate_half_turn,), (rotate_half_turn,)),
}


def prepare(image: np.ndarray, preprocessing: str, first: bool) -> np.ndarray:
    """Do to one view what the environment of the checkpoint does."""
    for step in PREPARATIONS[preprocessing][0 if first else 1]:
        image = step(image)
    return image


@dataclass(frozen=True, kw_only=True)
class UniactOptions:
    """How a loaded checkpoint is used.

    Attributes:
        preprocessing: A name of `PREPARATIONS`; `auto` takes the checkpoint's own
            (`preprocessing` in its `uniact.json`), `none` if it says nothing.
        temperature: 0 chooses surely, as `selection` says. Above it, all universal actions are
            mixed under Gumbel noise at this temperature; the original deploys 1.4.
        selection: `firm` takes the likeliest universal action, `mixture` all of them by their
            probabilities, without noise; `auto` takes the checkpoint's own, `firm` if it says
            nothing.
        seed: Start of the random sequence.
        top_p: Not used: a mixture leaves no universal action out.
        camera: The primary view, which alone the extractor sees; the first one if empty.
        batch_norm: `running` statistics of training, or those of the current `frame`, as the
            original evaluates; `auto` takes the checkpoint's own, `running` if it says nothing.
    """

    preprocessing: str = 'auto'
    temperature: float = 0.0
    selection: str = 'auto'
    seed: int = 0
    top_p: float = 1.0
    camera: str = ''
    batch_norm: str = 'auto'

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name, value, known in (
            ('preprocessing', self.preprocessing, ('auto', *PREPARATIONS)),
            ('selection', self.selection, ('auto', *SELECTIONS)),
            ('batch_norm', self.batch_norm, ('auto', *BATCH_NORMS)),
        ):
            if value not in known:
                raise ConfigError(f'unknown {name} {value!r}; choose one of {", ".join(known)}')
        if not 0.0 <= self.temperature < float('inf'):
            raise ConfigError(f'temperature is {self.temperature}; it must be 0 or above')
