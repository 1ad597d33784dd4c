"""Initial decoder weights, statistics and declarations for a synthetic checkpoint.

The tensor names are those of UniVLA's released heads, so the ordinary decoder loads them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor
from univla_core.action_space import action_space
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError

from univla_models.synthetic_tokenizer import NUM_CODES

EMBED_DIM = 32
NUM_HEADS = 4
MLP_RATIO = 4
# Largest step per action that an untrained decoder may ask for.
TRANSLATION_STEP = 0.006  # [m]
ROTATION_STEP = 0.012  # [rad]
JOINT_STEP = 0.02  # [rad]
BASE_SHARE = 0.5  # of the base's velocity limits
# The plan shall outweigh what all pictures have in common: the pooled picture speaks softly, the
# attention to the plan is sharp.
VISUAL_SHARE = 0.2
GAINS = {'attn.q.': 3.0, 'attn.kv.': 3.0, 'attn.proj.': 3.0, 'mlp.': 1.5}
# Chunks: share of the bounds asked for, points that the weights of a dimension are interpolated
# between along the horizon, and how much they vary along it.
ACTION_SHARE = 0.5
HORIZON_POINTS = 3
HORIZON_VARIATION = 0.6


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """What a synthetic decoder is made for.

    Attributes:
        robot: Name of the embodiment, and of the decoder's folder.
        action_space: Name of the action space.
        names: One axis name per dimension; a last one called `gripper` is an opening.
        horizon: Rows per chunk.
        step_duration_s: Time between two rows [s].
        q01, q99: What -1 and 1 of the network mean, in robot units.
        head: `manipulation` or `proprioception`.
        proprioception_dim: Size of the proprioception vector of such a head.
    """

    robot: str
    action_space: str
    names: tuple[str, ...]
    q01: tuple[float, ...]
    q99: tuple[float, ...]
    horizon: int = 8
    step_duration_s: float = 0.1
    head: str = 'manipulation'
    proprioception_dim: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that do not belong together."""
        if not len(self.names) == len(self.q01) == len(self.q99):
            raise ConfigError(
                f'decoder for {self.robot!r}: {len(self.names)} names, {len(self.q01)} q01 and '
                f'{len(self.q99)} q99; give one of each per dimension'
            )
        if self.head not in ('manipulation', 'proprioception'):
            raise ConfigError(
                f'decoder for {self.robot!r}: head {self.head!r} is unknown; '
                'choose manipulation or proprioception'
            )
        if (self.head == 'proprioception') != (self.proprioception_dim > 0):
            raise ConfigError(
                f'decoder for {self.robot!r}: proprioception_dim belongs to that head only'
            )


def spec_for(embodiment: Embodiment, space: str = '') -> DecoderSpec:
    """A decoder for an action space, by default a robot's first, with cautious bounds."""
    space = space or embodiment.action_spaces[0]
    names = embodiment.action_names(space)
    limits = embodiment.limits
    if action_space(space).cartesian:
        high = np.array([TRANSLATION_STEP] * 3 + [ROTATION_STEP] * 3)
        low = -high
    elif space == 'base_twist':
        high = BASE_SHARE * limits.velocity
        low = -high
    elif space == 'joint_delta':
        high = np.full(embodiment.axis_count, JOINT_STEP)
        low = -high
    else:
        low, high = limits.lower, limits.upper
    if len(names) > len(high):
        low, high = np.append(low, 0.0), np.append(high, 1.0)
    return DecoderSpec(
        robot=embodiment.name,
        action_space=space,
        names=names,
        q01=tuple(low.tolist()),
        q99=tuple(high.tolist()),
    )


def write_decoder(
    folder: Path, spec: DecoderSpec, latent_dim: int, codebook: str, seed: int
) -> None:
    """Write `action_decoder.pt`, `dataset_statistics.json` and `decoder.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(head_tensors(spec, latent_dim, seed), folder / 'action_decoder.pt')
    statistics = json.dumps({spec.robot: statistics_of(spec)}, indent=1)
    (folder / 'dataset_statistics.json').write_text(statistics, encoding='utf-8')
    text = yaml.safe_dump(declaration_of(spec, codebook), sort_keys=False)
    (folder / 'decoder.yaml').write_text(text, encoding='utf-8')


def declaration_of(spec: DecoderSpec, codebook: str) -> dict[str, Any]:
    """Content of `decoder.yaml`."""
    declaration: dict[str, Any] = {
        'head': spec.head,
        'horizon': spec.horizon,
        'action_dim': len(spec.names),
        'action_space': spec.action_space,
        'names': list(spec.names),
        'step_duration_s': spec.step_duration_s,
        'num_heads': NUM_HEADS,
        'normalisation': 'bounds_q99',
        'unnorm_key': spec.robot,
        'codebook': codebook,
        'num_codes': NUM_CODES,
        'gripper': 'open_positive_unit' if spec.names[-1] == 'gripper' else 'none',
        'robot': spec.robot,
        'trained': False,
        'source': 'univla_models.synthetic, random weights',
    }
    if spec.proprioception_dim:
        declaration['proprioception_dim'] = spec.proprioception_dim
    return declaration


def statistics_of(spec: DecoderSpec) -> dict[str, Any]:
    """One entry of `dataset_statistics.json`: quantiles, and the moments between them."""
    low, high = np.array(spec.q01), np.array(spec.q99)
    action = {
        'mean': (0.5 * (low + high)).tolist(),
        'std': (0.25 * (high - low)).tolist(),
        'min': low.tolist(),
        'max': high.tolist(),
        'q01': low.tolist(),
        'q99': high.tolist(),
    }
    return {'action': action, 'num_transitions': 0, 'num_trajectories': 0}


def head_tensors(spec: DecoderSpec, latent_dim: int, seed: int) -> dict[str, Tensor]:
    """Seeded initial weights of one head, float32."""
    generator = torch.Generator().manual_seed(seed)
    pools = ('visual_pool', 'latent_action_pool')
    inputs = EMBED_DIM
    shapes: dict[str, tuple[int, ...]] = {}
    if spec.head == 'proprioception':
        pools = ('visual_pool', 'attn_pool')
        inputs = 2 * EMBED_DIM
        shapes |= {
            'proprio_proj.0.weight': (EMBED_DIM, spec.proprioception_dim),
            'proprio_proj.0.bias': (EMBED_DIM,),
            'proprio_proj.2.weight': (EMBED_DIM, EMBED_DIM),
            'proprio_proj.2.bias': (EMBED_DIM,),
        }
    for pool in pools:
        shapes |= {f'{pool}.{name}': shape for name, shape in _pool_shapes(latent_dim).items()}
    tensors = {name: _initial(name, shape, generator) for name, shape in shapes.items()}
    tensors['proj.0.weight'] = _output(spec, inputs, generator)
    tensors['proj.0.bias'] = torch.zeros(spec.horizon * len(spec.names))
    return tensors


def _output(spec: DecoderSpec, inputs: int, generator: torch.Generator) -> Tensor:
    """Weights (horizon · dims, inputs), step-major, whose neighbouring steps are alike."""
    shape = (len(spec.names), inputs)
    constant = torch.randn((*shape, 1), generator=generator)
    points = torch.randn((*shape, HORIZON_POINTS), generator=generator)
    change = F.interpolate(points, size=spec.horizon, mode='linear', align_corners=True)
    weight = constant + HORIZON_VARIATION * change  # (dims, inputs, horizon)
    weight = weight * (ACTION_SHARE * inputs**-0.5 / weight.std())
    return weight.permute(2, 0, 1).reshape(-1, inputs).contiguous()


def _pool_shapes(latent_dim: int) -> dict[str, tuple[int, ...]]:
    hidden = MLP_RATIO * EMBED_DIM
    return {
        'latents': (1, EMBED_DIM),
        'projection.weight': (EMBED_DIM, latent_dim),
        'projection.bias': (EMBED_DIM,),
        'attn_norm.g': (EMBED_DIM,),
        'attn.q.weight': (EMBED_DIM, EMBED_DIM),
        'attn.kv.weight': (2 * EMBED_DIM, EMBED_DIM),
        'attn.proj.weight': (EMBED_DIM, EMBED_DIM),
        'attn.proj.bias': (EMBED_DIM,),
        'mlp_norm.g': (EMBED_DIM,),
        'mlp.0.project.weight': (2 * hidden, EMBED_DIM),
        'mlp.0.project.bias': (2 * hidden,),
        'mlp.1.weight': (EMBED_DIM, hidden),
        'mlp.1.bias': (EMBED_DIM,),
    }


def _initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if name.endswith('.g'):
        return torch.full(shape, VISUAL_SHARE if name == 'visual_pool.mlp_norm.g' else 1.0)
    if name.endswith('.bias'):
        return torch.zeros(shape)
    gain = next((g for key, g in GAINS.items() if key in name), 1.0)
    noise = torch.randn(shape, generator=generator)
    return noise if name.endswith('latents') else noise * gain * shape[1] ** -0.5
