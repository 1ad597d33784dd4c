"""Train one robot's decoder head on what a frozen policy plans."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from univla_decoders.heads import DecoderHead
from univla_models.univla_network import UnivlaNetwork

from univla_training.frame_store import FrameStore
from univla_training.pixels import moved
from univla_training.pixels import policy_pixels
from univla_training.planning import plan_batch
from univla_training.prompting import Prompts


@dataclass(frozen=True, kw_only=True)
class Plans:
    """What the policy plans on every frame of a robot, once for each view of it.

    The first view is the picture as it is; each other one shows all frames in brightness and tint
    of their own, and perhaps from a camera that stands elsewhere.

    Attributes:
        latent: Float16, (views, frames, 4, dim).
        visual: Float16, (views, frames, patches, dim).
        codes: Uint8, (views, frames, 4).
    """

    latent: np.ndarray
    visual: np.ndarray
    codes: np.ndarray

    @property
    def views(self) -> int:
        """How many there are."""
        return len(self.codes)


def kept_plans(path: Path, wanted: Sequence[float], make: Callable[[], Plans]) -> Plans:
    """Plans that are kept on disk, so that a stage that goes on does not plan again.

    Args:
        path: The file; written if it is not there or holds others.
        wanted: Numbers that tell which: of views, of frames, and what else decided about them.
        make: Plans on the frames.
    """
    if path.is_file():
        with np.load(path) as archive:
            if 'wanted' in archive and np.array_equal(archive['wanted'], wanted):
                return Plans(**{name: archive[name] for name in ('latent', 'visual', 'codes')})
    plans = make()
    unfinished = path.with_suffix('.part.npz')
    np.savez(unfinished, wanted=np.array(wanted), **vars(plans))
    unfinished.rename(path)
    return plans


def plan_frames(
    network: UnivlaNetwork,
    prompts: Prompts,
    store: FrameStore,
    rows: np.ndarray,
    *,
    instructions: Sequence[str] | None = None,
    views: int = 1,
    shift: float = 0.0,
    visual_tokens: bool = True,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Plans:
    """Let the policy plan on frames, exactly as it does when it runs.

    Args:
        network: The frozen policy.
        prompts: Its tokenizer.
        store: The data set.
        rows: Frames.
        instructions: What it is told about each; None takes those of the episodes.
        views: How often; all but the first time on changed pictures.
        shift: How far they are shifted at most, as a share of their side.
        visual_tokens: Whether to keep them; they take most of the memory, and not every head reads
            them. If not, `visual` has no patches.
        batch: Frames at a time.
        progress: Told how many were planned.
    """
    network.eval()
    dim, patches = network.config.hidden_dim, network.config.num_patches * visual_tokens
    device = next(network.parameters()).device
    allowed = prompts.action_ids.to(device)
    latent = np.empty((views, len(rows), 4, dim), dtype=np.float16)
    visual = np.empty((views, len(rows), patches, dim), dtype=np.float16)
    codes = np.empty((views, len(rows), 4), dtype=np.uint8)
    words = store.instructions(rows) if instructions is None else instructions
    groups = prompts.by_length(words)
    parts = [
        group[start : start + batch] for group in groups for start in range(0, len(group), batch)
    ]
    for view in range(views):
        rng = np.random.default_rng(view) if view else None
        for part in parts:
            text = prompts.batch([words[number] for number in part])
            pictures = store.pictures[rows[part]]
            if rng is not None and shift:
                pictures = moved(pictures, rng, shift)
            pixels = policy_pixels(pictures, rng).to(device)
            chosen, states = plan_batch(network, pixels, text.ids.to(device), allowed)
            latent[view, part] = states.latent.float().cpu().numpy()
            visual[view, part] = states.visual[:, :patches].float().cpu().numpy()
            codes[view, part] = chosen.cpu().numpy()
            if progress is not None:
                progress(len(part))
    return Plans(latent=latent, visual=visual, codes=codes)


@dataclass(frozen=True, kw_only=True)
class DecoderBatch:
    """Plans, proprioception (batch, p) and normalised chunks (batch, horizon, dim)."""

    latent: Tensor
    visual: Tensor
    body: Tensor | None
    chunk: Tensor


class DecoderTask:
    """L1 between the head's chunk and the recorded one.

    Args:
        head: The decoder head.
        plans: What the policy plans on each frame; of several views one is drawn each time.
        chunks: Normalised chunks, (frames, horizon, dim).
        body: Normalised proprioception, (frames, p), or None.
        shares: Probability with which each frame is drawn, (frames,).
        body_noise: Spread of noise on the proprioception, in normalised units.
    """

    def __init__(
        self,
        head: DecoderHead,
        plans: Plans,
        chunks: np.ndarray,
        body: np.ndarray | None,
        shares: np.ndarray,
        *,
        body_noise: float = 0.0,
    ) -> None:
        self.head, self._plans = head, plans
        self._chunks, self._body = chunks, body
        self._cumulative = np.cumsum(shares / shares.sum())
        self._noise = body_noise

    @property
    def latent(self) -> np.ndarray:
        """Latent tokens of all looks at all frames, (views, frames, 4, dim)."""
        return self._plans.latent

    def draw(self, rng: np.random.Generator, count: int) -> DecoderBatch:
        """A random batch."""
        rows = np.searchsorted(self._cumulative, rng.random(count))
        rows = np.minimum(rows, len(self._cumulative) - 1)
        return self.batch(rows, rng)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> DecoderBatch:
        """The batch of given frames; `rng` adds the noise and chooses views."""
        views = np.zeros(len(rows), dtype=int)
        if rng is not None and self._plans.views > 1:
            views = rng.integers(self._plans.views, size=len(rows))
        body = None
        if self._body is not None:
            values = self._body[rows]
            if rng is not None and self._noise:
                values = values + rng.normal(0.0, self._noise, values.shape)
            body = self._tensor(values)
        return DecoderBatch(
            latent=self._tensor(self._plans.latent[views, rows]),
            visual=self._tensor(self._plans.visual[views, rows]),
            body=body,
            chunk=self._tensor(self._chunks[rows]),
        )

    def _tensor(self, values: np.ndarray) -> Tensor:
        device = next(self.head.parameters()).device
        return torch.from_numpy(values.astype(np.float32)).to(device)

    def loss(self, batch: DecoderBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean absolute error in normalised units."""
        chunk = self.head(batch.latent, batch.visual, batch.body)
        gap = (chunk - batch.chunk).abs()
        return gap.mean(), {
            'first': float(gap[:, 0].mean().detach()),
            'gripper': float(gap[..., -1].mean().detach()),
        }

    @torch.inference_mode()
    def check(self, rows: np.ndarray) -> float:
        """Mean absolute error on given frames."""
        self.head.eval()
        losses = [
            float(self.loss(self.batch(part))[0])
            for part in np.array_split(rows, -(-len(rows) // 128))
        ]
        self.head.train()
        return float(np.mean(losses))
