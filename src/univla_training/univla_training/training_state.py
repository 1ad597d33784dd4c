"""The state of a training on disk: always one whole file that can be resumed."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import BinaryIO

import torch
from univla_core.errors import TrainingError

from univla_training.averages import WeightAverages
from univla_training.parallel import Parallel
from univla_training.trainer_settings import TrainerSettings

UNUSABLE = (KeyError, RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError)
MARGIN_BYTES = 64 * 2**20
#: Settings that may change between two runs of one training.
FREE = ('steps', 'minutes', 'save_every_s', 'log_every', 'threads', 'prefetch')


class Checkpoints:
    """Reads and writes `state.pt` of one stage."""

    def __init__(
        self, out: Path, settings: TrainerSettings, parallel: Parallel, averages: WeightAverages
    ) -> None:
        self.path = out / 'state.pt'
        self._settings = dataclasses.asdict(settings)
        self._parallel, self._averages = parallel, averages

    def check_space(self, name: str) -> None:
        """Refuse to start what could not be saved.

        Raises:
            TrainingError: Saying how much is needed.
        """
        learning = sum(p.numel() for p in self._parallel.parameters)
        copies = 2 + bool(self._averages.values)  # two moments, and the averages
        size = self._parallel.weight_bytes + 4 * learning * copies
        # The old file stands beside the new one for a moment.
        require_space(self.path.parent, 2 * size, f'{name}: checkpoints')

    def write(self, step: int, seconds: float, skipped: int) -> None:
        """Replace the file by the present state, atomically.

        Raises:
            TrainingError: If the disk is full; the file of before is untouched.
        """
        state = self._parallel.state()  # all processes have to join in
        if self._parallel.is_main:
            state |= {
                'step': step,
                'seconds': seconds,
                'skipped': skipped,
                'settings': self._settings,
                'averages': self._averages.state(),
                'torch': torch.get_rng_state(),
                'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            }
            size = self.path.stat().st_size if self.path.exists() else 0
            require_space(self.path.parent, size, f'{self.path}')
            write_atomically(self.path, lambda file: torch.save(state, file))
        self._parallel.wait()

    def read(self) -> dict[str, Any] | None:
        """Take up the file where there is one; returns its plain entries.

        Raises:
            TrainingError: If it is unusable, or of a training with other settings.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location='cpu', weights_only=True)
            self._check_settings(state['settings'])
            self._parallel.restore(state)
            self._averages.restore(state['averages'])
            torch.set_rng_state(state['torch'])
            if torch.cuda.is_available() and len(state['cuda']) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all(state['cuda'])
        except UNUSABLE as error:
            first = (str(error).splitlines() or [repr(error)])[0]
            raise TrainingError(
                f'{self.path}: cannot be resumed ({first}); it belongs to other networks or is '
                'damaged. --fresh starts this stage anew'
            ) from error
        return {key: state[key] for key in ('step', 'seconds', 'skipped')}

    def clear(self) -> None:
        """Forget an earlier training."""
        if self._parallel.is_main:
            self.path.unlink(missing_ok=True)
            self.path.with_name('history.jsonl').unlink(missing_ok=True)
        self._parallel.wait()

    def _check_settings(self, before: dict[str, Any]) -> None:
        changed = [
            f'{name} {before.get(name)} → {value}'
            for name, value in self._settings.items()
            if name not in FREE and before.get(name) != value
        ]
        if changed:
            raise TrainingError(
                f'{self.path}: was begun with other settings ({", ".join(changed)}); '
                'take those again, or start this stage anew with --fresh'
            )


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name, to the disk, then rename it over `path`.

    Raises:
        TrainingError: If that fails; `path` is as before.
    """
    draft = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open('wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        draft.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
        raise TrainingError(
            f'{path}: cannot be written ({error}), {free / 2**20:.0f} MB are free; '
            'make room and run the same command again'
        ) from error


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to go on with too little room on the disk.

    Raises:
        TrainingError: Saying how much is needed and how much there is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN_BYTES:
        raise TrainingError(
            f'{what} in {folder} need {(needed + MARGIN_BYTES) / 2**20:.0f} MB of disk, '
            f'{free / 2**20:.0f} MB are free; make room or choose another --out'
        )
