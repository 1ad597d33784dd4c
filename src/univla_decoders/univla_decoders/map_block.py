"""Multi-head attention pooling: a few learned queries read a set of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn


@dataclass(frozen=True, kw_only=True)
class MapBlockConfig:
    """Sizes of one pooling block.

    Attributes:
        input_dim: Dimension of the tokens that are read.
        embed_dim: Dimension of the queries and of the output.
        num_heads: Attention heads; must divide `embed_dim`.
        num_latents: Learned queries.
        hidden_dim: Width of the feed-forward layer.
        gated: Root-mean-square norms and a SwiGLU layer; otherwise layer norms and GELU.
    """

    input_dim: int = 4096
    embed_dim: int = 512
    num_heads: int = 8
    num_latents: int = 1
    hidden_dim: int = 2048
    gated: bool = True


class RootMeanSquareNorm(nn.Module):
    """Scale each vector to unit root mean square, then by a learned gain `g`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * x.shape[-1] ** -0.5
        return x / rms.clamp(min=1e-8) * self.g


class SwiGlu(nn.Module):
    """Linear layer whose second half gates its first."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, 2 * hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, hidden_dim)."""
        value, gate = self.project(x).chunk(2, dim=-1)
        return value * F.silu(gate)


class PoolingAttention(nn.Module):
    """Attention from learned queries to projected tokens."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, tokens: Tensor, keep: Tensor | None) -> Tensor:
        """Read (batch, tokens, dim) with (batch, queries, dim) → (batch, queries, dim)."""
        key, value = self.kv(tokens).chunk(2, dim=-1)
        query, key, value = (self._split(x) for x in (self.q(queries), key, value))
        mask = None if keep is None else keep[:, None, None, :].bool()  # (batch, 1, 1, tokens)
        pooled = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.proj(pooled.transpose(1, 2).flatten(2))  # (batch, queries, dim)

    def _split(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        heads = x.view(batch, length, self.num_heads, dim // self.num_heads)
        return heads.transpose(1, 2)  # (batch, heads, length, head_dim)


class MapBlock(nn.Module):
    """Pool (batch, tokens, input_dim) into one vector per learned query.

    Source: UniVLA's MAPBlock, after the pooling head of Voltron, arXiv:2302.12766.
    """

    def __init__(self, config: MapBlockConfig) -> None:
        super().__init__()
        dim, hidden = config.embed_dim, config.hidden_dim
        self.config = config
        self.latents = nn.Parameter(torch.randn(config.num_latents, dim))
        self.projection = nn.Linear(config.input_dim, dim)
        self.attn = PoolingAttention(dim, config.num_heads)
        self.attn_norm = _norm(config)
        self.mlp_norm = _norm(config)
        plain = nn.Sequential(nn.Linear(dim, hidden), nn.GELU()) if not config.gated else None
        self.mlp = nn.Sequential(plain or SwiGlu(dim, hidden), nn.Linear(hidden, dim))

    def forward(
        self, tokens: Tensor, init_embed: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Read the tokens.

        Args:
            tokens: Shape (batch, tokens, input_dim).
            init_embed: Added to every query, shape (batch, embed_dim).
            keep: Non-zero where a token may be read, shape (batch or 1, tokens).

        Returns:
            Shape (batch, embed_dim), or (batch, num_latents, embed_dim) for several queries.
        """
        queries = self.latents.expand(tokens.shape[0], -1, -1)  # (batch, latents, dim)
        if init_embed is not None:
            queries = queries + init_embed[:, None, :]
        pooled = self.attn_norm(queries + self.attn(queries, self.projection(tokens), keep))
        pooled = self.mlp_norm(pooled + self.mlp(pooled))
        return pooled[:, 0] if self.config.num_latents == 1 else pooled


def _norm(config: MapBlockConfig) -> nn.Module:
    if config.gated:
        return RootMeanSquareNorm(config.embed_dim)
    return nn.LayerNorm(config.embed_dim, eps=1e-6)


def map_block_config(shapes: dict[str, tuple[int, ...]], num_heads: int) -> MapBlockConfig:
    """Read a block's sizes from the shapes of its tensors, given by name without prefix."""
    embed_dim, input_dim = shapes['projection.weight']
    return MapBlockConfig(
        input_dim=input_dim,
        embed_dim=embed_dim,
        num_heads=num_heads,
        num_latents=shapes['latents'][0],
        hidden_dim=shapes['mlp.1.weight'][1],
        gated='mlp.0.project.weight' in shapes,
    )
