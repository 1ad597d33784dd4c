"""A head whose every step asks the picture: for bodies that must be precise with few examples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn

#: What a policy of ours points at: the named thing, a second one and the robot's own gripper, each
#: with column and row.
POINTED = 6


class CrossBlock(nn.Module):
    """Queries look at themselves and at a memory, then think."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.self_qkv = nn.Linear(dim, 3 * dim)
        self.self_out = nn.Linear(dim, dim)
        self.cross_q = nn.Linear(dim, dim)
        self.cross_kv = nn.Linear(dim, 2 * dim)
        self.cross_out = nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Mix queries (batch, n, dim) with a memory (batch, m, dim)."""
        query, key, value = self.self_qkv(self.norm1(queries)).chunk(3, dim=-1)
        queries = queries + self.self_out(self._mixed(query, key, value))
        key, value = self.cross_kv(memory).chunk(2, dim=-1)
        query = self.cross_q(self.norm2(queries))
        queries = queries + self.cross_out(self._mixed(query, key, value))
        return queries + self.fc2(F.gelu(self.fc1(self.norm3(queries))))

    def _mixed(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = [
            x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2) for x in (query, key, value)
        ]  # each (batch, heads, tokens, head_dim)
        mixed = F.scaled_dot_product_attention(*heads)
        return mixed.transpose(1, 2).flatten(2)


class QueryReader(nn.Module):
    """Latent action, proprioception and one query per step read the visual tokens.

    The reverse of UniVLA's order, where pooled visual tokens read the latent action: a plan says
    what to do and to which object, its exact place must come from the picture.

    Args:
        latent_dim: Dimension of latent and visual tokens.
        embed_dim: Width inside.
        blocks: Layers.
        num_heads: Attention heads; must divide `embed_dim`.
        horizon: Steps.
        proprioception_dim: Size of the proprioception vector, 0 without one.
        pointing: Whether it reads off the latent action what the policy points at in the picture,
            as the policy's pretraining did, and learns from these places beside the body.
    """

    def __init__(
        self,
        latent_dim: int,
        embed_dim: int,
        blocks: int,
        num_heads: int,
        horizon: int,
        proprioception_dim: int,
        pointing: bool = False,
    ) -> None:
        super().__init__()
        # Learned in pretraining: the few labels shall not change it.
        self.aim = pointing_reader(latent_dim).requires_grad_(False) if pointing else None
        self.latent_in = nn.Linear(latent_dim, embed_dim)
        self.latent_position = nn.Parameter(0.02 * torch.randn(1, 4, embed_dim))
        self.visual_in = nn.Linear(latent_dim, embed_dim)
        self.visual_norm = nn.LayerNorm(embed_dim)
        self.step_queries = nn.Parameter(0.02 * torch.randn(1, horizon, embed_dim))
        self.body_in = None
        felt = proprioception_dim + POINTED * pointing
        if felt:
            self.body_in = nn.Sequential(
                nn.Linear(felt, embed_dim),
                nn.GELU(),
                nn.Linear(embed_dim, embed_dim),
            )
        self.blocks = nn.ModuleList(CrossBlock(embed_dim, num_heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, latent: Tensor, visual: Tensor, proprioception: Tensor | None) -> Tensor:
        """Tokens (batch, n, latent_dim), body (batch, p) → steps (batch, horizon, embed_dim)."""
        steps = self.step_queries.expand(len(latent), -1, -1)
        meant = self.latent_in(latent[:, -4:]) + self.latent_position
        queries = [steps, meant]
        if self.body_in is not None:
            queries.append(self.body_in(self._felt(latent, proprioception))[:, None])
        memory = self.visual_norm(self.visual_in(visual))
        x = torch.cat(queries, dim=1)
        for block in self.blocks:
            x = block(x, memory)
        return self.norm(x[:, : steps.shape[1]])

    def _felt(self, latent: Tensor, proprioception: Tensor | None) -> Tensor:
        """Body and places in the picture, (batch, p), both of about the same size."""
        parts = [] if proprioception is None else [proprioception]
        if self.aim is not None:
            parts.append(4.0 * (self.aim(latent[:, -4]) - 0.5))
        return torch.cat(parts, dim=-1)


def pointing_reader(latent_dim: int) -> nn.Sequential:
    """Reads off the first latent token where in the picture things are: `POINTED` shares of it."""
    return nn.Sequential(
        nn.Linear(latent_dim, latent_dim), nn.GELU(), nn.Linear(latent_dim, POINTED)
    )
