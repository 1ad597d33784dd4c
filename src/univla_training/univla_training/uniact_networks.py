"""UniAct's networks with fresh weights, in the sizes of a recipe."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from univla_decoders.heads import HEADS
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import HeadConfig
from univla_decoders.map_block import MapBlockConfig
from univla_decoders.uniact_heads import HIDDEN_PER_OUTPUT
from univla_models.uniact_extractor import ExtractorConfig
from univla_models.uniact_network import UniactNetwork
from univla_models.uniact_prompt import VIDEO
from univla_models.uniact_resnet import TOKENS_PER_VIEW

from univla_training.networks import EMBEDDING_SPREAD
from univla_training.networks import sine_positions
from univla_training.pointing_losses import GRID
from univla_training.uniact_pointing import cells_of_codes
from univla_training.uniact_prompting import build_uniact_tokenizer
from univla_training.uniact_settings import UniactSizes

#: Rotary base: prompts of small checkpoints have some dozens of tokens.
ROPE_THETA = 10000.0


def uniact_document(sizes: UniactSizes, side: int, **more: Any) -> dict[str, Any]:
    """Content of `config.json` for pictures of this side [px]; `more` are further keys."""
    tokenizer = build_uniact_tokenizer()
    return {
        'model_type': 'llava_onevision',
        'video_token_index': tokenizer.token_to_id(VIDEO),
        'vision_config': {
            'model_type': 'siglip_vision_model',
            'hidden_size': sizes.vision_dim,
            'intermediate_size': 4 * sizes.vision_dim,
            'num_hidden_layers': sizes.vision_layers,
            'num_attention_heads': sizes.vision_heads,
            'image_size': side,
            'patch_size': sizes.patch,
            'vision_use_head': False,
        },
        'text_config': {
            'model_type': 'qwen2',
            'vocab_size': tokenizer.get_vocab_size(),
            'hidden_size': sizes.hidden,
            'intermediate_size': sizes.mlp,
            'num_hidden_layers': sizes.layers,
            'num_attention_heads': sizes.heads,
            'num_key_value_heads': sizes.heads,
            'max_position_embeddings': 512,
            'rope_theta': ROPE_THETA,
        },
        **more,
    }


def fresh_uniact(sizes: UniactSizes, side: int) -> UniactNetwork:
    """The shared network with fresh weights from torch's present random state."""
    config = ExtractorConfig.from_mapping(uniact_document(sizes, side), 'the recipe')
    network = UniactNetwork(config, sizes.num_codes, sizes.code_dim, tuple(sizes.channels))
    extractor = network.ua_extractor
    initialize_language(extractor.language_model['model'], sizes.layers)
    tower: Any = extractor.vision_tower['vision_model']
    with torch.no_grad():
        table = EMBEDDING_SPREAD * sine_positions(config.grid, sizes.vision_dim)
        tower.embeddings.position_embedding.weight.copy_(table)
        # Pretraining makes them places of the picture; those of neighbouring places begin alike.
        places = sine_positions(GRID, sizes.code_dim)[cells_of_codes(sizes.num_codes)]
        network.universal_actions_codebook.embed.weight.copy_(places)
    return network


def initialize_language(model: nn.Module, layers: int) -> None:
    """Fresh weights for a small Qwen2 or Llama without its output layer."""
    for name, parameter in model.named_parameters():
        if name.endswith('bias'):
            nn.init.zeros_(parameter)
        elif parameter.ndim == 1:
            nn.init.ones_(parameter)
        elif 'embed_tokens' in name:
            nn.init.normal_(parameter, std=EMBEDDING_SPREAD)
        else:
            spread = parameter.shape[1] ** -0.5
            if 'o_proj' in name or 'down_proj' in name:  # branches that add up over the layers
                spread *= (2.0 * layers) ** -0.5
            nn.init.normal_(parameter, std=spread)
    # Keys begin as queries: tokens attend to what is like them, so a word finds its patches early
    # (Trockman and Kolter 2023, "Mimetic initialization of self-attention layers").
    for name, parameter in model.named_parameters():
        if name.endswith('k_proj.weight'):
            query = model.get_parameter(name.replace('k_proj', 'q_proj'))
            parameter.data.copy_(query[: len(parameter)])


def fresh_uniact_head(
    kind: str,
    horizon: int,
    action_dim: int,
    body_dim: int,
    *,
    code_dim: int,
    channels: int,
    layers: tuple[int, int] = (4, 2),
    hidden: int = 2048,
) -> DecoderHead:
    """A head with fresh weights; the defaults are those of the original's ACT heads.

    Args:
        kind: `uniact_mlp` or `uniact_act`.
        horizon: Rows of a chunk.
        action_dim: Columns.
        body_dim: Size of the proprioception vector, which only `uniact_act` reads.
        code_dim: Dimensions of a universal action.
        channels: Those of the backbone's last stage.
        layers: Layers of encoder and decoder (`uniact_act`).
        hidden: Channels inside its feed-forward layers (`uniact_act`).
    """
    acts = kind == 'uniact_act'
    pool = MapBlockConfig(
        input_dim=code_dim,
        embed_dim=channels,
        num_heads=1,
        hidden_dim=hidden if acts else HIDDEN_PER_OUTPUT * horizon * action_dim,
    )
    config = HeadConfig(
        kind=kind,
        horizon=horizon,
        action_dim=action_dim,
        pool=pool,
        proprioception_dim=body_dim if acts else 0,
        latent_tokens=1,
        visual_tokens=TOKENS_PER_VIEW,
        visual_dim=channels,
        layers=layers,
    )
    return HEADS[kind](config)
