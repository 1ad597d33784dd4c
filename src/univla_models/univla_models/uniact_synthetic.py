"""Small UniAct checkpoints with random weights, in the released layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from safetensors.torch import save_file
from tokenizers import AddedToken
from tokenizers import Tokenizer
from tokenizers import models
from tokenizers import pre_tokenizers

from univla_models.codebook import codebook_hash
from univla_models.synthetic_decoders import DecoderSpec
from univla_models.synthetic_decoders import declaration_of
from univla_models.synthetic_decoders import statistics_of
from univla_models.uniact_extractor import ExtractorConfig
from univla_models.uniact_network import EMBED
from univla_models.uniact_network import UniactNetwork
from univla_models.uniact_prompt import VIDEO

CONTROL = ('<|endoftext|>', '<|im_start|>', '<|im_end|>', '<image>', VIDEO)
#: A picture of 56 px in patches of 14: 16 patches, 5 video tokens.
TINY_CONFIG: dict[str, Any] = {
    'model_type': 'llava_onevision',
    'vision_config': {
        'model_type': 'siglip_vision_model',
        'hidden_size': 16,
        'intermediate_size': 24,
        'num_hidden_layers': 1,
        'num_attention_heads': 2,
        'image_size': 56,
        'vision_use_head': False,
    },
    'text_config': {
        'model_type': 'qwen2',
        'hidden_size': 24,
        'intermediate_size': 32,
        'num_hidden_layers': 1,
        'num_attention_heads': 2,
        'num_key_value_heads': 1,
        'max_position_embeddings': 512,
    },
}
TINY_CHANNELS = (4, 6, 8, 10)
#: Over variance-keeping weights of untrained heads, so that another universal action shows.
GAIN = 3.0


def byte_tokenizer() -> Tokenizer:
    """A tokenizer that spells every text in bytes and knows the control tokens of Qwen2."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL])
    return tokenizer


def write_uniact_checkpoint(
    folder: str | Path,
    config: dict[str, Any] | None = None,
    *,
    num_codes: int = 256,
    dim: int = 128,
    channels: tuple[int, ...] = TINY_CHANNELS,
    seed: int = 0,
    trained: bool = False,
) -> Path:
    """Write a checkpoint that `load_policy('uniact', …)` takes.

    Args:
        folder: Where to; made if need be.
        config: As LLaVA-OneVision's `config.json`; the vocabulary is set here.
        num_codes: Size of the codebook.
        dim: Dimension of a universal action.
        channels: Widths of the backbone's stages.
        seed: Of the random weights.
        trained: What the checkpoint says of itself.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_tokenizer()
    values = json.loads(json.dumps(config or TINY_CONFIG))
    values['video_token_index'] = tokenizer.token_to_id(VIDEO)
    values['text_config']['vocab_size'] = tokenizer.get_vocab_size()
    sizes = ExtractorConfig.from_mapping(values, 'config.json')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UniactNetwork(sizes, num_codes, dim, channels)
    save_file(network.state_dict(), folder / 'basemodel.safetensors')
    tokenizer.save(str(folder / 'tokenizer.json'))
    values['trained'] = trained
    for name, document in (('config.json', values), ('uniact.json', {'trained': trained})):
        (folder / name).write_text(json.dumps(document, indent=1), encoding='utf-8')
    return folder


def write_uniact_decoders(folder: Path, specs: Sequence[DecoderSpec], seed: int = 0) -> None:
    """Write an untrained `uniact_mlp` head for each robot below `decoders/` of a checkpoint."""
    rows = load_file(folder / 'basemodel.safetensors')
    embed = rows[EMBED]
    names = [f'universal_action_{code}' for code in range(len(embed))]
    codebook = codebook_hash(range(len(embed)), names, embed.float().numpy())
    channels = rows['vision_backbone.layer4.1.conv2.weight'].shape[0]
    for number, spec in enumerate(specs, start=1000 * (seed + 1)):
        generator = torch.Generator().manual_seed(number)
        outputs = spec.horizon * len(spec.names)
        shapes = {'head.fc1': (4 * outputs, channels + embed.shape[1])}
        shapes['head.fc2'] = (outputs, 4 * outputs)
        tensors = {}
        for name, shape in shapes.items():
            noise = torch.randn(shape, generator=generator)
            tensors[f'{name}.weight'] = GAIN * noise * shape[1] ** -0.5
            tensors[f'{name}.bias'] = torch.zeros(shape[0])
        declaration = declaration_of(spec, codebook)
        declaration |= {'head': 'uniact_mlp', 'latent_dim': int(embed.shape[1])}
        declaration |= {'num_codes': len(embed), 'source': 'random weights'}
        target = folder / 'decoders' / spec.robot
        target.mkdir(parents=True, exist_ok=True)
        save_file(tensors, target / 'action_decoder.safetensors')
        text = yaml.safe_dump(declaration, sort_keys=False)
        (target / 'decoder.yaml').write_text(text, encoding='utf-8')
        statistics = json.dumps({spec.robot: statistics_of(spec)}, indent=1)
        (target / 'dataset_statistics.json').write_text(statistics, encoding='utf-8')
