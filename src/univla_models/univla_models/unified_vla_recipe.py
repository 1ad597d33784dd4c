"""What belongs to one checkpoint of the unified VLA besides its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError

from univla_models.checkpoint_files import read_json
from univla_models.emu3_image_processor import resized
from univla_models.image_processor import check_image

RECIPE_FILE = 'unified_vla.json'


@dataclass(frozen=True, kw_only=True)
class View:
    """One picture of an observation as the checkpoint was trained on it.

    Attributes:
        camera: Its name in the observation.
        width: Columns it is resized to before the image processor; 0 leaves it as it is.
        height: Rows.
        half_turn: Whether it is turned upside down first.
    """

    camera: str
    width: int = 0
    height: int = 0
    half_turn: bool = False

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """The picture for the image processor, from RGB uint8 (height, width, 3).

        Raises:
            ObservationError: If it is no such picture.
        """
        check_image(image)
        turned = image[::-1, ::-1] if self.half_turn else image
        return resized(turned, self.width, self.height) if self.width else turned


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Views, chunk and sequence of a checkpoint.

    Attributes:
        views: Pictures of an observation, the main one first.
        horizon: Steps of a chunk.
        action_dim: Dimensions of one action.
        video: Whether the plan sees the observation and the actions before.
        window: Observations in a video sequence, the newest included.
        max_new_tokens: Most ids of a plan, its end included.
        whole_chunks: Whether only ids are allowed that can still make a whole chunk, see
            `ChunkGrammar`. Released checkpoints may end a plan anywhere; one that is too short or
            too long is refused.
    """

    views: tuple[View, ...]
    horizon: int
    action_dim: int = 7
    video: bool = True
    window: int = 2
    max_new_tokens: int = 100
    whole_chunks: bool = False

    def pictures(self, images: np.ndarray | Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The prepared picture of each view.

        Raises:
            ObservationError: If a camera is missing.
        """
        if not isinstance(images, Mapping):
            images = {self.views[0].camera: images}
        missing = [view.camera for view in self.views if view.camera not in images]
        if missing:
            raise ObservationError(
                f'this checkpoint sees {len(self.views)} views and camera {", ".join(missing)} is '
                f'missing; the observation holds {", ".join(images) or "none"}'
            )
        return [view.prepare(images[view.camera]) for view in self.views]

    def seen_through(self, camera: str) -> Recipe:
        """The same with the main view from another camera."""
        main = replace(self.views[0], camera=camera)
        return replace(self, views=(main, *self.views[1:]))


_LIBERO = Recipe(
    views=(
        View(camera='primary', width=200, height=200, half_turn=True),
        View(camera='wrist', width=200, height=200, half_turn=True),
    ),
    horizon=10,
    max_new_tokens=80,
    video=False,
)
#: Released checkpoints; `libero_video` is the one of the headline number.
RECIPES = {
    'libero_image': _LIBERO,
    'libero_video': replace(_LIBERO, video=True),
    'calvin': Recipe(
        views=(
            View(camera='primary', width=200, height=200),
            View(camera='wrist', width=80, height=80),
        ),
        horizon=10,
    ),
    'simpler_widowx': Recipe(
        views=(View(camera='primary', width=256, height=256),),
        horizon=5,
    ),
    'simpler_google': Recipe(
        views=(View(camera='primary', width=160, height=128),),
        horizon=5,
    ),
}


def find_recipe(name: str, folder: Path) -> Recipe:
    """A recipe by name; `auto` reads `unified_vla.json` of the checkpoint.

    Raises:
        ConfigError: If the name is unknown, or `auto` finds nothing.
        CheckpointError: If the file is unusable.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = folder / RECIPE_FILE
    if name != 'auto' or not path.is_file():
        raise ConfigError(
            f'{folder}: preprocessing {name!r} names no recipe; choose one of '
            f'{", ".join(RECIPES)}, or auto with a {RECIPE_FILE} in the checkpoint'
        )
    return recipe_from_mapping(read_json(path), str(path))


def recipe_from_mapping(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from plain values, keys as the fields of `Recipe` and `View`.

    Raises:
        CheckpointError: If a key is unknown or missing, or a value unusable.
    """
    try:
        views = tuple(View(**view) for view in values['views'])
        recipe = Recipe(**{**values, 'views': views})
        sizes = (recipe.horizon, recipe.action_dim, recipe.window, recipe.max_new_tokens)
        if not views or min(sizes) < 1:
            raise ValueError('views, horizon, action_dim, window and max_new_tokens are needed')
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f'{where}: unusable recipe ({error})') from error
    return recipe
