"""Frames drawn at random for training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from univla_core.errors import TrainingError

if TYPE_CHECKING:
    from univla_training.frame_store import FrameStore


class Sampler:
    """Draws frames at random: first robot and task, then a frame, uniformly.

    Args:
        store: Episodes to draw from.
        weights: Factor for a robot, a task, or `robot/task`; 1 where nothing is said, so that
            each robot and task comes equally often.
        clean: Draw only frames whose actions are worth imitating.
        space: Draw only frames with actions in that space.

    Raises:
        TrainingError: If nothing is left to draw from.
    """

    def __init__(
        self,
        store: FrameStore,
        weights: Mapping[str, float] | None = None,
        *,
        clean: bool = False,
        space: str | None = None,
    ) -> None:
        groups: dict[tuple[str, str], list[np.ndarray]] = {}
        for row in store.episodes:
            frames = np.arange(row.start, row.stop)
            if clean:
                frames = frames[np.asarray(store.clean[row.start : row.stop], dtype=bool)]
            if space is None or space in row.spaces:
                groups.setdefault(row.group, []).append(frames)
        self._frames = {group: np.concatenate(parts) for group, parts in groups.items()}
        self._frames = {group: frames for group, frames in self._frames.items() if len(frames)}
        factors = [_factor(group, weights or {}) for group in self._frames]
        if not factors or sum(factors) <= 0.0:
            raise TrainingError(
                'no frame is left to learn from: all episodes are empty, failed, kicked, or '
                'weighted 0; collect more, or widen robots and tasks'
            )
        self._shares = np.array(factors) / sum(factors)

    def __call__(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Frame indices, (count,)."""
        pools = list(self._frames.values())
        chosen = rng.choice(len(pools), size=count, p=self._shares)
        spots = rng.random(count)
        return np.array(
            [pools[g][int(spot * len(pools[g]))] for g, spot in zip(chosen, spots, strict=True)],
            dtype=np.int64,
        )

    @property
    def groups(self) -> dict[tuple[str, str], int]:
        """Number of frames that can be drawn, by robot and task."""
        return {group: len(frames) for group, frames in self._frames.items()}


def _factor(group: tuple[str, str], weights: Mapping[str, float]) -> float:
    robot, task = group
    both = weights.get(f'{robot}/{task}', 1.0)
    return weights.get(robot, 1.0) * weights.get(task, 1.0) * both
