"""How far training has come, and the learning rate that belongs there."""

from __future__ import annotations

import math
from time import monotonic

from univla_training.trainer_settings import TrainerSettings


class Clock:
    """Counts steps and seconds; time between two runs does not count."""

    def __init__(self, settings: TrainerSettings) -> None:
        self._steps, self._limit = settings.steps, 60.0 * settings.minutes
        self.step = 0
        self._before = 0.0
        self._started: float | None = None

    def start(self) -> None:
        """Let time count from now."""
        self._started = monotonic()

    def advance(self) -> None:
        """One step more."""
        self.step += 1

    def restore(self, step: int, seconds: float) -> None:
        """Go on from where a checkpoint was written."""
        self.step, self._before = step, seconds

    @property
    def elapsed(self) -> float:
        """Training time so far [s]."""
        now = 0.0 if self._started is None else monotonic() - self._started
        return self._before + now

    @property
    def progress(self) -> float:
        """Share of training that is done, by steps or by time, whichever is further."""
        share = self.step / self._steps if self._steps else 1.0
        return min(1.0, max(share, self.elapsed / self._limit if self._limit else 0.0))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.progress >= 1.0

    @property
    def remaining(self) -> float:
        """Estimated time to go [s], infinite before the first step."""
        by_steps = (self._steps - self.step) * self.elapsed / self.step if self.step else math.inf
        return min(by_steps, self._limit - self.elapsed) if self._limit else by_steps


def rate_factor(settings: TrainerSettings, progress: float) -> float:
    """Share of the largest learning rate at a share of training in [0, 1].

    Warms up linearly, then follows a half cosine, stays, or drops once.
    """
    warmup = settings.warmup_share
    if progress < warmup:
        return max(progress / warmup, 0.01)  # the first step shall move, too
    if settings.schedule == 'constant':
        return 1.0
    if settings.schedule == 'step':
        return 1.0 if progress < settings.drop_at else settings.final_share
    course = (progress - warmup) / max(1.0 - warmup, 1e-9)
    half = 0.5 * (1.0 + math.cos(math.pi * min(course, 1.0)))
    return settings.final_share + (1.0 - settings.final_share) * half
