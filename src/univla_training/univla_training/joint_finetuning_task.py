"""Fine-tune policy and decoders together: the next code and the action of every robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from univla_decoders.heads import DecoderHead
from univla_models.univla_network import UnivlaNetwork

from univla_training.demonstrations import Demonstrations
from univla_training.devices import device_of
from univla_training.devices import on_device
from univla_training.frame_store import FrameStore
from univla_training.pixels import policy_pixels
from univla_training.planning import code_logits
from univla_training.planning import code_states
from univla_training.prompting import Prompts
from univla_training.prompting import TextBatch


@dataclass(frozen=True, kw_only=True)
class FinetuningBatch:
    """Frames of one robot; `codes` (batch, 4) are the labels of the latent action model."""

    robot: str
    pixels: Tensor
    text: TextBatch
    codes: Tensor
    body: Tensor | None
    chunk: Tensor


class FinetuningTask:
    """Cross-entropy of the codes and L1 of the chunks, all robots by turns, one head each.

    A robot is drawn in proportion to the square root of the number of its tasks: one that has a
    single easy one does not take the time of the others.

    In training the codes before are those of the labels, when the policy runs they are its own. So
    that heads live with both, some of the codes before are replaced by random ones.

    Args:
        network: The policy, trained too.
        heads: By robot.
        prompts: The tokenizer.
        store: The data set.
        labels: Code of every frame, (frames, 4).
        demonstrations: By robot.
        code_weight: Weight of the codes beside the actions.
        code_noise: Share of the codes before that are replaced.
        body_noise: Spread of noise on the proprioception, in normalised units.
        augment: Whether pictures change in brightness and tint.
    """

    def __init__(
        self,
        network: UnivlaNetwork,
        heads: dict[str, DecoderHead],
        prompts: Prompts,
        store: FrameStore,
        labels: np.ndarray,
        demonstrations: dict[str, Demonstrations],
        *,
        code_weight: float,
        code_noise: float,
        body_noise: float = 0.0,
        augment: bool = True,
    ) -> None:
        self.network, self.heads, self.prompts = network, heads, prompts
        self._store, self._labels, self._shown = store, labels, demonstrations
        self._code_weight, self._code_noise = code_weight, code_noise
        self._body_noise, self._augment = body_noise, augment
        self._allowed = prompts.action_ids
        tasks = np.array([row.task for row in store.episodes])
        counts = [
            len(np.unique(tasks[store.episode_of(shown.rows)]))
            for _, shown in sorted(demonstrations.items())
        ]
        self._robot_shares = np.sqrt(counts) / np.sum(np.sqrt(counts))
        self._cumulative = {
            robot: np.cumsum(shown.shares / shown.shares.sum())
            for robot, shown in demonstrations.items()
        }

    def draw(self, rng: np.random.Generator, count: int) -> FinetuningBatch:
        """A random batch of a random robot."""
        robot = str(rng.choice(sorted(self._shown), p=self._robot_shares))
        picked = np.searchsorted(self._cumulative[robot], rng.random(count))
        picked = np.minimum(picked, len(self._shown[robot].rows) - 1)
        return self.batch(robot, picked, rng)

    def batch(
        self, robot: str, picked: np.ndarray, rng: np.random.Generator | None = None
    ) -> FinetuningBatch:
        """The batch of given demonstrations; `rng` adds noise and changes colours."""
        shown = self._shown[robot]
        rows = shown.rows[picked]
        codes = self._labels[rows].astype(np.int64)
        before = codes[:, :-1]
        body = None if shown.body is None else shown.body[picked]
        if rng is not None:
            wrong = rng.random(before.shape) < self._code_noise
            before = np.where(wrong, rng.integers(len(self._allowed), size=before.shape), before)
            if body is not None:
                body = body + rng.normal(0.0, self._body_noise, body.shape)
        text = self.prompts.batch(self._store.instructions(rows), self._allowed.numpy()[before])
        return FinetuningBatch(
            robot=robot,
            pixels=policy_pixels(self._store.pictures[rows], rng if self._augment else None),
            text=text,
            codes=torch.from_numpy(codes),
            body=None if body is None else torch.from_numpy(body.astype(np.float32)),
            chunk=torch.from_numpy(shown.chunks[picked].astype(np.float32)),
        )

    def loss(self, batch: FinetuningBatch) -> tuple[Tensor, dict[str, float]]:
        """Weighted cross-entropy plus mean absolute error in normalised units."""
        batch = on_device(batch, device_of(self.network))
        states = code_states(self.network, batch.pixels, batch.text)
        logits = code_logits(self.network, states.latent, self._allowed)
        codes = F.cross_entropy(logits.flatten(0, 1), batch.codes.flatten())
        chunk = self.heads[batch.robot](states.latent, states.visual, batch.body)
        actions = (chunk - batch.chunk).abs().mean()
        return self._code_weight * codes + actions, {
            'codes': float(codes.detach()),
            'right': float((logits.argmax(-1) == batch.codes).float().mean()),
            'actions': float(actions.detach()),
        }

    @torch.inference_mode()
    def check(self, samples: int = 256) -> dict[str, float]:
        """Mean absolute error of each robot on its first demonstrations, in a fixed order."""
        self.network.eval()
        found = {}
        for robot, shown in sorted(self._shown.items()):
            rows = np.random.default_rng(0).permutation(len(shown.rows))[:samples]
            facts = self.loss(self.batch(robot, rows))[1]
            found[f'held_out_{robot}'] = facts['actions']
        self.network.train()
        return found
