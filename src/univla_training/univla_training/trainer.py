"""The training loop that every stage shares: resumable, bounded in time, safe on disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import nn
from univla_core.errors import TrainingError

from univla_training.averages import WeightAverages
from univla_training.batches import Batches
from univla_training.interrupts import Interrupts
from univla_training.parallel import Parallel
from univla_training.parameter_groups import parameter_groups
from univla_training.progress import Report
from univla_training.schedule import Clock
from univla_training.schedule import rate_factor
from univla_training.threads import torch_threads
from univla_training.trainer_settings import TrainerSettings
from univla_training.training_state import Checkpoints

__all__ = ['FitResult', 'TrainerSettings', 'fit']

Batch = TypeVar('Batch')
Draw = Callable[[np.random.Generator, int], Batch]
Loss = Callable[[Batch], tuple[Tensor, dict[str, float]]]
#: Steps in a row whose loss or gradient is not finite, before training gives up.
PATIENCE = 10


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a training stage did.

    Attributes:
        steps: Optimiser steps in all, those before a resumption too.
        seconds: Time they took [s].
        skipped: Steps left out because their loss or gradient was not finite.
        history: Rows of `history.jsonl`: `step`, `seconds`, `loss`, `rate`, what the loss reports.
    """

    steps: int
    seconds: float
    skipped: int
    history: list[dict[str, float]]

    @property
    def last(self) -> dict[str, float]:
        """The last row of the history, empty without any."""
        return self.history[-1] if self.history else {}


def fit(
    modules: Mapping[str, nn.Module],
    draw: Draw[Batch],
    loss: Loss[Batch],
    settings: TrainerSettings,
    out: Path,
    *,
    name: str,
    resume: bool = True,
    after_step: Callable[[int], None] | None = None,
    groups: Callable[[str], float] | None = None,
    measure: Callable[[], dict[str, float]] | None = None,
) -> FitResult:
    """Train what learns in `modules`, in place.

    The batch of step s is drawn by a generator made of seed, process and s alone, so training
    stopped at any step and resumed equals training in one go, bit for bit on one machine. Torch's
    own random state is kept too.

    Args:
        modules: By name; everything that changes must be inside, as all of it is saved.
        draw: (generator, samples) → batch, whatever `loss` takes. Uses no other randomness.
        loss: Batch → loss and figures to report. Calls the modules it closed over.
        settings: The stage's section of the recipe.
        out: Folder of this stage: `state.pt`, `history.jsonl`, `curves.png`.
        name: What the progress bar calls it.
        resume: Go on from `state.pt` where there is one; else it is deleted.
        after_step: Called with the number of steps done, for what gradients do not do.
        groups: Full parameter name → factor on the learning rate; 0 leaves it alone.
        measure: Figures on held-out data, asked for at every checkpoint; under `no_grad`.

    Returns:
        The result; modules hold the final (with `ema` the averaged) weights, in `eval` mode.

    Raises:
        TrainingError: If the disk is too small, `state.pt` does not fit, the loss stays
            non-finite, or a signal stopped training (the state is saved then).
    """
    with torch_threads(settings.threads):
        return _Training(
            modules, draw, loss, settings, out, name, resume, after_step, groups, measure
        ).run()


class _Training:
    """One call of `fit`."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        draw: Draw,
        loss: Loss,
        settings: TrainerSettings,
        out: Path,
        name: str,
        resume: bool,
        after_step: Callable[[int], None] | None,
        groups: Callable[[str], float] | None,
        measure: Callable[[], dict[str, float]] | None,
    ) -> None:
        self.settings, self.name = settings, name
        self.after_step, self.measure = after_step, measure
        learning = parameter_groups(modules, settings.weight_decay, groups)
        if not learning:
            raise TrainingError(f'{name}: no parameter learns; check requires_grad and groups')
        optimizer = torch.optim.AdamW(
            learning, lr=settings.learning_rate, betas=(0.9, settings.beta2)
        )
        self.parallel = Parallel(modules, loss, optimizer, settings)
        self.draw = draw
        self.averages = WeightAverages(modules, settings.ema)
        self.checkpoints = Checkpoints(out, settings, self.parallel, self.averages)
        self.clock = Clock(settings)
        self.skipped = self.failed = 0
        if resume:
            self._restore(self.checkpoints.read())
        else:
            self.checkpoints.clear()
        self.report = Report(out, name, settings, self.clock, quiet=not self.parallel.is_main)

    def run(self) -> FitResult:
        """Train to the end, or until something stops it."""
        if not self.clock.finished:
            self.checkpoints.check_space(self.name)
            self.parallel.train()
            self.clock.start()
            with Interrupts() as interrupts, self.report:
                self._loop(interrupts)
        self.averages.apply()
        self.parallel.eval()
        return FitResult(
            steps=self.clock.step,
            seconds=self.clock.elapsed,
            skipped=self.skipped,
            history=self.report.history,
        )

    def _loop(self, interrupts: Interrupts) -> None:
        saved = monotonic()
        with Batches(self.draw, self.settings, self.parallel, self.clock.step) as batches:
            while not self.parallel.any(self.clock.finished):
                self._step(next(batches))
                stopped = self.parallel.any(interrupts.asked)
                due = monotonic() - saved >= self.settings.save_every_s
                if stopped or self.parallel.any(due):
                    self._save()
                    saved = monotonic()
                if stopped:
                    raise TrainingError(
                        f'{self.name} was stopped at step {self.clock.step}; the same command '
                        f'goes on from {self.checkpoints.path}'
                    )
        self._save()

    def _step(self, parts: list[Any]) -> None:
        factor = rate_factor(self.settings, self.clock.progress)
        rate = self.parallel.set_rate(self.settings.learning_rate * factor)
        value, figures = self.parallel.backward(parts)
        norm = self.parallel.clip(self.settings.gradient_clip)
        sound = self.parallel.all(math.isfinite(value) and math.isfinite(norm))
        self.parallel.step(sound)
        self.clock.advance()
        if not sound:
            self._note_failure(value, norm)
            return
        self.failed = 0
        self.averages.update()
        if self.after_step is not None:
            self.after_step(self.clock.step)
        self.report.add({'loss': value, 'gradient': norm, **figures}, rate)

    def _note_failure(self, value: float, norm: float) -> None:
        self.skipped += 1
        self.failed += 1
        if self.failed >= PATIENCE:
            raise TrainingError(
                f'{self.name}: loss {value} and gradient norm {norm} were not finite in '
                f'{PATIENCE} steps in a row, up to step {self.clock.step}; lower learning_rate, '
                f'or look for broken samples. {self.checkpoints.path} is from before'
            )

    def _save(self) -> None:
        if self.measure is not None:
            self.parallel.eval()
            with torch.no_grad(), self.averages.applied():
                self.report.mark(self.measure())
            self.parallel.train()
        self.checkpoints.write(self.clock.step, self.clock.elapsed, self.skipped)
        self.report.save()

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is not None:
            self.clock.restore(state['step'], state['seconds'])
            self.skipped = state['skipped']
