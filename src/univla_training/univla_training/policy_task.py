"""Train the policy to say the latent action model's codes, from a picture and an instruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from univla_models.univla_network import UnivlaNetwork

from univla_training.devices import device_of
from univla_training.devices import on_device
from univla_training.frame_store import FrameStore
from univla_training.pixels import policy_pixels
from univla_training.planning import code_logits
from univla_training.planning import code_states
from univla_training.prompting import Prompts
from univla_training.prompting import TextBatch


@dataclass(frozen=True, kw_only=True)
class PolicyBatch:
    """Pixels, prompts with their codes, and the codes (batch, 4)."""

    pixels: Tensor
    text: TextBatch
    codes: Tensor


class PolicyTask:
    """Next-code cross-entropy.

    Args:
        network: The policy's network.
        prompts: Its tokenizer.
        store: Frames to learn from.
        labels: Code of every frame, (frames, 4).
        augment: Whether pictures change in brightness and tint.
    """

    def __init__(
        self,
        network: UnivlaNetwork,
        prompts: Prompts,
        store: FrameStore,
        labels: np.ndarray,
        *,
        augment: bool = True,
    ) -> None:
        self.network, self.prompts = network, prompts
        self._store, self._labels, self._augment = store, labels, augment
        self._sampler = store.sampler(clean=True)
        self._allowed = prompts.action_ids

    def draw(self, rng: np.random.Generator, count: int) -> PolicyBatch:
        """A random batch, every robot and task alike often."""
        return self.batch(self._sampler(rng, count), rng if self._augment else None)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> PolicyBatch:
        """The batch of given frames."""
        codes = self._labels[rows].astype(np.int64)
        return PolicyBatch(
            pixels=policy_pixels(self._store.pictures[rows], rng),
            text=self.prompts.batch(
                self._store.instructions(rows), self._allowed.numpy()[codes[:, :-1]]
            ),
            codes=torch.from_numpy(codes),
        )

    def loss(self, batch: PolicyBatch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy and the share of codes that are right."""
        batch = on_device(batch, device_of(self.network))
        states = code_states(self.network, batch.pixels, batch.text)
        logits = code_logits(self.network, states.latent, self._allowed)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.codes.flatten())
        right = (logits.argmax(-1) == batch.codes).float().mean()
        return loss, {'right': float(right)}

    @torch.inference_mode()
    def check(self, rows: np.ndarray, size: int = 128) -> dict[str, float]:
        """Cross-entropy and accuracy on given frames."""
        self.network.eval()
        pieces = np.array_split(rows, -(-len(rows) // size))
        parts = [self.loss(self.batch(piece)) for piece in pieces]
        self.network.train()
        return {
            'held_out': float(np.mean([float(loss) for loss, _ in parts])),
            'held_out_right': float(np.mean([facts['right'] for _, facts in parts])),
        }
