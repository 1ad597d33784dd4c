"""Make a small UniVLA checkpoint with random weights, in the layout of the released ones.

It plans, but not sensibly: `trained` is false everywhere. It lets the whole graph run, on any
machine, through exactly the loader that the released checkpoints take.

    python -m univla_models.synthetic OUT
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names

from univla_models.codebook import codebook_hash
from univla_models.prompts import action_token
from univla_models.release import GENERATION
from univla_models.release import config_document
from univla_models.release import processor_document
from univla_models.synthetic_decoders import DecoderSpec
from univla_models.synthetic_decoders import spec_for
from univla_models.synthetic_decoders import statistics_of
from univla_models.synthetic_decoders import write_decoder
from univla_models.synthetic_tokenizer import NUM_CODES
from univla_models.synthetic_tokenizer import PAD_ID
from univla_models.synthetic_tokenizer import write_tokenizer
from univla_models.univla_network import UnivlaConfig
from univla_models.univla_network import UnivlaNetwork
from univla_models.vision import VisionTransformer
from univla_models.vision import VitConfig

SPREAD = {'embed_tokens': 0.5, 'pos_embed': 0.3, '_token': 0.3, 'latent': 0.3}
# Plain random layers average a picture away: whatever is seen and asked, the same plan comes out.
# These gains over the variance-keeping spread sharpen the attention and let the branches outweigh
# the residual stream, so that a moved arm, a moved cube and another instruction show in the plan.
GAINS = {
    'patch_embed': 4.0,
    'qkv': 2.5,
    'projector.fc': 3.0,
    'q_proj': 3.0,
    'k_proj': 3.0,
    'o_proj': 2.0,
    'down_proj': 1.5,
}
EDGE_SIDE = 3  # points per side between which the weights of a patch filter are interpolated


@dataclass(frozen=True, kw_only=True)
class SyntheticSizes:
    """Sizes of the network; the defaults plan in well under 40 ms on one CPU core."""

    hidden_dim: int = 64
    mlp_dim: int = 176
    layers: int = 3
    heads: int = 4
    vision_dim: int = 48
    vision_depth: int = 4
    vision_heads: int = 3


def write_checkpoint(
    out: str | Path,
    decoders: Sequence[DecoderSpec],
    *,
    seed: int = 0,
    sizes: SyntheticSizes | None = None,
) -> Path:
    """Write the checkpoint folder and one decoder below `decoders/` for each spec.

    The same seed, sizes and specs give the same tensors.

    Returns:
        The folder.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(sizes or SyntheticSizes(), decoders)
    tensors = _tensors(UnivlaConfig.from_mapping(config, str(folder)), seed)
    _write_shards(folder, tensors)
    write_tokenizer(folder / 'tokenizer.json')
    for name, content in {
        'config.json': config,
        'generation_config.json': GENERATION,
        'preprocessor_config.json': processor_document(),
        'dataset_statistics.json': config['norm_stats'],
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding='utf-8')
    codebook = _codebook(tensors['language_model.model.embed_tokens.weight'])
    latent_dim = config['text_config']['hidden_size']
    for number, spec in enumerate(decoders, start=1000 * (seed + 1)):
        write_decoder(folder / 'decoders' / spec.robot, spec, latent_dim, codebook, number)
    (folder / 'model_card.md').write_text(_card(seed, codebook, decoders), encoding='utf-8')
    return folder


def _config(sizes: SyntheticSizes, decoders: Sequence[DecoderSpec]) -> dict[str, Any]:
    vision = {
        'embed_dim': sizes.vision_dim,
        'depth': sizes.vision_depth,
        'num_heads': sizes.vision_heads,
    }
    text = {
        'hidden_size': sizes.hidden_dim,
        'intermediate_size': sizes.mlp_dim,
        'num_hidden_layers': sizes.layers,
        'num_attention_heads': sizes.heads,
    }
    norm_stats = {spec.robot: statistics_of(spec) for spec in decoders}
    return config_document([vision, vision], text, norm_stats=norm_stats)


def _tensors(config: UnivlaConfig, seed: int) -> dict[str, Tensor]:
    """Every tensor a released checkpoint has, the dead ones of the vision transformers too."""
    with torch.device('meta'):
        shapes = {
            name: tuple(value.shape) for name, value in UnivlaNetwork(config).state_dict().items()
        }
        for part, vit in zip(('featurizer', 'fused_featurizer'), config.vision, strict=True):
            full = VisionTransformer(replace(vit, blocks_used=vit.depth, final_norm=True))
            dead = {name: tuple(value.shape) for name, value in full.state_dict().items()}
            dead |= _attention_pool(vit) if not vit.class_token else {}
            shapes |= {f'vision_backbone.{part}.{name}': shape for name, shape in dead.items()}
    generator = torch.Generator().manual_seed(seed)
    return {name: _initial(name, shapes[name], generator) for name in sorted(shapes)}


def _attention_pool(vit: VitConfig) -> dict[str, tuple[int, ...]]:
    dim, hidden = vit.dim, vit.mlp_dim
    linear = {
        'q': (dim, dim),
        'kv': (2 * dim, dim),
        'proj': (dim, dim),
        'mlp.fc1': (hidden, dim),
        'mlp.fc2': (dim, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {'latent': (1, 1, dim)}
    shapes |= {'norm.weight': (dim,), 'norm.bias': (dim,)}
    for name, shape in linear.items():
        shapes |= {f'{name}.weight': shape, f'{name}.bias': shape[:1]}
    return {f'attn_pool.{name}': shape for name, shape in shapes.items()}


def _initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if re.search(r'(norm\d?\.weight|layernorm\.weight|scale_factor)$', name):
        return torch.ones(shape, dtype=torch.bfloat16)
    if name.endswith('bias'):
        return torch.zeros(shape, dtype=torch.bfloat16)
    fan_in = torch.Size(shape[1:]).numel()
    gain = next((g for key, g in GAINS.items() if key in name), 1.0)
    spread = next((s for key, s in SPREAD.items() if key in name), gain * fan_in**-0.5)
    noise = (
        _edges(shape, generator) if len(shape) == 4 else torch.randn(shape, generator=generator)
    )
    return (noise * spread).to(torch.bfloat16)


def _edges(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Coarse random filters (out, 3, side, side) that answer to edges, not to an even colour."""
    coarse = torch.randn((*shape[:2], EDGE_SIDE, EDGE_SIDE), generator=generator)
    filters = F.interpolate(coarse, size=shape[2:], mode='bilinear', align_corners=True)
    filters = filters - filters.mean(dim=(2, 3), keepdim=True)
    return filters / filters.std()


def _write_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    language = {name: value for name, value in tensors.items() if name.startswith('language')}
    vision = {name: value for name, value in tensors.items() if name not in language}
    weight_map: dict[str, str] = {}
    for number, shard in enumerate((vision, language), start=1):
        file = f'model-{number:05d}-of-00002.safetensors'
        save_file(shard, folder / file, metadata={'format': 'pt'})
        (folder / file).chmod(0o644)  # the library keeps its files private
        weight_map |= dict.fromkeys(shard, file)
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    index = {'metadata': {'total_size': total}, 'weight_map': dict(sorted(weight_map.items()))}
    path = folder / 'model.safetensors.index.json'
    path.write_text(json.dumps(index, indent=1), encoding='utf-8')


def _codebook(embeddings: Tensor) -> str:
    ids = range(PAD_ID + 1, PAD_ID + 1 + NUM_CODES)
    names = [action_token(code) for code in range(NUM_CODES)]
    return codebook_hash(list(ids), names, embeddings[list(ids)].float().numpy())


def _card(seed: int, codebook: str, decoders: Sequence[DecoderSpec]) -> str:
    bodies = '\n'.join(
        f'- `{spec.robot}`: {spec.horizon} x {spec.action_space}, {spec.step_duration_s} s apart'
        for spec in decoders
    )
    return (
        '---\ntrained: false\n---\n\n# Synthetic UniVLA checkpoint\n\n'
        f'Random weights from seed {seed}, in the layout of the released checkpoints. It plans '
        'and decodes, so the whole graph runs; what it plans means nothing.\n\n'
        f'Codebook `{codebook}`. Decoders:\n\n{bodies}\n'
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a checkpoint with decoders for the known robots."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('out', help='Folder to write')
    parser.add_argument('--seed', type=int, default=0, help='Seed of the weights')
    parser.add_argument('--robots', nargs='*', help='Robots; default: all in config/robots')
    chosen = parser.parse_args(arguments)
    names = chosen.robots if chosen.robots is not None else robot_names()
    specs = [spec_for(load_embodiment(name)) for name in names]
    print(write_checkpoint(chosen.out, specs, seed=chosen.seed))


if __name__ == '__main__':
    main()
