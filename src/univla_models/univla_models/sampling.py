"""Choosing a token: greedily, or by seeded sampling with temperature, top-k and top-p."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from univla_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How official callers draw tokens.

    Attributes:
        temperature: Divides the logits.
        top_k: Keep only so many of the likeliest tokens.
        top_p: Then keep the smallest set of tokens whose probability reaches this.
        seed: Start of the random sequence.
    """

    temperature: float = 0.75
    top_k: int = 50
    top_p: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that leave nothing to sample."""
        if not self.temperature > 0.0 or self.top_k < 1 or not 0.0 < self.top_p <= 1.0:
            raise ConfigError(
                f'sampling with temperature {self.temperature}, top_k {self.top_k}, top_p '
                f'{self.top_p}: they must be positive, top_p at most 1; use greedy for certainty'
            )


def sampling_probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Probability of every token after temperature, top-k and top-p, in this order.

    Args:
        logits: Shape (vocabulary,).
        sampling: What to keep.

    Returns:
        Float32, shape (vocabulary,), zero outside the kept set.
    """
    scaled = logits.float() / sampling.temperature
    kth = torch.topk(scaled, min(sampling.top_k, len(scaled))).values[-1]
    scaled = scaled.masked_fill(scaled < kth, -torch.inf)
    ascending, order = torch.sort(scaled)
    tail = torch.softmax(ascending, dim=-1).cumsum(dim=-1) <= 1.0 - sampling.top_p
    tail[-1] = False  # the likeliest token always stays
    scaled[order[tail]] = -torch.inf
    return torch.softmax(scaled, dim=-1)


def choose_token(logits: Tensor, sampling: Sampling | None, generator: torch.Generator) -> int:
    """Index of the chosen token; greedy without `sampling`."""
    if sampling is None:
        return int(logits.argmax())
    probabilities = sampling_probabilities(logits, sampling).cpu()
    return int(torch.multinomial(probabilities, 1, generator=generator))
