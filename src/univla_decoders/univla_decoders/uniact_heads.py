"""UniAct's decoder heads: a universal action and what the backbone sees → an action chunk.

Source: arXiv:2501.10105; released code `models/MLP_Decoder.py`, `models/ACT_Decoder.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError

from univla_decoders.decoder_head import DecoderHead
from univla_decoders.decoder_head import HeadConfig
from univla_decoders.map_block import MapBlockConfig

TOKENS_PER_VIEW = 49
HIDDEN_PER_OUTPUT = 4
DIM_PER_HEAD = 64
INTERPRETER = 'interpreter.'
SHARED = ('ua_extractor.', 'universal_actions_codebook.', 'vision_backbone.')


class TwoLayers(nn.Module):
    """Linear, GELU, linear, under timm's names."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return self.fc2(F.gelu(self.fc1(x)))


class ActReader(nn.Module):
    """A transformer whose queries, one per step, read views, universal action and body.

    Args:
        dim: Width, which is that of the backbone's features.
        latent_dim: Dimension of the universal action.
        body_dim: Size of the proprioception vector.
        tokens: Visual tokens of all views.
        steps: Queries.
        layers: Layers of encoder and decoder.
        hidden: Width of the feed-forward layers.
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        body_dim: int,
        tokens: int,
        steps: int,
        layers: tuple[int, int] = (4, 2),
        hidden: int = 2048,
    ) -> None:
        super().__init__()
        heads = attention_heads(dim)
        layer = nn.TransformerEncoderLayer(dim, heads, hidden, dropout=0.0, batch_first=True)
        self.model = nn.Transformer(
            d_model=dim,
            nhead=heads,
            num_decoder_layers=layers[1],
            dim_feedforward=hidden,
            dropout=0.0,
            batch_first=True,
            custom_encoder=nn.TransformerEncoder(
                layer, layers[0], nn.LayerNorm(dim), enable_nested_tensor=False
            ),
        )
        self.ua_proj = nn.Linear(latent_dim, dim)
        self.proprio_proj = nn.Linear(body_dim, dim)
        self.queries = nn.Parameter(torch.zeros(1, steps, dim))
        # Not trained, but the released checkpoints hold them.
        self.queries_pos_emb = nn.Parameter(positions(steps, dim), requires_grad=False)
        self.input_pos_emb = nn.Parameter(positions(tokens + 2, dim), requires_grad=False)

    def read(self, latent: Tensor, visual: Tensor, body: Tensor) -> Tensor:
        """(batch, latent_dim), (batch, tokens, dim), (batch, body_dim) → (batch, steps, dim)."""
        means, feels = self.ua_proj(latent)[:, None], self.proprio_proj(body)[:, None]
        read = torch.cat([visual, means, feels], dim=1) + self.input_pos_emb
        queries = (self.queries + self.queries_pos_emb).expand(len(latent), -1, -1)
        return self.model(read, queries)


class UniactMlpHead(DecoderHead):
    """UniAct's small head: the mean of the first view beside the universal action."""

    clips = True

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        pool = config.pool
        inputs, outputs = pool.embed_dim + pool.input_dim, config.horizon * config.action_dim
        self.head = TwoLayers(inputs, pool.hidden_dim, outputs)

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Universal action (batch, 1, dim) and features → (batch, horizon, action_dim)."""
        seen = visual[:, : self.config.visual_tokens or None].mean(dim=1)  # (batch, channels)
        return self._chunk(self.head(torch.cat([seen, latent[:, -1]], dim=-1)))


class UniactActHead(DecoderHead, ActReader):
    """UniAct's transformer head: views, universal action and proprioception, no bound."""

    clips = True

    def __init__(self, config: HeadConfig) -> None:
        pool = config.pool
        ActReader.__init__(
            self,
            pool.embed_dim,
            pool.input_dim,
            config.proprioception_dim,
            config.visual_tokens,
            config.horizon,
            config.layers,
            pool.hidden_dim,
        )
        self.config = config
        self.action_head = nn.Sequential(
            nn.LayerNorm(pool.embed_dim), nn.Linear(pool.embed_dim, config.action_dim)
        )

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Universal action, features and proprioception → (batch, horizon, action_dim)."""
        assert proprioception is not None, 'its declaration asks for proprioception'
        seen = visual[:, : self.config.visual_tokens]
        return self.action_head(self.read(latent[:, -1], seen, proprioception))


def attention_heads(dim: int) -> int:
    """One head for 64 channels."""
    return max(dim // DIM_PER_HEAD, 1)


def positions(count: int, dim: int) -> Tensor:
    """Sinusoidal position embeddings, (1, count, dim): sines at even places, cosines at odd."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    angles = torch.arange(count)[:, None] * rates  # (count, dim / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None, :, :dim]


def act_layers(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """Layers of encoder and decoder, from the names of their tensors."""
    encoder, decoder = (
        sum(
            name.startswith(f'model.{side}.') and name.endswith('.linear1.weight')
            for name in shapes
        )
        for side in ('encoder', 'decoder')
    )
    return encoder, decoder


def uniact_config(
    kind: str,
    shapes: dict[str, tuple[int, ...]],
    horizon: int,
    latent_dim: int,
    where: str,
) -> HeadConfig:
    """Read a head's sizes from the shapes of its tensors; see `univla_decoders.heads`.

    Raises:
        CheckpointError: If a tensor is missing or the declaration says otherwise.
    """
    body, tokens = 0, TOKENS_PER_VIEW
    try:
        if kind == 'uniact_mlp':
            hidden, inputs = shapes['head.fc1.weight']
            width, dim = shapes['head.fc2.weight'][0], inputs - latent_dim
            steps, action_dim = (horizon, width // horizon) if width % horizon == 0 else (0, width)
        else:
            dim, latent_dim = shapes['ua_proj.weight']
            hidden = shapes['model.encoder.layers.0.linear1.weight'][0]
            steps, action_dim = shapes['queries'][1], shapes['action_head.1.weight'][0]
            body, tokens = shapes['proprio_proj.weight'][1], shapes['input_pos_emb'][1] - 2
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f'{where}: cannot size a {kind} head, {error} is missing or misshapen'
        ) from error
    if steps != horizon or dim < 1 or tokens < 1:
        raise CheckpointError(
            f'{where}: a {kind} head of {steps or "other"} steps, width {dim} and {tokens} visual '
            f'tokens does not go with the declared horizon {horizon} and latent_dim {latent_dim}; '
            'correct the declaration'
        )
    pool = MapBlockConfig(
        input_dim=latent_dim, embed_dim=dim, num_heads=attention_heads(dim), hidden_dim=hidden
    )
    return HeadConfig(
        kind=kind,
        horizon=horizon,
        action_dim=action_dim,
        pool=pool,
        proprioception_dim=body,
        latent_tokens=1,
        visual_tokens=tokens,
        visual_dim=dim,
        layers=act_layers(shapes),
    )


def head_tensors(state: dict[str, Tensor], domain: str, where: str) -> dict[str, Tensor]:
    """The tensors of one head by their own names.

    UniAct stores heads under `interpreter.<domain>.`, several in a training checkpoint, which
    may hold the shared network too. Any other state is returned as it is.

    Args:
        state: Tensors of the file.
        domain: Which head; may be empty, or any name, where there is one.
        where: The file, for the message.

    Raises:
        CheckpointError: If the head is not there, the choice is open, or other tensors are.
    """
    if not any(name.startswith((INTERPRETER, *SHARED)) for name in state):
        return state
    known = sorted({n.split('.')[1] for n in state if n.startswith(INTERPRETER)})
    chosen = known[0] if len(known) == 1 else domain.rpartition('/')[2]
    if chosen not in known:
        raise CheckpointError(
            f'{where}: holds no head for domain {domain or "(not named)"!r}; it holds '
            f'{", ".join(known) or "(none)"}; name one as unnorm_key of the declaration'
        )
    own = f'{INTERPRETER}{chosen}.'
    alien = [name for name in state if not name.startswith((INTERPRETER, *SHARED))]
    if alien:
        raise CheckpointError(f'{where}: {", ".join(alien[:6])} unexpected beside {own}*')
    return {name[len(own) :]: tensor for name, tensor in state.items() if name.startswith(own)}
