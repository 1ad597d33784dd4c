"""What UniAct's heads are trained on and evaluated with: chunks, masks, loss, LIBERO's gripper.

Source: arXiv:2501.10105; released code `data/`, `models/UniAct_V1.py`, `eval/`.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import normalize

CHUNK = 4
HUBER_DELTA = 0.1
#: What the original sends to LIBERO while the scene settles.
LIBERO_WARM_UP = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def action_targets(
    actions: np.ndarray, stats: NormStats, rule: str, horizon: int = CHUNK
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised chunk and mask at every step of an episode.

    Args:
        actions: Robot units, (steps, dim).
        stats: Statistics of the data set.
        rule: One of `univla_core.norm_stats.RULES`.
        horizon: Rows of a chunk.

    Returns:
        Chunks, float64, and masks, both (steps, horizon, dim). Rows past the end are filled with
        zeros before they are normalised, and masked; so is every other row of zeros (a genuine
        one too), and every dimension whose quantiles are equal.
    """
    padded = np.concatenate([actions, np.zeros((horizon - 1, actions.shape[1]))])
    rows = np.arange(len(actions))[:, None] + np.arange(horizon)  # (steps, horizon)
    assert stats.q01 is not None and stats.q99 is not None
    said = padded.any(axis=1)[:, None] & (stats.q99 != stats.q01)  # (steps + …, dim)
    return normalize(padded, stats, rule)[rows], said[rows]


def masked_huber(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean Huber loss (delta 0.1) over what the mask leaves; all (batch, horizon, dim)."""
    loss = F.huber_loss(predicted, target, reduction='none', delta=HUBER_DELTA)
    return (loss * mask).sum() / mask.sum().clamp(min=1)


def libero_command(value: np.ndarray) -> np.ndarray:
    """LIBERO's gripper command from 0 closed … 1 open: +1 closes below one half, -1 opens."""
    return np.where(np.asarray(value) < 0.5, 1.0, -1.0)
