"""Train the latent action model: which code turned one frame into the next?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from univla_models.lam import LatentActionModel
from univla_models.lam_output import LamOutput
from univla_models.lam_output import Quantized

from univla_training.codes import CodeKeeper
from univla_training.codes import entropy_bits
from univla_training.devices import device_of
from univla_training.devices import on_device
from univla_training.pixels import scaled


@dataclass(frozen=True, kw_only=True)
class FramePairs:
    """Features of two frames (batch, 2, patches, dim), and ids and mask of the words."""

    patches: Tensor
    text: tuple[Tensor, Tensor] | None = None


class LamTask:
    """Loss of one stage, and the care of its codebook.

    Args:
        model: The model.
        change_weight: How much more a patch counts that changed, against one that did not.
        reconstruction_weight: Weight of the prediction beside the quantisation.
        seed: Of the codebook's care.
    """

    def __init__(
        self,
        model: LatentActionModel,
        *,
        change_weight: float,
        reconstruction_weight: float,
        seed: int,
    ) -> None:
        self.model = model
        self._change, self._weight = change_weight, reconstruction_weight
        second = model.config.stage == 2
        self._learning = model.vq_action if second else model.vq
        if second:
            model.vq.requires_grad_(False)
        self.keeper = CodeKeeper(self._learning, seed)
        self._seen: Quantized | None = None

    def loss(self, batch: FramePairs) -> tuple[Tensor, dict[str, float]]:
        """Weighted squared error of the predicted features, and quantisation."""
        batch = on_device(batch, device_of(self.model))
        out = self.model.predict(batch.patches, batch.text)
        self._seen = out.codes
        weight = self._patch_weights(out.patches)  # (batch, 1, patches, 1)
        predicted = (weight * (out.recon - out.target) ** 2).mean()
        copied = (weight * (out.patches[:, :1] - out.target) ** 2).mean().detach()
        loss = self._weight * predicted + out.codes.training_loss
        if out.uncontrolled is not None:
            loss = loss + out.uncontrolled.training_loss
        return loss, {
            'predicted': float(predicted.detach()),
            'of_copying': float(predicted.detach() / copied.clamp(min=1e-9)),
            'bits': self.keeper.bits,
        }

    def after_step(self, step: int) -> None:
        """Look after the codebook."""
        assert self._seen is not None
        self.keeper.look(step, self._seen.emb, self._seen.indices)

    def _patch_weights(self, patches: Tensor) -> Tensor:
        change = ((patches[:, 1:] - patches[:, :1]) ** 2).mean(dim=-1, keepdim=True)
        change = change / change.mean().clamp(min=1e-9)
        weight = 1.0 + self._change * change.clamp(max=8.0)
        return weight / weight.mean()


@torch.inference_mode()
def frame_features(
    model: LatentActionModel,
    pictures: np.ndarray,
    rows: np.ndarray,
    out: np.ndarray,
    *,
    batch: int = 128,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Fill `out` (frames, patches, dim) float16 with the frozen features of some frames.

    Args:
        model: Whose DINOv2 looks.
        pictures: All frames, uint8, (n, side, side, 3).
        rows: Which.
        out: Where to, by frame.
        batch: Frames at a time.
        progress: Told how many were done.
    """
    device = model.action_latent.device
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        values = scaled(pictures[part])[:, None].to(device)
        out[part] = model.features(values)[:, 0].cpu().numpy().astype(np.float16)
        if progress is not None:
            progress(len(part))


@torch.inference_mode()
def label_pairs(
    model: LatentActionModel,
    features: np.ndarray,
    pairs: np.ndarray,
    batch: int = 256,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Codes of frame pairs.

    Args:
        model: Stage 2, or stage 1 for codes of whatever the words do not say.
        features: Of all frames, (n, patches, dim).
        pairs: Indices of first and second frames, (m, 2).
        batch: Pairs at a time.
        progress: Told how many were done.

    Returns:
        Codes, uint8, (m, 4).
    """
    model.eval()
    device = model.action_latent.device
    codes = np.empty((len(pairs), 4), dtype=np.uint8)
    for start in range(0, len(pairs), batch):
        rows = pairs[start : start + batch]
        patches = torch.from_numpy(features[rows].astype(np.float32)).to(device)
        codes[start : start + len(rows)] = model.codes(patches).cpu().numpy()
        if progress is not None:
            progress(len(rows))
    return codes


@torch.inference_mode()
def shuffled_ratio(model: LatentActionModel, patches: Tensor) -> float:
    """Error with codes of other pairs over the error with the right ones: do codes matter?"""
    model.eval()
    patches = patches.to(device_of(model))
    out: LamOutput = model.predict(patches)
    first = model.patch_up(out.patches[:, 0])
    order = torch.roll(torch.arange(len(patches), device=patches.device), 1)
    assert out.uncontrolled is not None
    actions = [model.action_up(out.codes.z[order]), model.action_up_uncontrol(out.uncontrolled.z)]
    tokens = torch.cat([*actions, first], dim=1)[:, None]
    recon = model.decoder(tokens)[:, :, -first.shape[1] :]
    wrong = torch.mean((recon - out.target) ** 2)
    return float(wrong / out.reconstruction_loss.clamp(min=1e-9))


def word_report(codes: np.ndarray) -> dict[str, float]:
    """How codes (m, 4) are used: distinct words, entropy of words and of single codes [bit]."""
    words, counts = np.unique(codes, axis=0, return_counts=True)
    singles = np.bincount(codes.ravel(), minlength=16).astype(float)
    return {
        'distinct_words': float(len(words)),
        'word_bits': entropy_bits(counts.astype(float)),
        'code_bits': entropy_bits(singles),
        'codes_used': float((singles > 0.001 * singles.sum()).sum()),
    }
