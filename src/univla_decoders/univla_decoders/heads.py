"""Decoder heads: pool a latent action and read an action chunk from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError

from univla_decoders.decoder_head import LATENT_TOKENS
from univla_decoders.decoder_head import DecoderHead
from univla_decoders.decoder_head import HeadConfig
from univla_decoders.map_block import MapBlock
from univla_decoders.map_block import MapBlockConfig
from univla_decoders.map_block import map_block_config
from univla_decoders.query_head import POINTED
from univla_decoders.query_head import QueryReader
from univla_decoders.servo_head import ServoReader
from univla_decoders.uniact_heads import UniactActHead
from univla_decoders.uniact_heads import UniactMlpHead
from univla_decoders.uniact_heads import uniact_config


class ManipulationHead(DecoderHead):
    """The head of UniVLA's simulated arms (LIBERO, CALVIN, Bridge); bounded by tanh."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.latent_action_pool = MapBlock(config.pool)
        self.visual_pool = MapBlock(config.pool)
        width = config.horizon * config.action_dim
        self.proj = nn.Sequential(nn.Linear(config.pool.embed_dim, width), nn.Tanh())

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Latent and visual tokens, (batch, tokens, dim) each → (batch, horizon, action_dim)."""
        seen = self.visual_pool(visual)  # (batch, embed)
        meant = self.latent_action_pool(latent[:, -LATENT_TOKENS:], init_embed=seen)
        return self._chunk(self.proj(meant))


class ProprioceptionHead(DecoderHead):
    """The head of UniVLA's real arm: proprioception beside the pooled plan, no bound."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        embed = config.pool.embed_dim
        self.attn_pool = MapBlock(config.pool)
        self.visual_pool = MapBlock(config.pool)
        self.proprio_proj = nn.Sequential(
            nn.Linear(config.proprioception_dim, embed), nn.GELU(), nn.Linear(embed, embed)
        )
        self.proj = nn.Sequential(nn.Linear(2 * embed, config.horizon * config.action_dim))

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Tokens and proprioception (batch, dim) → (batch, horizon, action_dim)."""
        seen = self.visual_pool(visual)  # (batch, embed)
        meant = self.attn_pool(latent[:, -LATENT_TOKENS:], init_embed=seen)
        felt = self.proprio_proj(proprioception)
        return self._chunk(self.proj(torch.cat([meant, felt], dim=-1)))


class NavigationHead(DecoderHead):
    """The head of UniVLA's R2R navigation: logits over the choices of each step.

    Unlike the others it pools every latent token it is given, not just the last four.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.attn_pool = MapBlock(config.pool)
        self.visual_pool = MapBlock(config.pool) if config.visual else None
        inputs = config.pool.embed_dim * (2 if config.visual else 1)
        self.proj = nn.Linear(inputs, config.horizon * config.action_dim)

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Latent and visual tokens → logits (batch, horizon, choices)."""
        pooled = self.attn_pool(latent)  # (batch, embed)
        if self.visual_pool is not None:
            pooled = torch.cat([pooled, self.visual_pool(visual)], dim=-1)
        return self._chunk(self.proj(pooled))


class QueryHead(DecoderHead):
    """One query per step reads the picture, in the light of the plan and of the body."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        pool = config.pool
        self.reader = QueryReader(
            pool.input_dim,
            pool.embed_dim,
            pool.num_latents,
            pool.num_heads,
            config.horizon,
            config.proprioception_dim,
            config.pointing,
        )
        self.proj = nn.Linear(pool.embed_dim, config.action_dim)

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Tokens and proprioception (batch, dim) → (batch, horizon, action_dim)."""
        return self.proj(self.reader(latent, visual, proprioception))


class ServoHead(DecoderHead):
    """Goes where the policy points, as seen from the hand; for end-effector spaces of arms."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.reader = ServoReader(
            config.pool.input_dim,
            config.pool.embed_dim,
            config.horizon,
            config.action_dim,
            config.proprioception_dim,
        )

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Latent tokens and proprioception (batch, dim) → (batch, horizon, action_dim)."""
        assert proprioception is not None
        return self.reader(latent, proprioception)


__all__ = ['HEADS', 'DecoderHead', 'HeadConfig', 'head_config', 'head_kind']

HEADS: dict[str, type[DecoderHead]] = {
    'manipulation': ManipulationHead,
    'proprioception': ProprioceptionHead,
    'navigation': NavigationHead,
    'query': QueryHead,
    'servo': ServoHead,
    'uniact_mlp': UniactMlpHead,
    'uniact_act': UniactActHead,
}


def head_kind(names: set[str], where: str) -> str:
    """Tell the kind of head from the names of its tensors.

    Raises:
        CheckpointError: If they belong to no known head.
    """
    if 'reader.step_queries' in names:
        return 'query'
    if 'reader.turn_back.weight' in names:
        return 'servo'
    if 'head.fc1.weight' in names:
        return 'uniact_mlp'
    if 'ua_proj.weight' in names:
        return 'uniact_act'
    if 'latent_action_pool.latents' in names:
        return 'manipulation'
    if 'proprio_proj.0.weight' in names:
        return 'proprioception'
    if 'attn_pool.latents' in names and 'proj.weight' in names:
        return 'navigation'
    raise CheckpointError(
        f'{where}: its tensors belong to no known decoder head ({", ".join(HEADS)}); '
        'a head starts with latent_action_pool.*, attn_pool.*, reader.*, head.* or ua_proj.*'
    )


def head_config(
    shapes: dict[str, tuple[int, ...]],
    horizon: int,
    num_heads: int,
    where: str,
    latent_dim: int = 128,
) -> HeadConfig:
    """Read a head's sizes from the shapes of its tensors.

    Args:
        shapes: Shapes by name.
        horizon: Declared number of steps.
        num_heads: Declared number of attention heads.
        where: The file, for messages.
        latent_dim: Dimension of the latent token, which a `uniact_mlp` head does not tell.

    Raises:
        CheckpointError: If a tensor is missing or the output does not divide into `horizon`.
    """
    kind = head_kind(set(shapes), where)
    if kind == 'query':
        return _query_config(shapes, horizon, num_heads, where)
    if kind == 'servo':
        return _servo_config(shapes, horizon, num_heads, where)
    if kind.startswith('uniact'):
        return uniact_config(kind, shapes, horizon, latent_dim, where)
    pool_name = 'latent_action_pool' if kind == 'manipulation' else 'attn_pool'
    out_name = 'proj.weight' if kind == 'navigation' else 'proj.0.weight'
    pool_shapes = {
        name.removeprefix(f'{pool_name}.'): shape
        for name, shape in shapes.items()
        if name.startswith(f'{pool_name}.')
    }
    try:
        pool = map_block_config(pool_shapes, num_heads)
        width = shapes[out_name][0]
        proprioception = shapes['proprio_proj.0.weight'][1] if kind == 'proprioception' else 0
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f'{where}: cannot size a {kind} head, {error} is unusable'
        ) from error
    if pool.embed_dim % num_heads:
        raise CheckpointError(
            f'{where}: {num_heads} attention heads do not divide the width {pool.embed_dim}; '
            'correct num_heads in the declaration'
        )
    return HeadConfig(
        kind=kind,
        horizon=horizon,
        action_dim=_action_dim(width, horizon, out_name, where),
        pool=pool,
        proprioception_dim=proprioception,
        visual='visual_pool.latents' in shapes,
    )


def _action_dim(width: int, horizon: int, name: str, where: str) -> int:
    if width % horizon:
        raise CheckpointError(
            f'{where}: {name} has {width} outputs, which is no multiple of the declared '
            f'horizon {horizon}; correct the declaration'
        )
    return width // horizon


def _query_config(
    shapes: dict[str, tuple[int, ...]], horizon: int, num_heads: int, where: str
) -> HeadConfig:
    try:
        steps, embed = shapes['reader.step_queries'][1:]
        pool = MapBlockConfig(
            input_dim=shapes['reader.latent_in.weight'][1],
            embed_dim=embed,
            num_heads=num_heads,
            num_latents=sum(name.endswith('.cross_q.weight') for name in shapes),
            hidden_dim=4 * embed,
        )
        pointing = 'reader.aim.0.weight' in shapes
        body = shapes.get('reader.body_in.0.weight', (0, 0))[1] - POINTED * pointing
        action_dim = shapes['proj.weight'][0]
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f'{where}: cannot size a query head, {error} is unusable') from error
    if embed % num_heads:
        raise CheckpointError(
            f'{where}: {num_heads} attention heads do not divide the width {embed}; '
            'correct num_heads in the declaration'
        )
    if steps != horizon:
        raise CheckpointError(
            f'{where}: the head predicts {steps} steps but horizon {horizon} is declared; '
            'correct the declaration'
        )
    return HeadConfig(
        kind='query',
        horizon=horizon,
        action_dim=action_dim,
        pool=pool,
        proprioception_dim=body,
        pointing=pointing,
    )


def _servo_config(
    shapes: dict[str, tuple[int, ...]], horizon: int, num_heads: int, where: str
) -> HeadConfig:
    try:
        embed = shapes['reader.act.0.weight'][0] // 4
        pool = MapBlockConfig(
            input_dim=shapes['reader.aim.0.weight'][1],
            embed_dim=embed,
            num_heads=num_heads,
            num_latents=1,
            hidden_dim=4 * embed,
        )
        body = shapes['reader.turn_back.weight'][1]
        width = shapes['reader.act.4.weight'][0]
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f'{where}: cannot size a servo head, {error} is unusable') from error
    return HeadConfig(
        kind='servo',
        horizon=horizon,
        action_dim=_action_dim(width, horizon, 'reader.act.4.weight', where),
        pool=pool,
        proprioception_dim=body,
        pointing=True,
    )
