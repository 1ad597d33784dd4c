"""From normalised actions of the unified VLA to commands, and the statistics in between.

Source: `baaivision/UniVLA`, `models/policy_head/…`, `reference/RoboVLMs/eval/*`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.errors import CheckpointError
from univla_core.errors import ShapeError
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import norm_stats_from_mapping
from univla_core.poses import rotation_from_rpy
from univla_core.poses import vector_from_rotation

from univla_models.unified_vla_tokens import LAST_ACTION

QUANTILE_BINS = 5000
STICKY_STEPS = 2
#: Of the Google robot, whose statistics stand in its evaluation code alone.
GOOGLE_ROBOT = norm_stats_from_mapping(
    {
        'q01': [
            -0.22624227067544056,
            -0.15126218201085617,
            -0.23251856873127252,
            -0.3538952427136002,
            -0.4202906595250484,
            -0.43766197340888247,
            -1e-10,
        ],
        'q99': [
            0.17753939667156038,
            0.14669284061245857,
            0.2179850059450077,
            0.5882710857765758,
            0.35334834816471683,
            0.4470693223284772,
            0.99980000009996,
        ],
    },
    'google_robot',
)


def read_norm_stats(path: Path) -> dict[str, NormStats]:
    """Read a `norm_stats.json` as released.

    Raises:
        CheckpointError: If it is missing or unusable.
    """
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
        entries = document['norm_stats'].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'{path}: no usable norm stats ({error!r}); copy configs/normalizer_*/norm_stats.json'
        ) from error
    return {name: norm_stats_from_mapping(entry, f'{path}: {name}') for name, entry in entries}


def sign_gripper(actions: np.ndarray) -> np.ndarray:
    """Un-normalised actions with the gripper, last, at +1 above 0 and else -1 (LIBERO, CALVIN)."""
    signed = np.array(actions, dtype=np.float64)
    signed[..., -1] = np.where(signed[..., -1] > 0.0, 1.0, -1.0)
    return signed


def axis_angle(actions: np.ndarray) -> np.ndarray:
    """Rotation vectors of the roll, pitch and yaw in columns 3 to 5, (…, 3)."""
    flat = np.reshape(actions, (-1, np.shape(actions)[-1]))
    turned = [vector_from_rotation(rotation_from_rpy(row[3:6])) for row in flat]
    return np.reshape(turned, (*np.shape(actions)[:-1], 3))


def widowx_gripper(value: float) -> float:
    """SimplerEnv's WidowX command from 0 closed … 1 open: +1 above one half, else -1."""
    return 1.0 if value > 0.5 else -1.0


class StickyGripper:
    """SimplerEnv's Google robot: a change of the gripper as a command that is repeated.

    The command is the gripper before minus the gripper now, each ±1; 0 on the first step.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self._before: float | None = None
        self._command, self._left = 0.0, 0

    def step(self, value: float) -> float:
        """Command from the un-normalised gripper value."""
        now = 1.0 if value > 0.5 else -1.0
        change = 0.0 if self._before is None else self._before - now
        self._before = now
        if change and not self._left:
            self._command, self._left = change, STICKY_STEPS
        if self._left:
            self._left -= 1
            return self._command
        return change


class RunningStats:
    """Mean, deviation and histogram quantiles of vectors that come in batches."""

    def __init__(self, bins: int = QUANTILE_BINS) -> None:
        self._bins, self._count = bins, 0
        self._low = self._high = self._mean = self._square = np.zeros(0)
        self._edges: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def update(self, batch: np.ndarray) -> None:
        """Take in rows, (rows, dim); a histogram whose range grew is re-binned.

        Raises:
            ShapeError: If the batch is no table or of another width than before.
        """
        rows = np.asarray(batch, dtype=np.float64)
        if rows.ndim != 2 or not len(rows) or (self._count and rows.shape[1] != len(self._low)):
            raise ShapeError(f'a batch of shape {rows.shape} cannot be added; give (rows, dim)')
        low, high = rows.min(axis=0), rows.max(axis=0)
        if not self._count:
            self._low, self._high = low, high
            self._mean, self._square = np.zeros_like(low), np.zeros_like(low)
            self._edges = [
                np.linspace(a - 1e-10, b + 1e-10, self._bins + 1)
                for a, b in zip(low, high, strict=True)
            ]
            self._counts = [np.zeros(self._bins) for _ in low]
        elif (low < self._low).any() or (high > self._high).any():
            self._low, self._high = np.minimum(low, self._low), np.maximum(high, self._high)
            self._rebin()
        self._count += len(rows)
        share = len(rows) / self._count
        self._mean = self._mean + (rows.mean(axis=0) - self._mean) * share
        self._square = self._square + ((rows**2).mean(axis=0) - self._square) * share
        for axis, edges in enumerate(self._edges):
            self._counts[axis] = self._counts[axis] + np.histogram(rows[:, axis], bins=edges)[0]

    def stats(self) -> NormStats:
        """What was seen so far."""
        if not self._count:
            raise ShapeError('no batch was added yet, so there are no statistics')
        variance = np.maximum(0.0, self._square - self._mean**2)
        return NormStats(
            mean=self._mean,
            std=np.sqrt(variance),
            q01=self._quantile(0.01),
            q99=self._quantile(0.99),
        )

    def _rebin(self) -> None:
        """Every old bin goes, whole, to the new bin of its lower edge."""
        for axis, old in enumerate(self._edges):
            new = np.linspace(self._low[axis], self._high[axis], self._bins + 1)
            self._counts[axis] = np.histogram(old[:-1], bins=new, weights=self._counts[axis])[0]
            self._edges[axis] = new

    def _quantile(self, share: float) -> np.ndarray:
        """Lower edge of the first bin at which so much was counted."""
        found = [
            edges[np.searchsorted(np.cumsum(counts), share * self._count)]
            for edges, counts in zip(self._edges, self._counts, strict=True)
        ]
        return np.array(found)


class BinTokenizer:
    """OpenVLA's tokenizer: one id per value, 256 bins over [-1, 1].

    No released checkpoint of the unified VLA uses it.
    """

    def __init__(self, bins: int = 256) -> None:
        self._edges = np.linspace(-1.0, 1.0, bins)
        self._centers = (self._edges[:-1] + self._edges[1:]) / 2.0

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Ids of values, which are clipped to [-1, 1]; `decode` gives back the bin's middle."""
        return LAST_ACTION - np.digitize(np.clip(values, -1.0, 1.0), self._edges)

    def encode_like_original(self, values: np.ndarray) -> np.ndarray:
        """Ids by the original's other function, a bin lower than its `decode` assumes."""
        bins = np.digitize(np.clip(values, -1.0, 1.0), self._edges) - 1
        return LAST_ACTION - np.clip(bins, 0, len(self._centers) - 1)

    def decode(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Values of ids."""
        bins = LAST_ACTION - np.asarray(ids) - 1
        return self._centers[np.clip(bins, 0, len(self._centers) - 1)]


def stats_as_json(stats: NormStats) -> dict[str, Any]:
    """One entry of a `norm_stats.json`."""
    known = {'mean': stats.mean, 'std': stats.std, 'q01': stats.q01, 'q99': stats.q99}
    return {name: values.tolist() for name, values in known.items() if values is not None}
