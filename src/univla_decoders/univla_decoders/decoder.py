"""The robot decoder: one robot's way from a latent action to an action chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.latent_action import LatentAction
from univla_core.norm_stats import DatasetStats
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import choose_key
from univla_core.norm_stats import normalize
from univla_core.norm_stats import read_dataset_statistics
from univla_core.norm_stats import unnormalize
from univla_core.poses import rotation_from_rpy
from univla_core.poses import vector_from_rotation
from univla_core.temporal_ensembling import softmax

from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.declaration import find_declaration
from univla_decoders.declaration import read_declaration
from univla_decoders.felt import with_position
from univla_decoders.gripper import opening
from univla_decoders.heads import HEADS
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import head_config
from univla_decoders.increments import added_up
from univla_decoders.uniact_heads import head_tensors
from univla_decoders.weights import load_strictly
from univla_decoders.weights import read_weights

WEIGHTS = ('action_decoder.safetensors', 'action_decoder.pt')


class RobotDecoder:
    """Decoder head, norm stats and declaration of one robot, checked against each other."""

    def __init__(
        self,
        head: DecoderHead,
        declaration: DecoderDeclaration,
        stats: DatasetStats | None,
        device: torch.device | str = 'cpu',
    ) -> None:
        self.declaration = declaration
        self.head = head.to(device).eval().requires_grad_(False)
        self.stats = stats
        self._device = torch.device(device)
        kinematic = declaration.relative or declaration.end_effector_position
        self._embodiment = load_embodiment(declaration.robot) if kinematic else None
        self._action_stats = stats.action if stats else NormStats()
        self._body_stats = (stats.proprioception if stats else None) or NormStats()

    @classmethod
    def load(
        cls,
        path: str | Path,
        declaration: DecoderDeclaration | str | Path | None = None,
        device: torch.device | str = 'cpu',
    ) -> RobotDecoder:
        """Load a decoder from its folder, or from a weights file with its companions beside it.

        The folder holds `action_decoder.pt` or `.safetensors`, `dataset_statistics.json` when
        actions were normalised, and `decoder.yaml` unless a declaration is given: one, the path
        of one, or the name of a shipped one (`libero`).

        Raises:
            CheckpointError: If a file is missing or truncated, or the weights, the statistics
                and the declaration do not fit each other.
            ConfigError: If the declaration is unusable.
        """
        weights = _weights_file(Path(path))
        folder = weights.parent
        if declaration is None:
            if not (folder / 'decoder.yaml').is_file():
                raise CheckpointError(
                    f'{folder}: no decoder.yaml beside {weights.name}; released checkpoints have '
                    'none, so pass a declaration (config/decoders holds those of released heads)'
                )
            declaration = read_declaration(folder / 'decoder.yaml')
        elif not isinstance(declaration, DecoderDeclaration):
            declaration = find_declaration(declaration)
        declaration.check(str(weights))
        state = head_tensors(read_weights(weights), declaration.unnorm_key, str(weights))
        head = _built_head(state, declaration, str(weights))
        load_strictly(head, state, str(weights))
        return cls(head, declaration, _matching_stats(folder, declaration), device)

    @property
    def horizon(self) -> int:
        """Rows of a decoded chunk."""
        return self.declaration.horizon - self.declaration.drop_first

    @property
    def latent_dim(self) -> int:
        """Dimension of the latent tokens this decoder reads."""
        return self.head.config.pool.input_dim

    @property
    def start_offset_s(self) -> float:
        """Time between the observation and the first decoded row's step [s]."""
        return self.declaration.drop_first * self.declaration.step_duration_s

    def decode(self, latent: LatentAction, proprioception: np.ndarray | None = None) -> np.ndarray:
        """Turn a latent action into an action chunk.

        Args:
            latent: The plan; its code vocabulary must be the one of this decoder.
            proprioception: Robot units, shape (measured_dim,), where declared.

        Returns:
            Float64 chunk in robot units, shape (horizon, len(names)); the gripper, where there
            is one, is an opening in [0, 1], 1 = open.

        Raises:
            ActionError: If the latent action belongs to another vocabulary or has another size,
                proprioception is missing or misshapen, or the result is not finite.
        """
        return self.to_robot_units(self.predict(latent, proprioception), proprioception)

    def predict(
        self, latent: LatentAction, proprioception: np.ndarray | None = None
    ) -> np.ndarray:
        """The chunk as the network says it, float64, shape (horizon, action_dim).

        This is the space in which temporal ensembling averages; for navigation it holds the
        probability of each choice. Errors as `decode`.
        """
        self.check_latent(latent)
        with torch.inference_mode():
            raw = self.head(
                self._tensor(latent.latent),
                self._tensor(latent.visual),
                self._body(proprioception),
            )[0]
        chunk = raw.double().cpu().numpy()[self.declaration.drop_first :]
        if not np.isfinite(chunk).all():
            raise ActionError(
                f'decoder {self.declaration.robot or self.declaration.head}: predicted a value '
                'that is not finite; the latent action is outside what it was trained on'
            )
        return softmax(chunk) if self.declaration.choices else chunk

    def to_robot_units(
        self, chunk: np.ndarray, proprioception: np.ndarray | None = None
    ) -> np.ndarray:
        """Un-normalise a predicted (perhaps ensembled) chunk, float64, shape (rows, names).

        Args:
            chunk: Normalised, (rows, action_dim).
            proprioception: Robot units; what a `relative` declaration adds up from.
        """
        return self.rounded(self.unrounded(chunk, proprioception))

    def unrounded(self, chunk: np.ndarray, proprioception: np.ndarray | None = None) -> np.ndarray:
        """As `to_robot_units`, with the gripper's opening as predicted, not yet firm."""
        declaration = self.declaration
        if declaration.choices:
            return np.array(declaration.choices)[np.argmax(chunk, axis=-1)]
        actions = np.array(unnormalize(chunk, self._action_stats, declaration.normalisation))
        low, high = self._action_stats.minimum, self._action_stats.maximum
        if self.head.clips and low is not None and high is not None:
            actions = np.clip(actions, low, high)
        if declaration.scale:
            actions = actions * np.array(declaration.scale)
        if declaration.rotation == 'rpy':
            rotations = [rotation_from_rpy(row) for row in actions[..., 3:6]]
            actions[..., 3:6] = [vector_from_rotation(rotation) for rotation in rotations]
        if declaration.gripper != 'none':
            actions[..., -1] = opening(actions[..., -1], declaration.gripper)
        if declaration.relative:
            self._check_body(proprioception)
            assert proprioception is not None and self._embodiment is not None
            joints = np.asarray(proprioception, dtype=float)[: self._embodiment.axis_count]
            actions = added_up(actions, joints, declaration.action_space, self._embodiment)
        return actions

    def rounded(self, rows: np.ndarray) -> np.ndarray:
        """Rows of `unrounded` with the gripper open or closed, where it is declared binary."""
        if self.declaration.gripper == 'none' or not self.declaration.gripper_binary:
            return rows
        firm = np.array(rows)
        firm[..., -1] = firm[..., -1] > 0.5
        return firm

    def check_codebook(self, codebook: str) -> None:
        """Refuse a policy whose codes mean something else.

        Raises:
            ActionError: If both sides name a vocabulary and they differ.
        """
        wanted = self.declaration.codebook
        if wanted and codebook != wanted:
            raise ActionError(
                f'latent action speaks codebook {codebook or "(none)"} but this decoder was '
                f'trained on {wanted}; load the decoder that belongs to the policy'
            )

    def check_latent(self, latent: LatentAction) -> None:
        """Refuse a latent action that this decoder cannot read.

        Raises:
            ActionError: If it belongs to another vocabulary, has another size, holds a code
                outside the vocabulary or a value that is not finite.
        """
        self.check_codebook(latent.codebook)
        latent.check(self.declaration.num_codes)
        config = self.head.config
        tokens = 1 if config.kind == 'navigation' else config.latent_tokens
        wanted = [('latent', latent.latent, tokens, self.latent_dim)]
        if config.visual:
            dim = config.visual_dim or self.latent_dim
            wanted.append(('visual', latent.visual, config.visual_tokens or 1, dim))
        for name, value, least, dim in wanted:
            shape = value.shape
            if value.ndim != 2 or shape[1] != dim or shape[0] < least:
                raise ActionError(
                    f'{name} has shape {shape} but this decoder reads at least {least} tokens of '
                    f'{dim}; load the decoder that belongs to policy {latent.policy!r}'
                )

    def _body(self, proprioception: np.ndarray | None) -> Tensor | None:
        dim = self.declaration.proprioception_dim
        if not dim:
            return None
        self._check_body(proprioception)
        values = np.asarray(proprioception, dtype=np.float64)
        if self.declaration.end_effector_position:
            assert self._embodiment is not None
            values = with_position(values, self._embodiment)
        rule = self.declaration.proprioception_normalisation
        return self._tensor(normalize(values, self._body_stats, rule))

    def _check_body(self, proprioception: np.ndarray | None) -> None:
        dim = self.declaration.measured_dim
        if proprioception is None:
            raise ActionError(f'this decoder needs proprioception of {dim} values; none was given')
        values = np.asarray(proprioception, dtype=np.float64)
        if values.shape != (dim,) or not np.isfinite(values).all():
            raise ActionError(
                f'proprioception has shape {values.shape}; this decoder needs {dim} finite values'
            )

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self._device)[None]


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in WEIGHTS:
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f'{path}: holds none of {", ".join(WEIGHTS)}; give the decoder folder')


def _built_head(
    state: dict[str, Tensor], declaration: DecoderDeclaration, where: str
) -> DecoderHead:
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    config = head_config(
        shapes, declaration.horizon, declaration.num_heads, where, declaration.latent_dim
    )
    for field, found, wanted in (
        ('head', config.kind, declaration.head),
        ('action_dim', config.action_dim, declaration.action_dim),
        ('proprioception_dim', config.proprioception_dim, declaration.proprioception_dim),
    ):
        if found != wanted:
            raise CheckpointError(
                f'{where}: {field} of the weights is {found!r} but {wanted!r} is declared; '
                'use the decoder made for this robot or correct the declaration'
            )
    return HEADS[config.kind](config)


def _matching_stats(folder: Path, declaration: DecoderDeclaration) -> DatasetStats | None:
    """Statistics of the declared data set, or None when nothing was normalised."""
    rules = (declaration.normalisation, declaration.proprioception_normalisation)
    if set(rules) == {'none'}:
        return None
    path = folder / 'dataset_statistics.json'
    everything = read_dataset_statistics(path)
    stats = everything[choose_key(everything, declaration.unnorm_key or None, str(path))]
    stats.action.require(rules[0], declaration.action_dim, f'{path}: action')
    body = stats.proprioception or NormStats()
    body.require(rules[1], declaration.proprioception_dim, f'{path}: proprio')
    return stats
