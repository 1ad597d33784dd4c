"""UniAct's codebook: a state picks one of the universal actions, firmly or by Gumbel noise.

Source: arXiv:2501.10105, section 3; released code `models/UniAct_V1.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import nn

ENTROPY_WEIGHT = 5e-4


@dataclass(frozen=True)
class Selection:
    """Chosen universal actions of a batch.

    Attributes:
        vector: The action, or the mixture of actions, (batch, dim).
        weights: Share of every code, (batch, codes); firmly chosen, one of them has it all.
        index: The code that counts most, (batch,).
        entropy: The original's entropy term, for logging only; no loss contains it.
    """

    vector: Tensor
    weights: Tensor
    index: Tensor
    entropy: Tensor

    @property
    def largest(self) -> Tensor:
        """Share of the code that counts most, (batch,)."""
        return self.weights.max(dim=-1).values


class GumbelCodebook(nn.Module):
    """Universal actions as rows of `embed`, chosen by `pre_proj`."""

    def __init__(self, hidden_dim: int, num_codes: int, dim: int) -> None:
        super().__init__()
        self.pre_proj = nn.Linear(hidden_dim, num_codes)
        self.embed = nn.Embedding(num_codes, dim)
        if not self.embed.weight.is_meta:
            self.restart()

    def restart(self) -> None:
        """Initialise as the original does."""
        nn.init.normal_(self.embed.weight, std=0.2)
        nn.init.xavier_uniform_(self.pre_proj.weight)
        nn.init.zeros_(self.pre_proj.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Logits of the codes: (batch, hidden) → (batch, codes)."""
        return self.pre_proj(states)

    def hard(self, logits: Tensor) -> Selection:
        """The likeliest code itself; no noise, no temperature, no gradient."""
        index = logits.argmax(dim=-1)
        weights = nn.functional.one_hot(index, logits.shape[-1]).to(logits.dtype)
        return Selection(self.embed(index).detach(), weights, index, entropy_term(logits))

    def chosen(self, logits: Tensor, selection: str) -> Selection:
        """The likeliest code (`firm`), or all codes by their probabilities (`mixture`)."""
        if selection == 'mixture':
            return self.soft(logits, 1.0, torch.zeros_like(logits))
        return self.hard(logits)

    def soft(self, logits: Tensor, temperature: float, noise: Tensor) -> Selection:
        """All codes mixed by softmax((logits + noise) / temperature).

        Args:
            logits: Shape (batch, codes).
            temperature: Above 0; small ones come close to a single code.
            noise: Gumbel noise as of `gumbel_noise`; zeros for none.
        """
        weights = torch.softmax((logits + noise) / temperature, dim=-1)  # (batch, codes)
        vector = weights.to(self.embed.weight.dtype) @ self.embed.weight  # (batch, dim)
        return Selection(vector, weights, weights.argmax(dim=-1), entropy_term(logits))


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent draws of Gumbel(0, 1), float32, on the generator's device."""
    drawn = torch.empty(shape, device=generator.device).exponential_(generator=generator)
    return -drawn.clamp(min=torch.finfo(drawn.dtype).tiny).log()


def entropy_term(logits: Tensor) -> Tensor:
    """5e-4 times the mean over the batch of sum q log(q K + 1e-10), of q = softmax(logits)."""
    shares = torch.softmax(logits, dim=-1)
    summed = (shares * torch.log(shares * logits.shape[-1] + 1e-10)).sum(dim=-1)
    return ENTROPY_WEIGHT * summed.mean()


class TemperatureSchedule:
    """The temperature of each soft selection, as the original's codebook counts them.

    The first value follows a cosine, every later one a line; hard selections do not count. The
    original counts soft selections at inference too and keeps none of this in a checkpoint; here
    only training steps it, and `start` resumes it.

    Args:
        max_steps: Steps until `final`.
        initial, final: Temperatures at the ends.
        start: Steps made before.
    """

    def __init__(self, max_steps: int, initial: float, final: float, start: int = 0) -> None:
        self.max_steps, self.initial, self.final = max_steps, initial, final
        self.count = start + 1
        turn = 1.0 + math.cos(math.pi * min(self.count / max_steps, 1.0))
        self.temperature = final + 0.5 * (initial - final) * turn

    def step(self) -> float:
        """The temperature for the soft selection to make now; the next one is set."""
        now = self.temperature
        self.count += 1
        left = max(self.max_steps - self.count, 0) / self.max_steps
        self.temperature = self.final + (self.initial - self.final) * left
        return now
