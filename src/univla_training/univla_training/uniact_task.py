"""Train UniAct's network and heads on the actions of several bodies, one body in each batch.

Source: arXiv:2501.10105, section 3; released code `models/UniAct_V1.py`, `train.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import nn
from univla_decoders.heads import DecoderHead
from univla_decoders.uniact_data import masked_huber
from univla_models.uniact_codebook import TemperatureSchedule
from univla_models.uniact_network import UniactNetwork

from univla_training.demonstrations import Demonstrations
from univla_training.frame_store import FrameStore
from univla_training.prompting import TextBatch
from univla_training.uniact_pictures import Looks
from univla_training.uniact_pictures import looks
from univla_training.uniact_pictures import to_device
from univla_training.uniact_prompting import UniactPrompts


class Annealing(nn.Module):
    """The schedule of the temperature, saved with the weights so that it goes on where it was.

    Args:
        schedule: The schedule at its start.
    """

    def __init__(self, schedule: TemperatureSchedule) -> None:
        super().__init__()
        self._schedules = (schedule,)  # in a tuple: it is no module
        self.register_buffer('count', torch.tensor(schedule.count))
        self.register_buffer('now', torch.tensor(schedule.temperature, dtype=torch.float64))

    def step(self) -> float:
        """The temperature of the soft selection to make now; the next one is set."""
        schedule = self._schedules[0]
        schedule.count, schedule.temperature = int(self.count), float(self.now)
        temperature = schedule.step()
        self.count.fill_(schedule.count)
        self.now.fill_(schedule.temperature)
        return temperature

    @property
    def temperature(self) -> float:
        """What the next selection would take, without counting it."""
        return float(self.now)


@dataclass(frozen=True, kw_only=True)
class UniactBatch:
    """Frames of one robot.

    Attributes:
        robot: Which.
        seen: What extractor and backbone see.
        text: Prompts.
        body: Normalised proprioception, (batch, p), or None.
        chunk: Normalised actions, (batch, horizon, dim).
        noise: Gumbel noise on the codes, (batch, codes).
    """

    robot: str
    seen: Looks
    text: TextBatch
    body: Tensor | None
    chunk: Tensor
    noise: Tensor


class UniactTask:
    """Masked Huber loss on the chunks of several robots, one head each; a batch holds one robot.

    Args:
        network: The shared network, trained too.
        heads: By robot.
        prompts: The network's prompts.
        store: The data set.
        demonstrations: By robot.
        annealing: Temperature of the soft selections.
        augment: Whether pictures change in brightness and tint.
        body_noise: Spread of noise on the proprioception, in normalised units.
        selection: How codes are chosen in deployment, see `UniactOptions`.
    """

    def __init__(
        self,
        network: UniactNetwork,
        heads: Mapping[str, DecoderHead] | nn.ModuleDict,
        prompts: UniactPrompts,
        store: FrameStore,
        demonstrations: Mapping[str, Demonstrations],
        annealing: Annealing,
        *,
        augment: bool = True,
        body_noise: float = 0.0,
        selection: str = 'firm',
    ) -> None:
        self.network, self.heads, self.prompts = network, heads, prompts
        self.annealing = annealing
        self._store, self._shown = store, dict(demonstrations)
        self._augment, self._noise, self._selection = augment, body_noise, selection
        self._cumulative = {
            robot: np.cumsum(shown.shares / shown.shares.sum())
            for robot, shown in self._shown.items()
        }
        self._masks = {robot: moving(shown) for robot, shown in self._shown.items()}

    def draw(self, rng: np.random.Generator, count: int) -> UniactBatch:
        """A random batch of a random robot."""
        robot = str(rng.choice(sorted(self._shown)))
        cumulative = self._cumulative[robot]
        picked = np.minimum(np.searchsorted(cumulative, rng.random(count)), len(cumulative) - 1)
        return self.batch(robot, picked, rng)

    def batch(
        self, robot: str, picked: np.ndarray, rng: np.random.Generator | None = None
    ) -> UniactBatch:
        """The batch of given places in a robot's demonstrations; without `rng` nothing varies."""
        shown = self._shown[robot]
        rows = shown.rows[picked]
        codes = self.network.universal_actions_codebook.embed.num_embeddings
        shape = (len(picked), codes)
        noise = np.zeros(shape) if rng is None else rng.gumbel(size=shape)
        body = None
        if shown.body is not None:
            values = shown.body[picked].astype(np.float32)
            if rng is not None and self._noise:
                values = values + rng.normal(0.0, self._noise, values.shape)
            body = torch.from_numpy(values.astype(np.float32))
        return UniactBatch(
            robot=robot,
            seen=looks(self._store.pictures[rows], rng if self._augment else None),
            text=self.prompts.batch(self._store.instructions(rows)),
            body=body,
            chunk=torch.from_numpy(shown.chunks[picked].astype(np.float32)),
            noise=torch.from_numpy(noise.astype(np.float32)),
        )

    def loss(self, batch: UniactBatch) -> tuple[Tensor, dict[str, float]]:
        """Loss at the temperature of this step, and how the codes are used.

        In evaluation mode codes are chosen as in deployment.
        """
        book = self.network.universal_actions_codebook
        device = book.embed.weight.device
        seen = to_device(batch.seen, device)
        ids, keep = batch.text.ids.to(device), batch.text.keep.to(device)
        logits = self.network.logits(seen.pixels, ids, keep).float()
        temperature = self.annealing.temperature
        if self.network.training:
            temperature = self.annealing.step()
            chosen = book.soft(logits, temperature, batch.noise.to(device))
        else:
            chosen = book.chosen(logits, self._selection)
        tokens = self._tokens(seen.views)
        body = None if batch.body is None else batch.body.to(device)
        chunk = self.heads[batch.robot](chosen.vector[:, None], tokens, body)
        target = batch.chunk.to(device)
        mask = self._masks[batch.robot].to(device).expand_as(target)
        loss = masked_huber(chunk, target, mask)
        shares = torch.softmax(logits.detach(), dim=-1)
        return loss, {
            'l1': float((chunk.detach() - target).abs().mean()),
            'temperature': temperature,
            'largest': float(chosen.largest.detach().mean()),
            'sure': float(shares.max(dim=-1).values.mean()),
            'codes': float(len(logits.detach().argmax(dim=-1).unique())),
        }

    def _tokens(self, views: Tensor) -> Tensor:
        """The backbone's tokens of all views, (batch, views · 49, channels)."""
        backbone = self.network.vision_backbone
        if not backbone.conv1.weight.requires_grad:
            backbone.eval()  # one that does not learn keeps its statistics, too
        return backbone.tokens(views).flatten(1, 2)

    @torch.inference_mode()
    def check(self, places: Mapping[str, np.ndarray], size: int = 64) -> dict[str, float]:
        """Mean absolute error on held-out frames in normalised units, as it deploys.

        Args:
            places: Of each robot's demonstrations.
            size: Frames at a time.
        """
        was = self.network.training
        modules = [self.network, *self.heads.values()]
        for module in modules:
            module.eval()
        errors = [
            self.loss(self.batch(robot, piece))[1]['l1']
            for robot, picked in places.items()
            for piece in np.array_split(picked, -(-len(picked) // size))
        ]
        for module in modules:
            module.train(was)
        return {'held_out': float(np.mean(errors))}


def moving(shown: Demonstrations) -> Tensor:
    """Which dimensions are learned: those whose quantiles differ, (dim,).

    The original also leaves out rows of zeros, which fill its chunks past an episode's end. Ours
    end in rest, and a row of zeros is an order to stand still, so it is learned.
    """
    action = shown.statistics['action']
    return torch.tensor(np.array(action['q99']) != np.array(action['q01'])).float()
