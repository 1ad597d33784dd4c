"""What pointing is judged by: places as cells of the picture, and where attention goes."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from univla_training.pointing import CELLS
from univla_training.pointing import KINDS
from univla_training.pointing import THINGS

#: Cells along one side among which a place is pointed out.
GRID = 16


def look_loss(
    attentions: Sequence[Tensor], sample: Tensor, token: Tensor, shows: Tensor, first: Tensor
) -> Tensor:
    """How little the first head looks at the patches that show what is meant.

    Names shall look there in the first two layers, every token from the name on in the others.

    Args:
        attentions: Of each layer, (batch, heads, sequence, sequence).
        sample: Sample of each token, (tokens,).
        token: Its place in the sequence, (tokens,).
        shows: Whether a patch shows what the token means, (tokens, patches).
        first: Whether a token is the name itself, (tokens,).
    """
    losses = []
    seen = shows.any(-1)
    for layer, attention in enumerate(attentions):
        ours = seen & first if layer < 2 else seen
        weights = attention[sample[ours], 0, token[ours], 1 : 1 + shows.shape[1]]
        losses.append(-((weights * shows[ours]).sum(-1) + 1e-4).log().mean())
    return torch.stack(losses).mean()


@contextmanager
def plain_attention(model: Any) -> Iterator[None]:
    """Let a transformers model compute attention in the way that also returns its weights."""
    usual = model.config._attn_implementation
    model.config._attn_implementation = 'eager'
    try:
        yield
    finally:
        model.config._attn_implementation = usual


def shown_things(labels: Tensor, cells: int = CELLS) -> Tensor:
    """How many cells of each patch show each of `THINGS`, (batch, patches, 5).

    Args:
        labels: `KINDS` of every cell, (batch, cells, cells).
        cells: Those of a patch along one side.
    """
    batch, side, _ = labels.shape
    grid = labels.view(batch, side // cells, cells, side // cells, cells)
    grid = grid.permute(0, 1, 3, 2, 4).reshape(batch, -1, cells * cells)
    return torch.stack([(grid == KINDS.index(thing)).sum(-1) for thing in THINGS], dim=-1)


def soft_cells(places: Tensor) -> tuple[Tensor, Tensor]:
    """Cells near each place (…, GRID² + 1), the last one for nowhere, and the right ones (…)."""
    visible = torch.isfinite(places).all(-1)
    where = places.nan_to_num().clamp(0.0, 0.999) * GRID
    centres = torch.arange(GRID, device=places.device) + 0.5
    column = torch.exp(-0.5 * ((where[..., :1] - centres) / 0.7) ** 2)
    row = torch.exp(-0.5 * ((where[..., 1:] - centres) / 0.7) ** 2)
    grid = (row[..., :, None] * column[..., None, :]).flatten(-2)
    grid = grid / grid.sum(-1, keepdim=True)
    nowhere = (~visible).float()[..., None]
    cells = where[..., 1].long() * GRID + where[..., 0].long()
    cells = torch.where(visible, cells, torch.full_like(cells, GRID * GRID))
    return torch.cat([grid * (1.0 - nowhere), nowhere], dim=-1), cells
