"""Teach fresh networks to see and to point, before they learn to act."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_models.univla_network import UnivlaNetwork

from univla_training.pixels import policy_pixels
from univla_training.pointing import CELLS
from univla_training.pointing import KINDS
from univla_training.pointing import THINGS
from univla_training.pointing import PointingPictures
from univla_training.prompting import Prompts
from univla_training.prompting import TextBatch

#: Cells along one side among which a place is pointed out.
GRID = 16
_COLORS = ('red', 'green', 'blue')
_CUBE_WORDS = (
    'reach the {} cube',
    'push the {} cube',
    'pick up the {} cube',
    'point to the {} cube',
)
_PLACE_WORDS = 'put the {} cube on the white plate'
_PILLAR_WORDS = ('drive to the {} pillar', 'point to the {} pillar')


class PointingHeads(nn.Module):
    """What reads the answers out of the network; thrown away after pretraining.

    Args:
        vision_dim: Dimension of the fused patch features.
        hidden_dim: Dimension of the language model.
    """

    def __init__(self, vision_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.see = nn.Linear(vision_dim, CELLS**2 * len(KINDS))
        # The named thing, the plate if it is named too, and the robot's own gripper.
        self.point = nn.Linear(hidden_dim, 3 * (GRID * GRID + 1))
        self.aim = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, 6)
        )

    def seen(self, features: Tensor) -> Tensor:
        """Logits of `KINDS` in every cell: (batch, kinds, cells, cells)."""
        batch, patches, _ = features.shape
        side = round(patches**0.5)
        logits = self.see(features).view(batch, side, side, CELLS, CELLS, -1)
        logits = logits.permute(0, 5, 1, 3, 2, 4)  # (batch, kinds, side, cells, side, cells)
        return logits.reshape(batch, -1, side * CELLS, side * CELLS)


@dataclass(frozen=True, kw_only=True)
class PointingBatch:
    """Pictures, questions and answers; `places` (batch, 3, 2), NaN where there is none."""

    pixels: Tensor
    text: TextBatch
    labels: Tensor
    places: Tensor


class PointingTask:
    """Draws questions about pictures and judges the answers."""

    def __init__(
        self,
        pictures: PointingPictures,
        prompts: Prompts,
        network: UnivlaNetwork,
        heads: PointingHeads,
    ) -> None:
        self.pictures, self.prompts = pictures, prompts
        self.network, self.heads = network, heads
        counts = np.bincount(pictures.labels.ravel(), minlength=len(KINDS)).astype(float)
        rarity = (counts.sum() / np.maximum(counts, 1.0)) ** 0.4
        self._weights = torch.from_numpy(rarity / rarity[0]).float()

    def draw(self, rng: np.random.Generator, count: int) -> PointingBatch:
        """A random batch."""
        rows = rng.integers(len(self.pictures), size=count)
        words, things = zip(
            *(_question(rng, bool(self.pictures.base[row])) for row in rows), strict=True
        )
        places = np.full((count, 3, 2), np.nan, dtype=np.float32)
        for number, (row, (target, second)) in enumerate(zip(rows, things, strict=True)):
            answers = self.pictures.places[row]
            places[number, 0] = answers[THINGS.index(target)]
            if second:
                places[number, 1] = answers[THINGS.index(second)]
            places[number, 2] = answers[THINGS.index('gripper')]
        return PointingBatch(
            pixels=policy_pixels(self.pictures.pictures[rows], rng),
            text=self.prompts.batch(words),
            labels=torch.from_numpy(self.pictures.labels[rows].astype(np.int64)),
            places=torch.from_numpy(places),
        )

    def loss(self, batch: PointingBatch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of what is where, of the cells pointed at, and distance of the aim."""
        network = self.network
        features = network.vision_backbone(batch.pixels)
        see = F.cross_entropy(
            self.heads.seen(features).float(), batch.labels, weight=self._weights
        )
        patches = network.projector(features)
        embedded = network.language_model.model.embed_tokens(batch.text.ids)
        sequence = torch.cat([embedded[:, :1], patches, embedded[:, 1:]], dim=1)
        seen = torch.ones(patches.shape[:2], dtype=torch.bool)
        keep = torch.cat([batch.text.keep[:, :1], seen, batch.text.keep[:, 1:]], dim=1)
        hidden = network.language_model.model(
            inputs_embeds=sequence, attention_mask=keep, use_cache=False
        ).last_hidden_state
        rows = torch.arange(len(hidden))
        state = hidden[rows, patches.shape[1] + batch.text.start]  # (batch, dim)
        logits = self.heads.point(state).float().view(len(state), 3, -1)
        goal, cells = soft_cells(batch.places)
        point = -(goal * F.log_softmax(logits, dim=-1)).sum(-1).mean()
        aimed = self.heads.aim(state).float().view(-1, 3, 2)
        visible = torch.isfinite(batch.places).all(-1)
        error = (aimed - batch.places.nan_to_num()).abs().sum(-1)[visible]
        aim = error.mean()
        right = (logits.argmax(-1) == cells)[:, 0].float().mean()
        loss = 0.5 * see + 0.3 * point + 2.0 * aim
        return loss, {
            'see': float(see.detach()),
            'point': float(point.detach()),
            'aim': float(aim.detach()),
            'right': float(right),
        }


def soft_cells(places: Tensor) -> tuple[Tensor, Tensor]:
    """Cells near each place (…, GRID² + 1), the last one for nowhere, and the right ones (…)."""
    visible = torch.isfinite(places).all(-1)
    where = places.nan_to_num().clamp(0.0, 0.999) * GRID
    centres = torch.arange(GRID) + 0.5
    column = torch.exp(-0.5 * ((where[..., :1] - centres) / 0.7) ** 2)
    row = torch.exp(-0.5 * ((where[..., 1:] - centres) / 0.7) ** 2)
    grid = (row[..., :, None] * column[..., None, :]).flatten(-2)
    grid = grid / grid.sum(-1, keepdim=True)
    nowhere = (~visible).float()[..., None]
    cells = where[..., 1].long() * GRID + where[..., 0].long()
    cells = torch.where(visible, cells, torch.full_like(cells, GRID * GRID))
    return torch.cat([grid * (1.0 - nowhere), nowhere], dim=-1), cells


def _question(rng: np.random.Generator, base: bool) -> tuple[str, tuple[str, str]]:
    """Words and what they name: a thing and perhaps a second one."""
    color = str(rng.choice(_COLORS))
    if base:
        return str(rng.choice(_PILLAR_WORDS)).format(color), (color, '')
    kind = rng.integers(8)
    if kind == 0:
        return 'point to the white plate', ('plate', '')
    if kind <= 2:
        return _PLACE_WORDS.format(color), (color, 'plate')
    return str(rng.choice(_CUBE_WORDS)).format(color), (color, '')
