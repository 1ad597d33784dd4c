"""Temporal ensembling: average what several plans say about the same moment."""

from __future__ import annotations

from collections import deque

import numpy as np

from univla_core.errors import ConfigError
from univla_core.errors import ShapeError

DECAY = 0.1
#: When to average plans: as the decoder declares, whatever it declares, or not at all.
WHEN = ('auto', 'always', 'never')


class TemporalEnsembler:
    """Average overlapping action chunks, the newest weighted most.

    A plan that is `age` control steps old votes with weight exp(-decay · age). Row i of a chunk
    speaks of the moment i steps after it was planned, so plans of different age are averaged
    where they meet. Chunks stay in the space of the network; un-normalise afterwards.

    Args:
        window: Number of steps after which a plan is forgotten.
        decay: Weight decay per step of age.
        take_last: Use only the last `window` rows of each chunk, as UniVLA's real-robot
            deployment does to absorb its latency; otherwise the first.

    Source: UniVLA's ensembling (the opposite order of ACT, arXiv:2304.13705).
    """

    def __init__(self, window: int, decay: float = DECAY, *, take_last: bool = False) -> None:
        if window < 1:
            raise ConfigError(f'ensembling window is {window}; it must hold at least one step')
        self.window = window
        self.decay = decay
        self.take_last = take_last
        self._plans: deque[tuple[float, np.ndarray]] = deque()

    def reset(self) -> None:
        """Forget every plan; call it when the episode or the instruction changes."""
        self._plans.clear()

    def step(self, chunk: np.ndarray) -> np.ndarray:
        """Action for now from a plan made at every control step.

        Args:
            chunk: Newest plan, shape (horizon, action_dim).

        Returns:
            Float64 action of shape (action_dim,).
        """
        return self.blend(chunk, shift=1)[0]

    def blend(self, chunk: np.ndarray, shift: float) -> np.ndarray:
        """The newest plan averaged with the older ones wherever they overlap.

        Args:
            chunk: Newest plan, shape (horizon, action_dim).
            shift: Control steps since the plan before it, at least 0; where rows do not meet,
                older plans are interpolated.

        Returns:
            Float64 chunk of shape (min(horizon, window), action_dim).

        Raises:
            ShapeError: If the chunk is not two-dimensional, is shorter than the window that
                `take_last` asks for, or changes its action dimension.
        """
        newest = self._trimmed(chunk)
        aged = ((round(age + shift, 3), plan) for age, plan in self._plans)
        self._plans = deque((age, plan) for age, plan in aged if age <= len(plan) - 1)
        self._plans.appendleft((0, newest))
        total = np.zeros_like(newest)
        weights = np.zeros((len(newest), 1))
        for age, plan in self._plans:
            overlap = _shifted(plan, age)[: len(newest)]
            weight = np.exp(-self.decay * age)
            total[: len(overlap)] += weight * overlap
            weights[: len(overlap)] += weight
        return total / weights

    def _trimmed(self, chunk: np.ndarray) -> np.ndarray:
        chunk = np.asarray(chunk, dtype=np.float64)
        if chunk.ndim != 2 or not len(chunk):
            raise ShapeError(f'chunk has shape {chunk.shape}; it must be (horizon, action_dim)')
        if self.take_last and len(chunk) < self.window:
            raise ShapeError(
                f'chunk has {len(chunk)} rows but its last {self.window} are wanted; '
                'use a smaller window or a decoder with a longer horizon'
            )
        if self._plans and self._plans[0][1].shape[1] != chunk.shape[1]:
            raise ShapeError(
                f'action dimension changed from {self._plans[0][1].shape[1]} to '
                f'{chunk.shape[1]}; reset between robots'
            )
        return chunk[-self.window :] if self.take_last else chunk[: self.window]


def _shifted(plan: np.ndarray, age: float) -> np.ndarray:
    """What a plan says of the present step and those after, at most `len(plan) - 1` steps old."""
    whole = int(age)
    share = age - whole
    if share == 0.0:
        return plan[whole:]
    return (1.0 - share) * plan[whole:-1] + share * plan[whole + 1 :]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, float64."""
    shifted = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
