"""The batches of a training, each drawn from nothing but seed, process and step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from univla_training.parallel import Parallel
from univla_training.trainer_settings import TrainerSettings


class Batches:
    """Endless batches from a step on, each a list of `accumulate` parts.

    With `prefetch`, so many are drawn ahead on one thread of their own.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator, int], Any],
        settings: TrainerSettings,
        parallel: Parallel,
        step: int,
    ) -> None:
        self._draw, self._settings = draw, settings
        self._process = parallel.process
        parts = settings.accumulate * parallel.processes
        self._count = max(1, settings.batch_size // parts)
        self._step = step
        self._thread = ThreadPoolExecutor(1) if settings.prefetch else None
        self._ahead: deque[Future[list[Any]]] = deque()

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def __next__(self) -> list[Any]:
        """The batch of the next step."""
        if self._thread is None:
            return self._batch(self._take())
        while len(self._ahead) <= self._settings.prefetch:
            self._ahead.append(self._thread.submit(self._batch, self._take()))
        return self._ahead.popleft().result()

    def _take(self) -> int:
        self._step += 1
        return self._step - 1

    def _batch(self, step: int) -> list[Any]:
        rng = np.random.default_rng((self._settings.seed, self._process, step))
        return [self._draw(rng, self._count) for _ in range(self._settings.accumulate)]
