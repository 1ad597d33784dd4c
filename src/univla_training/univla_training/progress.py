"""What a training says while it runs, and what stays of it: history and curves."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn

from univla_training.curves import plot_curves
from univla_training.schedule import Clock
from univla_training.trainer_settings import TrainerSettings
from univla_training.training_state import write_atomically

QUIET_EVERY_S = 30.0


class Report:
    """Progress bar in a terminal, else a line every 30 s; rows for `history.jsonl`.

    Use as a context while training; leaving it draws the curves.
    """

    def __init__(
        self, out: Path, name: str, settings: TrainerSettings, clock: Clock, quiet: bool = False
    ) -> None:
        self._path, self._name, self._settings, self._clock = out, name, settings, clock
        self._quiet = quiet
        self.history = read_history(out / 'history.jsonl', clock.step)
        self._sums: dict[str, float] = {}
        self._count = 0
        self._said = monotonic()
        self._started, self._first = monotonic(), clock.step
        console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if console.is_terminal and not quiet:
            columns = (TextColumn('{task.description:<14}'), BarColumn())
            self._bar = Progress(*columns, TextColumn('{task.fields[text]}'), console=console)
            self._task = self._bar.add_task(name, total=1.0, text='')

    def __enter__(self) -> Report:
        self._started = monotonic()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif not self._quiet and self.history:
            self._say()
        if not self._quiet:
            plot_curves(self.history, self._path / 'curves.png', self._name)

    def add(self, figures: Mapping[str, float], rate: float) -> None:
        """Take in one step."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._count >= self._settings.log_every or self._clock.finished:
            row = {name: total / self._count for name, total in self._sums.items()}
            self._append({**row, 'rate': rate, 'samples_per_s': self._speed})
            self._sums, self._count = {}, 0
        self._show()

    def mark(self, figures: Mapping[str, float]) -> None:
        """A row of its own, for what was measured now."""
        self._append(dict(figures))

    def save(self) -> None:
        """Write the history."""
        if self._quiet:
            return
        rows = ''.join(json.dumps(row) + '\n' for row in self.history)
        write_atomically(self._path / 'history.jsonl', lambda file: file.write(rows.encode()))

    def _append(self, row: dict[str, float]) -> None:
        seconds = round(self._clock.elapsed, 2)
        self.history.append({'step': self._clock.step, 'seconds': seconds, **row})

    @property
    def _speed(self) -> float:
        steps = self._clock.step - self._first
        return steps * self._settings.batch_size / max(monotonic() - self._started, 1e-6)

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._clock.progress, text=self._line())
        elif not self._quiet and monotonic() - self._said >= QUIET_EVERY_S:
            self._say()

    def _say(self) -> None:
        self._said = monotonic()
        print(f'{self._name}: {self._line()}', file=sys.stderr, flush=True)

    def _line(self) -> str:
        row = next((row for row in reversed(self.history) if 'loss' in row), {})
        shown = [f'step {self._clock.step}', f'{100.0 * self._clock.progress:.0f} %']
        shown += [f'{key} {row[key]:.4g}' for key in ('loss', 'rate') if key in row]
        shown.append(f'{self._speed:.0f} samples/s')
        left = self._clock.remaining
        if math.isfinite(left):
            shown.append(f'{max(left, 0.0) / 60.0:.1f} min left')
        return ', '.join(shown)


def read_history(path: Path, step: int) -> list[dict[str, float]]:
    """Rows up to a step; a training that starts at 0 has none."""
    if step == 0 or not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines() if line]
    return [row for row in rows if row['step'] <= step]
