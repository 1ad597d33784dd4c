"""Teach a policy's eyes that another table or other light changes nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import nn
from univla_models.univla_network import UnivlaNetwork

from univla_training.devices import device_of
from univla_training.devices import on_device
from univla_training.look_pairs import LookPairs
from univla_training.pixels import policy_pixels

#: Pairs over which the spread of the teacher's features is measured.
_MEASURED = 256


@dataclass(frozen=True, kw_only=True)
class LookBatch:
    """Pixels of the same scenes.

    Attributes:
        plain: As demonstrations show them, for the teacher, (batch, 6, side, side).
        seen: What the pupil sees: most of them in another room, all lighter or darker.
    """

    plain: Tensor
    seen: Tensor


class LookTask:
    """Distillation of eyes into themselves: of a scene in another room see what was seen in this.

    The teacher is the network as it was. It looks at a scene as demonstrations show it, and the
    pupil, at the same scene in another room, shall hand the language model the same patches. All
    behind them, the language model and every decoder, stays as it is and goes on fitting.

    Args:
        network: The policy's network; its eyes (vision backbone and projector) learn in place.
        pairs: Scenes in two looks.
        plain_share: Share of the scenes that the pupil sees plain, so that it forgets nothing.
    """

    def __init__(self, network: UnivlaNetwork, pairs: LookPairs, plain_share: float) -> None:
        self.eyes = nn.ModuleDict(
            {'vision_backbone': network.vision_backbone, 'projector': network.projector}
        )
        self._teacher = copy.deepcopy(self.eyes).eval().requires_grad_(False)
        self._pairs, self._plain_share = pairs, plain_share
        with torch.no_grad():
            pixels = policy_pixels(pairs.plain[:_MEASURED]).to(device_of(network))
            patches = _patches(self._teacher, pixels)
        self._spread = patches.flatten(0, 1).std(0).clamp(min=1e-6)

    def draw(self, rng: np.random.Generator, count: int) -> LookBatch:
        """A random batch."""
        rows = rng.integers(len(self._pairs), size=count)
        plain = self._pairs.plain[rows]
        stays = rng.random(count) < self._plain_share
        seen = np.where(stays[:, None, None, None], plain, self._pairs.other[rows])
        return LookBatch(plain=policy_pixels(plain), seen=policy_pixels(seen, rng))

    def loss(self, batch: LookBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean square of what differs, in units of the spread of each feature."""
        with torch.no_grad():
            batch = on_device(batch, device_of(self.eyes))
            goal = _patches(self._teacher, batch.plain)
        off = ((_patches(self.eyes, batch.seen) - goal) / self._spread).square().mean()
        return off, {'unlike': float(off.detach())}


def _patches(eyes: nn.ModuleDict, pixels: Tensor) -> Tensor:
    """Patches as the language model takes them, (batch, patches, hidden_dim)."""
    return eyes['projector'](eyes['vision_backbone'](pixels))
