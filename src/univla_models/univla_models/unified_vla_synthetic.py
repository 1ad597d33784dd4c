"""Small unified VLA checkpoints with random weights, in the released layout.

A random network would never say a whole chunk, so nothing would move. Here every chunk that the
FAST tokenizer was fitted on is one id, and the network is made to say one of them and then the
end; which one follows from random attention to words and pictures.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from univla_models.emu3_language import emu3_settings
from univla_models.emu3_vision import ReleasedLayout
from univla_models.emu3_vision import build_vision
from univla_models.emu3_vision import latents
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.llama import build_llama
from univla_models.synthetic_decoders import DecoderSpec
from univla_models.synthetic_decoders import declaration_of
from univla_models.synthetic_decoders import statistics_of
from univla_models.unified_vla import FAST_FOLDER
from univla_models.unified_vla import VISION_FOLDER
from univla_models.unified_vla_recipe import RECIPE_FILE
from univla_models.unified_vla_tokens import BEGIN_ACTION
from univla_models.unified_vla_tokens import END_ACTION
from univla_models.unified_vla_tokens import FIRST_VISUAL
from univla_models.unified_vla_tokens import LAST_ACTION
from univla_models.unified_vla_tokens import PAD
from univla_models.unified_vla_tokens import TEXT_FILE

HIDDEN, HORIZON, CHUNKS, FAST_IDS, VISUAL_CODES = 128, 5, 12, 640, 64
SCALE = 10.0
#: How far random attention reaches into the choice, and how sure the order of a plan is.
CONTEXT, CERTAINTY, SHARPNESS = 0.5, 40.0, 10.0
VISION = {'ch': 32, 'ch_mult': [1, 1, 1, 1], 'num_res_blocks': 0, 'codebook_size': VISUAL_CODES}


def write_unified_checkpoint(
    folder: str | Path, specs: Sequence[DecoderSpec], *, seed: int = 0
) -> Path:
    """Write a checkpoint that `load_policy('unified_vla', …)` takes, and its detokenisers.

    Args:
        folder: Where to; made if need be.
        specs: Robots, all with equally many action dimensions.
        seed: Of the random weights.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    action_dim = len(specs[0].names)
    fast, starts = _fast(rng, action_dim)
    fast.save(folder / FAST_FOLDER)
    ranges = [
        [0, 255],
        [LAST_ACTION - FAST_IDS + 1, LAST_ACTION],
        [PAD, FIRST_VISUAL + VISUAL_CODES - 1],
    ]
    config = {
        'model_type': 'Emu3',
        'trained': False,
        'hidden_size': HIDDEN,
        'intermediate_size': 32,
        'num_hidden_layers': 1,
        'num_attention_heads': 4,
        'num_key_value_heads': 4,
        'max_position_embeddings': 1024,
        'rope_theta': 10000.0,
        'kept_ids': ranges,
    }
    ids = np.concatenate([np.arange(first, last + 1) for first, last in ranges])
    save_file(_language(config, ids, starts, seed), folder / 'model.safetensors')
    _write(folder / 'config.json', config)
    lines = (base64.b64encode(bytes([byte])) + b' %d' % byte for byte in range(256))
    (folder / TEXT_FILE).write_bytes(b'\n'.join(lines))
    _write_vision(folder / VISION_FOLDER, seed)
    recipe = {
        'views': [{'camera': 'primary', 'width': 80, 'height': 80}],
        'horizon': HORIZON,
        'action_dim': action_dim,
        'video': False,
        'max_new_tokens': 8,
    }
    _write(folder / RECIPE_FILE, recipe)
    for spec in specs:
        _write_decoder(folder / 'decoders' / spec.robot, spec, fast)
    return folder


def _fast(rng: np.random.Generator, action_dim: int) -> tuple[FastTokenizer, list[int]]:
    """A tokenizer, and the ids that are whole chunks: steady, within a third of the bounds."""
    steady = rng.uniform(-0.33, 0.33, (CHUNKS, 1, action_dim))
    chunks = np.repeat(steady, HORIZON, axis=1)
    extremes = np.ones((1, HORIZON, action_dim))
    fast = FastTokenizer.fit([*chunks, *chunks, *extremes, *-extremes], SCALE, FAST_IDS)
    spelled = [fast.encode(chunk) for chunk in chunks]
    return fast, [ids[0] for ids in spelled if len(ids) == 1]


def _language(
    config: dict[str, Any], ids: np.ndarray, starts: list[int], seed: int
) -> dict[str, Tensor]:
    """Weights whose next id depends on the last one, and a little on what was before."""
    settings = emu3_settings(config, 'config.json') | {'vocab_size': len(ids)}
    settings |= dict.fromkeys(('pad_token_id', 'bos_token_id', 'eos_token_id'))
    network = build_llama(settings)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in network.state_dict().items():
        if value.ndim == 1:
            tensors[name] = torch.ones(value.shape)
        else:
            noise = torch.randn(value.shape, generator=generator)
            tensors[name] = noise * value.shape[1] ** -0.5
    tensors['model.layers.0.mlp.down_proj.weight'].zero_()
    tensors['model.layers.0.self_attn.o_proj.weight'] *= CONTEXT
    for side in ('q', 'k'):  # looks at few places instead of averaging the picture away
        tensors[f'model.layers.0.self_attn.{side}_proj.weight'] *= SHARPNESS
    embedded = torch.nn.functional.normalize(
        torch.randn((len(ids), HIDDEN), generator=generator), dim=-1
    )
    tensors['model.embed_tokens.weight'] = embedded * HIDDEN**0.5
    head = 0.1 * torch.randn((len(ids), HIDDEN), generator=generator)
    place = {int(number): n for n, number in enumerate(ids)}
    begin = embedded[place[BEGIN_ACTION]]
    for start in starts:
        spoken = place[LAST_ACTION - start]
        row = 10.0 * head[spoken]  # listens to the context alone, not to its own favourite
        head[spoken] = row - (row @ begin) * begin + CERTAINTY * begin
        head[place[END_ACTION]] += CERTAINTY * embedded[spoken]
    tensors['lm_head.weight'] = head
    return tensors


def _write_vision(folder: Path, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    network = build_vision(VISION, 'config.json', decodes=False)
    network.to_empty(device='cpu')
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if 'norm' in name and name.endswith('weight'):
            value.fill_(1.0)
        elif value.ndim == 1:
            value.zero_()
        else:
            value.copy_(torch.randn(value.shape, generator=generator) * value[0].numel() ** -0.5)
    with torch.inference_mode():  # the book holds what patches of some coloured pictures become
        colors = torch.rand((8, 3, 10, 10), generator=generator) * 2.0 - 1.0
        found = latents(network.eval(), torch.nn.functional.interpolate(colors, size=(80, 80)))
        vectors = found.flatten(0, 1).permute(0, 2, 3, 1).flatten(0, 2)
        picked = torch.randperm(len(vectors), generator=generator)[:VISUAL_CODES]
        network.quantize.embedding.weight.copy_(vectors[picked])
    tensors = {name: v.contiguous() for name, v in ReleasedLayout(network).state_dict().items()}
    save_file(tensors, folder / 'model.safetensors')
    _write(folder / 'config.json', VISION)


def _write_decoder(folder: Path, spec: DecoderSpec, fast: FastTokenizer) -> None:
    fast.save(folder)
    declaration = declaration_of(spec, fast.codebook)
    declaration |= {'head': 'tokens', 'horizon': HORIZON, 'num_codes': 0}
    declaration |= {'source': 'univla_models.unified_vla_synthetic, random weights'}
    text = yaml.safe_dump(declaration, sort_keys=False)
    (folder / 'decoder.yaml').write_text(text, encoding='utf-8')
    _write(folder / 'dataset_statistics.json', {spec.robot: statistics_of(spec)})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
