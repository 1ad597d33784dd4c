"""Keep a codebook alive while it learns."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch import nn
from univla_models.lam_blocks import VectorQuantizer

_MEMORY = 0.98


class CodeKeeper(nn.Module):
    """Starts a codebook on real vectors and wakes codes that nothing is near to.

    The released training replaces dead codes by copies of others at the end of an epoch; small
    data has few epochs, so this looks every `every` steps and takes vectors the encoder just made.

    Args:
        quantizer: The codebook.
        seed: Of the choice of vectors.
        starts: Steps at which all codes are placed by k-means.
        every: Steps between two looks.
    """

    def __init__(
        self,
        quantizer: VectorQuantizer,
        seed: int,
        starts: tuple[int, ...] = (1, 40, 120),
        every: int = 100,
    ) -> None:
        super().__init__()
        self._books = (quantizer,)  # in a tuple: the codebook belongs to the model
        self._every, self._starts, self._seed = every, starts, seed
        count = quantizer.codebook.num_embeddings
        # Saved and restored with the model, so that resumed training is the same.
        self.register_buffer('usage', torch.full((count,), 1.0 / count, dtype=torch.float64))

    @torch.no_grad()
    def look(self, step: int, vectors: Tensor, indices: Tensor) -> None:
        """Take in the vectors (…, dim) of a step and the codes (…) they got."""
        rng = np.random.default_rng((self._seed, step))
        count = len(self.usage)
        shares = torch.bincount(indices.flatten(), minlength=count).double()
        self.usage.mul_(_MEMORY).add_((1.0 - _MEMORY) * shares / shares.sum().clamp(min=1.0))
        flat = vectors.detach().flatten(0, -2).float()
        weight = self._books[0].codebook.weight
        if step in self._starts:
            weight.copy_(k_means(flat, count, rng))
            self.usage.fill_(1.0 / count)
        elif step % self._every == 0:
            dead = torch.nonzero(self.usage < 0.1 / count).flatten()
            chosen = torch.from_numpy(rng.integers(len(flat), size=len(dead)))
            weight[dead] = flat[chosen].to(weight.dtype)
            self.usage[dead] = 1.0 / count

    @property
    def bits(self) -> float:
        """Entropy of the use of the codes [bit]."""
        return entropy_bits(self.usage.cpu().numpy())


def entropy_bits(shares: np.ndarray) -> float:
    """Entropy of shares that need not add up to one [bit]."""
    shares = shares / shares.sum()
    used = shares[shares > 0.0]
    return float(-(used * np.log2(used)).sum())


def k_means(vectors: Tensor, count: int, rng: np.random.Generator, rounds: int = 10) -> Tensor:
    """Centres of `count` clusters of vectors (n, dim), begun as k-means++ does."""
    first = int(rng.integers(len(vectors)))
    centres = vectors[first][None]
    for _ in range(count - 1):
        gap = torch.cdist(vectors, centres).amin(dim=1) ** 2
        total = float(gap.sum())
        share = gap.double().cpu().numpy() / total if total > 0.0 else None
        if share is not None:
            share = share / share.sum()
        centres = torch.cat([centres, vectors[int(rng.choice(len(vectors), p=share))][None]])
    for _ in range(rounds):
        nearest = torch.cdist(vectors, centres).argmin(dim=1)
        for number in range(count):
            members = vectors[nearest == number]
            if len(members):
                centres[number] = members.mean(dim=0)
    return centres
