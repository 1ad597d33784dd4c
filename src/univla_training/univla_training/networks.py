"""Networks with fresh weights, in the sizes of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch import nn
from univla_core.errors import TrainingError
from univla_decoders.heads import HEADS
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import HeadConfig
from univla_decoders.heads import QueryHead
from univla_decoders.heads import ServoHead
from univla_decoders.map_block import MapBlockConfig
from univla_models.lam import LatentActionModel
from univla_models.lam_config import LamConfig
from univla_models.lam_config import TextSizes
from univla_models.llama import restore_buffers
from univla_models.release import config_document
from univla_models.univla_network import UnivlaConfig
from univla_models.univla_network import UnivlaNetwork
from univla_models.vision import VisionTransformer

from univla_training.recipe import NetworkSizes
from univla_training.settings import DecoderSettings

#: Spread of fresh token embeddings and of vision transformers' positions.
EMBEDDING_SPREAD = 0.5
#: File of a checkpoint with the weights that read off what its policy points at.
POINTING = 'pointing.safetensors'


def policy_document(sizes: NetworkSizes, **more: Any) -> dict[str, Any]:
    """Content of `config.json` for the policy of these sizes; `more` as `config_document`."""
    vision = [
        {'embed_dim': vit.dim, 'depth': vit.depth, 'num_heads': vit.heads}
        for vit in (sizes.dino, sizes.siglip)
    ]
    text = {
        'hidden_size': sizes.llama.hidden,
        'intermediate_size': sizes.llama.mlp,
        'num_hidden_layers': sizes.llama.layers,
        'num_attention_heads': sizes.llama.heads,
        'tie_word_embeddings': sizes.llama.tied,
    }
    return config_document(vision, text, image_size=sizes.image_side, **more)


def fresh_policy(sizes: NetworkSizes) -> UnivlaNetwork:
    """The policy's network with fresh weights from torch's present random state."""
    config = UnivlaConfig.from_mapping(policy_document(sizes), 'the recipe')
    network = UnivlaNetwork(config)
    network.language_model.to_empty(device='cpu')
    restore_buffers(network.language_model, torch.device('cpu'))
    _initialize_llama(network.language_model.model, sizes.llama.layers)
    if not config.llama['tie_word_embeddings']:
        nn.init.normal_(network.language_model.lm_head.weight, std=sizes.llama.hidden**-0.5)
    for part in ('featurizer', 'fused_featurizer'):
        initialize_vit(getattr(network.vision_backbone, part))
    return network


def _initialize_llama(model: nn.Module, layers: int) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            nn.init.ones_(parameter)
        elif 'embed_tokens' in name:
            nn.init.normal_(parameter, std=EMBEDDING_SPREAD)
        else:
            spread = parameter.shape[1] ** -0.5
            if 'o_proj' in name or 'down_proj' in name:  # branches that add up over the layers
                spread *= (2.0 * layers) ** -0.5
            nn.init.normal_(parameter, std=spread)
    # Keys begin as queries: tokens attend to what is like them (Trockman and Kolter 2023,
    # "Mimetic initialization of self-attention layers"), so a word finds its patches early.
    for name, parameter in model.named_parameters():
        if 'k_proj' in name:
            query = model.get_parameter(name.replace('k_proj', 'q_proj'))
            parameter.data.copy_(query[: len(parameter)])


def initialize_vit(vit: VisionTransformer) -> None:
    """Fresh positions: sines over the rows and columns of the patches, as a learned table."""
    dim = vit.config.dim
    table = EMBEDDING_SPREAD * sine_positions(vit.config.stored_grid, dim)
    with torch.no_grad():
        rows = table if not vit.config.class_position else torch.cat([torch.zeros(1, dim), table])
        vit.pos_embed.copy_(rows[None])
        for token in (vit.cls_token, vit.reg_token):
            if token is not None:
                nn.init.normal_(token, std=0.02)


def sine_positions(side: int, dim: int) -> Tensor:
    """Sines and cosines of row and column at several wavelengths, shape (side², dim)."""
    quarter = -(-dim // 4)
    place = torch.arange(side).float()[:, None]
    angle = place * torch.pow(float(max(side, 2)) * 2.0, -torch.arange(quarter).float() / quarter)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)  # (side, 2 · quarter)
    rows = waves[:, None].expand(side, side, -1)
    columns = waves[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).reshape(side * side, -1)[:, :dim]


def lam_config(sizes: NetworkSizes, stage: int) -> LamConfig:
    """Sizes of the latent action model of a stage."""
    lam = sizes.lam
    return LamConfig(
        stage=stage,
        model_dim=lam.model_dim,
        latent_dim=lam.latent_dim,
        num_codes=lam.num_codes,
        num_uncontrolled_codes=lam.num_codes,
        encoder_blocks=lam.encoder_blocks,
        decoder_blocks=lam.decoder_blocks,
        num_heads=lam.heads,
        dino_dim=sizes.dino.dim,
        dino_depth=sizes.dino.depth - 1,  # as many blocks as the policy's own DINOv2 runs
        dino_heads=sizes.dino.heads,
        dino_image_size=sizes.image_side,
        normalize_latent=True,
        text=TextSizes(
            d_model=sizes.text.dim,
            d_kv=sizes.text.dim // sizes.text.heads,
            d_ff=4 * sizes.text.dim,
            num_layers=sizes.text.layers,
            num_heads=sizes.text.heads,
        ),
    )


def fresh_lam(sizes: NetworkSizes, stage: int, seen: UnivlaNetwork) -> LatentActionModel:
    """A latent action model with fresh weights that looks through the policy's DINOv2.

    Its frozen feature extractor has the hub's layout: a position for the class token, and a final
    norm, here without gain.
    """
    model = LatentActionModel(lam_config(sizes, stage))
    state = dict(seen.vision_backbone.featurizer.state_dict())
    rows = state['pos_embed']
    state['pos_embed'] = torch.cat([torch.zeros_like(rows[:, :1]), rows], dim=1)
    width = torch.ones(sizes.dino.dim)
    state |= {'norm.weight': width, 'norm.bias': torch.zeros_like(width)}
    model.dino_encoder.load_state_dict(state)
    model.dino_encoder.requires_grad_(False)
    return model


def is_told_places(section: DecoderSettings) -> bool:
    """Whether heads are told where in the picture the network points.

    Raises:
        TrainingError: If heads of that kind take no places.
    """
    if section.pointing and section.head not in ('query', 'servo'):
        raise TrainingError(
            f'section decoder: pointing is for heads of kind query or servo, not {section.head}; '
            'set pointing: false'
        )
    if section.head == 'servo' and not (
        section.pointing and section.proprioception and section.end_effector_position
    ):
        raise TrainingError(
            'section decoder: a servo head goes where the policy points, as seen from its own '
            'hand; set pointing, proprioception and end_effector_position: true, or head: query'
        )
    return section.pointing


def pointing_weights(checkpoint: Path, section: DecoderSettings) -> dict[str, Tensor] | None:
    """Weights of the `pointing_reader` of a checkpoint's policy, None if no head asks for them.

    Raises:
        TrainingError: If it has none, or heads of that kind take none.
    """
    if not is_told_places(section):
        return None
    path = checkpoint / POINTING
    if not path.is_file():
        raise TrainingError(
            f'{path}: is missing: the policy did not learn to point until its end. Train it with '
            'pointing_share above 0, or set pointing: false in section decoder'
        )
    return load_file(path)


def learning(head: DecoderHead) -> DecoderHead:
    """A head, all of which learns but the reader of what the policy points at."""
    head.requires_grad_(True)
    if isinstance(head, QueryHead | ServoHead) and head.reader.aim is not None:
        head.reader.aim.requires_grad_(False)
    return head


def fresh_head(
    sizes: NetworkSizes,
    kind: str,
    horizon: int,
    action_dim: int,
    proprioception_dim: int,
    pointing: Mapping[str, Tensor] | None = None,
) -> DecoderHead:
    """A decoder head with fresh weights.

    Args:
        sizes: Those of the networks.
        kind: A key of `HEADS`.
        horizon: Rows of a chunk.
        action_dim: Dimensions of an action.
        proprioception_dim: Size of the proprioception vector, 0 without one.
        pointing: Weights of the pretraining's `pointing_reader`, for a `query` or `servo` head;
            None without one.
    """
    embed = sizes.head.embed_dim
    pool = MapBlockConfig(
        input_dim=sizes.llama.hidden,
        embed_dim=embed,
        num_heads=sizes.head.heads,
        num_latents=sizes.head.blocks if kind == 'query' else 1,
        hidden_dim=4 * embed,
    )
    config = HeadConfig(
        kind=kind,
        horizon=horizon,
        action_dim=action_dim,
        pool=pool,
        proprioception_dim=proprioception_dim,
        pointing=pointing is not None,
    )
    head = HEADS[kind](config)
    if pointing is not None:
        assert isinstance(head, QueryHead | ServoHead) and head.reader.aim is not None
        head.reader.aim.load_state_dict(pointing)
    return head
