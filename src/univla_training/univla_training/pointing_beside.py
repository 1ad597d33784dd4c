"""Go on pointing while learning something else, so that words keep their places in the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from univla_training.pointing_task import PointingBatch
from univla_training.pointing_task import PointingTask

#: What of the pointing is reported.
_REPORTED = ('last_off', 'last_right')


class PointingBeside:
    """A task whose batches hold a share of questions about rendered scenes.

    Vision-language-action models are commonly trained on their robot data and on the data of
    their vision-language model together; here the pointing stands in for the latter.

    Args:
        draw: Of the task itself, (generator, samples) → batch.
        loss: Of the task itself.
        pointing: The questions.
        share: Share of each batch.
        weight: Weight of the pointing's loss.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator, int], Any],
        loss: Callable[[Any], tuple[Tensor, dict[str, float]]],
        pointing: PointingTask,
        share: float,
        weight: float = 1.0,
    ) -> None:
        self._draw, self._loss, self._pointing = draw, loss, pointing
        self._share, self._weight = share, weight

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Any, PointingBatch]:
        """A random batch of both."""
        asked = max(1, round(self._share * count))
        return self._draw(rng, max(1, count - asked)), self._pointing.draw(rng, asked)

    def loss(self, batch: tuple[Any, PointingBatch]) -> tuple[Tensor, dict[str, float]]:
        """Sum of both losses; figures of the task itself and how well it points."""
        own, facts = self._loss(batch[0])
        pointing, more = self._pointing.loss(batch[1])
        facts = {'own': float(own.detach()), **facts}
        return own + self._weight * pointing, facts | {name: more[name] for name in _REPORTED}
