"""What every policy offers, and where policies are found by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Protocol
from typing import cast

import numpy as np
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_core.latent_action import LatentAction


class Policy(Protocol):
    """Looks at pictures and an instruction and plans a latent action.

    Attributes:
        name: Name of the policy.
        codebook: Hash of its code vocabulary.
        latent_dim: Dimension of its latent tokens.
        num_codes: Size of its code vocabulary.
        codes_per_plan: How many codes make a latent action.
        trained: False for weights that were only initialised.
    """

    name: str
    codebook: str
    latent_dim: int
    num_codes: int
    codes_per_plan: int
    trained: bool

    def plan(
        self,
        images: np.ndarray | Mapping[str, np.ndarray],
        instruction: str,
        *,
        history_codes: Sequence[int] | np.ndarray | None = None,
        proprioception: np.ndarray | None = None,
        codes: Sequence[int] | np.ndarray | None = None,
    ) -> LatentAction:
        """Plan on one observation.

        Args:
            images: RGB uint8 (height, width, 3), alone or by camera name.
            instruction: The task in words.
            history_codes: Codes of the plan before, for policies that use them.
            proprioception: Robot units, for policies that use it.
            codes: Codes that a person picked, see `forced_codes`; None lets the policy choose.
                With codes the instruction may be empty.

        Raises:
            ObservationError: If the observation is unusable.
            ActionError: If the given codes are.
        """
        ...

    def reset(self) -> None:
        """Forget what depends on earlier plans; call it when the episode changes."""
        ...


# Policy name → "module:function"; the function takes (checkpoint, device=, dtype=, **options).
LOADERS = {
    'univla': 'univla_models.univla:load_univla',
    'uniact': 'univla_models.uniact:load_uniact',
    'unified_vla': 'univla_models.unified_vla:load_unified_vla',
}
# `model_type` of a checkpoint's `config.json` → policy name.
MODEL_TYPES = {'openvla': 'univla', 'llava_onevision': 'uniact', 'Emu3': 'unified_vla'}


def policy_of(config: Mapping[str, Any]) -> str:
    """Name of the policy that a checkpoint is of, from its `config.json`.

    A model type that is not known stands for itself; without one it is UniVLA's.
    """
    kind = str(config.get('model_type', 'openvla'))
    return MODEL_TYPES.get(kind, kind)


def load_policy(
    name: str, checkpoint: str | Path, *, device: str = 'auto', dtype: str = 'auto', **options: Any
) -> Policy:
    """Load a policy by name.

    Args:
        name: Key of `LOADERS`.
        checkpoint: Folder of the checkpoint.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        options: Options of that policy's loader.

    Raises:
        ConfigError: If the name is unknown (the known ones are listed) or an option is.
        CheckpointError: If the checkpoint does not fit.
    """
    if name not in LOADERS:
        raise ConfigError(f'unknown policy {name!r}; known are {", ".join(LOADERS)}')
    module, function = LOADERS[name].split(':')
    loader = getattr(importlib.import_module(module), function)
    return cast(Policy, loader(Path(checkpoint), device=device, dtype=dtype, **options))


def forced_codes(
    codes: Sequence[int] | np.ndarray, codes_per_plan: int, num_codes: int
) -> np.ndarray:
    """The codes of a whole latent action that a person picked, int32, (codes_per_plan,).

    Args:
        codes: One code, which is repeated, or as many as a plan has.
        codes_per_plan: How many those are.
        num_codes: Size of the code vocabulary.

    Raises:
        ActionError: If their number is another or one lies outside the vocabulary.
    """
    picked = np.array([int(code) for code in codes], dtype=np.int64)
    if picked.size not in (1, codes_per_plan):
        raise ActionError(
            f'{picked.size} codes were picked; give one, which is repeated, or {codes_per_plan}'
        )
    if ((picked < 0) | (picked >= num_codes)).any():
        raise ActionError(
            f'codes {picked.tolist()} were picked, but codes go from 0 to {num_codes - 1}'
        )
    return np.broadcast_to(picked, codes_per_plan).astype(np.int32)


def select_image(
    images: np.ndarray | Mapping[str, np.ndarray], camera: str | None = None
) -> np.ndarray:
    """The one picture of a single-camera policy.

    Raises:
        ObservationError: If the camera is missing or the choice is open.
    """
    if not isinstance(images, Mapping):
        return images
    known = ', '.join(images) or '(none)'
    if camera is None and len(images) == 1:
        return next(iter(images.values()))
    if camera is None or camera not in images:
        raise ObservationError(
            f'this policy looks through one camera, {camera or "not named"!r}, but the '
            f'observation holds {known}; name one of them'
        )
    return images[camera]
