"""Direct behaviour cloning: the same network and head, trained end to end on actions alone.

The four code tokens become fixed queries: they are fed as codes 0 to 3 whatever the picture, and
only the actions' error trains the network. It is the baseline of equal size, start and pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from univla_decoders.heads import DecoderHead
from univla_models.univla_network import UnivlaNetwork

from univla_training.demonstrations import Demonstrations
from univla_training.devices import device_of
from univla_training.devices import on_device
from univla_training.frame_store import FrameStore
from univla_training.pixels import moved
from univla_training.pixels import policy_pixels
from univla_training.planning import code_states
from univla_training.prompting import Prompts
from univla_training.prompting import TextBatch

#: What stands in for the codes.
QUERIES = (0, 1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class CloningBatch:
    """Frames of one robot."""

    robot: str
    pixels: Tensor
    text: TextBatch
    body: Tensor | None
    chunk: Tensor


class CloningTask:
    """L1 on the chunks of several robots, one head each; a batch holds one robot.

    Args:
        network: The network, trained too.
        heads: By robot.
        prompts: The tokenizer.
        store: The data set.
        demonstrations: By robot.
        shift: How far pictures are shifted at most, as a share of their side.
    """

    def __init__(
        self,
        network: UnivlaNetwork,
        heads: dict[str, DecoderHead],
        prompts: Prompts,
        store: FrameStore,
        demonstrations: dict[str, Demonstrations],
        *,
        shift: float = 0.0,
    ) -> None:
        self.network, self.heads, self.prompts = network, heads, prompts
        self._store, self._shown, self._shift = store, demonstrations, shift
        self._cumulative = {
            robot: np.cumsum(shown.shares / shown.shares.sum())
            for robot, shown in demonstrations.items()
        }

    def draw(self, rng: np.random.Generator, count: int) -> CloningBatch:
        """A random batch of a random robot."""
        robot = str(rng.choice(sorted(self._shown)))
        shown = self._shown[robot]
        picked = np.searchsorted(self._cumulative[robot], rng.random(count))
        picked = np.minimum(picked, len(shown.rows) - 1)
        rows = shown.rows[picked]
        queries = np.tile(self.prompts.action_ids.numpy()[list(QUERIES[:-1])], (count, 1))
        body = None
        if shown.body is not None:
            body = torch.from_numpy(shown.body[picked].astype(np.float32))
        pictures = self._store.pictures[rows]
        if self._shift:
            pictures = moved(pictures, rng, self._shift)
        return CloningBatch(
            robot=robot,
            pixels=policy_pixels(pictures, rng),
            text=self.prompts.batch(self._store.instructions(rows), queries),
            body=body,
            chunk=torch.from_numpy(shown.chunks[picked].astype(np.float32)),
        )

    def loss(self, batch: CloningBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean absolute error in normalised units."""
        batch = on_device(batch, device_of(self.network))
        states = code_states(self.network, batch.pixels, batch.text)
        chunk = self.heads[batch.robot](states.latent, states.visual, batch.body)
        loss = (chunk - batch.chunk).abs().mean()
        return loss, {f'l1_{batch.robot}': float(loss.detach())}
