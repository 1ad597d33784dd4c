"""Blocks of the latent action model: attention over space, over time, and vector quantisation.

Source: arXiv:2505.06111; released code `latent_action_model/genie/modules/blocks.py`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn


class SelfAttention(nn.Module):
    """Multi-head self-attention; query, key and value without bias."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def forward(self, x: Tensor, keep: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """Mix (batch, length, dim); `keep` (batch, length) is False where no one may look."""
        batch, length, dim = x.shape
        shape = (batch, length, self.num_heads, dim // self.num_heads)
        query, key, value = (
            project(x).view(shape).transpose(1, 2) for project in (self.to_q, self.to_k, self.to_v)
        )  # each (batch, heads, length, head_dim)
        mask = None if keep is None else keep[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
        return self.to_out(mixed.transpose(1, 2).reshape(batch, length, dim))


def feed_forward(dim: int) -> nn.Sequential:
    """Linear, GELU, (dropout, off at inference), Linear; named by position as released."""
    return nn.Sequential(
        nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(), nn.Linear(4 * dim, dim)
    )


class SpaceTimeBlock(nn.Module):
    """Attention over the tokens of each frame, then over the frames of each token."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.spatial_attn = SelfAttention(dim, num_heads)
        self.temporal_attn = SelfAttention(dim, num_heads)
        self.ffn = feed_forward(dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Mix (batch, frames, tokens, dim); frame 0 never sees frame 1."""
        batch, frames, tokens, dim = x.shape
        flat = x.reshape(batch * frames, tokens, dim)
        flat = flat + self.spatial_attn(self.norm1(flat), keep)
        x = flat.view(batch, frames, tokens, dim).transpose(1, 2)  # (batch, tokens, frames, dim)
        flat = x.reshape(batch * tokens, frames, dim)
        flat = flat + self.temporal_attn(self.norm2(flat), causal=True)
        x = flat.view(batch, tokens, frames, dim).transpose(1, 2)  # (batch, frames, tokens, dim)
        return x + self.ffn(self.norm3(x))


class SpaceBlock(nn.Module):
    """Attention over the tokens of each frame."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.spatial_attn = SelfAttention(dim, num_heads)
        self.ffn = feed_forward(dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Mix (batch, frames, tokens, dim), each frame by itself."""
        batch, frames, tokens, dim = x.shape
        flat = x.reshape(batch * frames, tokens, dim)
        flat = flat + self.spatial_attn(self.norm1(flat), keep)
        flat = flat + self.ffn(self.norm2(flat))
        return flat.view(batch, frames, tokens, dim)


class Transformer(nn.Module):
    """Stem, positions, language, blocks and output layer of encoder and decoder."""

    def __init__(
        self, block: type[nn.Module], blocks: int, num_heads: int, dims: tuple[int, int, int]
    ) -> None:
        super().__init__()
        input_dim, dim, output_dim = dims
        self.ffn = nn.Sequential(
            nn.LayerNorm(input_dim), nn.Linear(input_dim, dim), nn.LayerNorm(dim)
        )
        self.transformer_blocks = nn.ModuleList(block(dim, num_heads) for _ in range(blocks))
        self.out = nn.Linear(dim, output_dim) if output_dim else nn.Identity()

    def forward(
        self, x: Tensor, language: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Mix the tokens of every frame.

        Args:
            x: Shape (batch, frames, tokens, input_dim).
            language: Appended to every frame after the positions, (batch, words, dim).
            keep: False where a token is padding, (batch · frames, tokens + words).

        Returns:
            Shape (batch, frames, tokens + words, output_dim).
        """
        x = self.ffn(x)
        x = x + sinusoids(x.shape[2], x.shape[3], x.device).to(x.dtype)
        if language is not None:
            x = torch.cat([x, language[:, None].expand(-1, x.shape[1], -1, -1)], dim=2)
        for block in self.transformer_blocks:
            x = block(x, keep)
        return self.out(x)


def sinusoids(length: int, dim: int, device: torch.device) -> Tensor:
    """Fixed positions along the token axis, float32, shape (length, dim)."""
    position = torch.arange(length, device=device).float()[:, None]
    pair = torch.arange(0, dim, 2, device=device).float()
    angle = position * torch.pow(10000.0, -pair / dim)  # (length, dim / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


class VectorQuantizer(nn.Module):
    """Replace each vector by the nearest code."""

    def __init__(self, num_codes: int, dim: int) -> None:
        super().__init__()
        self.codebook = nn.Embedding(num_codes, dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest codes (…, dim) and their indices (…) of vectors (…, dim)."""
        indices = torch.cdist(x, self.codebook.weight).argmin(dim=-1)
        return self.codebook(indices), indices
