"""The decoder of one robot: where it lies, whether it fits, and what it is told of the robot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.paths import checkpoint_path

from univla_ros.checkpoints import ensure_checkpoint

if TYPE_CHECKING:
    from univla_decoders.decoder import RobotDecoder


def decoder_path(
    embodiment: Embodiment, checkpoint: str, decoder: str = '', declaration: str = ''
) -> Path:
    """Folder or file of a robot's decoder.

    Args:
        embodiment: The robot.
        checkpoint: Checkpoint of the policy, or its name.
        decoder: The decoder itself; empty takes `decoders/<robot>` of the checkpoint.
        declaration: What declares a decoder that has no `decoder.yaml`.

    Raises:
        ConfigError: If there is none for this robot.
    """
    if decoder:
        return checkpoint_path(decoder)
    folder = ensure_checkpoint(checkpoint)
    own = folder / 'decoders' / embodiment.name
    if own.is_dir():
        return own
    if (folder / 'action_decoder.pt').is_file() and declaration:
        return folder / 'action_decoder.pt'
    decoders = folder / 'decoders'
    made = sorted(p.name for p in decoders.iterdir()) if decoders.is_dir() else []
    raise ConfigError(
        f'{folder} has no decoder for robot {embodiment.name!r} '
        f'(it has {", ".join(made) or "none"}); give decoder:=, or declaration:= for the '
        'action_decoder.pt of a released checkpoint'
    )


def load_decoder(
    path: Path, embodiment: Embodiment, declaration: str = '', *, allow_untrained: bool = False
) -> RobotDecoder:
    """Load a decoder and see that it fits the robot.

    Raises:
        UnivlaError: If weights, statistics, action space or axis names do not fit.
    """
    from univla_decoders.decoder import RobotDecoder

    from univla_ros.token_decoder import TokenDecoder

    kind = TokenDecoder if TokenDecoder.is_at(path) else RobotDecoder
    decoder = kind.load(path, declaration or None)
    # The controller drops the steps that are past by their time; none is left out blindly.
    decoder.declaration = dataclasses.replace(decoder.declaration, drop_first=0)
    _check_fit(decoder, path, embodiment, allow_untrained)
    return decoder


def _check_fit(
    decoder: RobotDecoder, path: Path, embodiment: Embodiment, allow_untrained: bool
) -> None:
    declared = decoder.declaration
    if not (declared.trained or allow_untrained):
        raise ConfigError(
            f'{path}: the decoder is untrained and must not move a real robot; give decoder:= '
            'or checkpoint:= with trained weights, or sim:=true to watch it'
        )
    if declared.robot not in ('', embodiment.name):
        raise ConfigError(
            f'{path}: the decoder was made for robot {declared.robot!r}, not '
            f'{embodiment.name!r}; its motions would mean something else'
        )
    names = embodiment.action_names(declared.action_space)
    if tuple(declared.names) != names:
        raise ConfigError(
            f'{path}: the decoder moves {", ".join(declared.names)} but robot '
            f'{embodiment.name!r} in {declared.action_space} has {", ".join(names)}; '
            'choose a decoder made for this robot'
        )
