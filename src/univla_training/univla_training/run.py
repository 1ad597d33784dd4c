"""One training run: what every stage is given, and where it leaves its result."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any
from typing import TypeVar

import numpy as np
import torch
import yaml
from rich.console import Console
from torch import Tensor
from torch import nn
from univla_core.errors import TrainingError
from univla_models.device import resolve_device

from univla_training.frame_store import FrameStore
from univla_training.recipe import Recipe
from univla_training.trainer import FitResult
from univla_training.trainer import fit
from univla_training.trainer_settings import TrainerSettings
from univla_training.training_state import write_atomically

SettingsT = TypeVar('SettingsT', bound=TrainerSettings)
#: Stages and the command that makes each.
COMMANDS = {
    'pretraining': 'train pretrain',
    'lam1': 'train lam --stage 1',
    'lam2': 'train lam --stage 2',
    'policy': 'train policy',
    'decoder': 'train decoder --robot …',
    'finetuning': 'train finetune',
    'mending': 'train mend',
    'looks': 'train looks',
    'readout': 'train readout',
    'cloning': 'train bc',
    'uniact_pretraining': 'train uniact',
    'uniact': 'train uniact',
    'unified_vision': 'train world-model',
    'unified_pretraining': 'train world-model',
    'unified_world_model': 'train world-model',
    'unified': 'train unified',
}
RESULT = 'result.json'


@dataclass(kw_only=True)
class TrainingRun:
    """A folder that fills with the results of the stages.

    Attributes:
        recipe: Sizes and settings.
        out: Folder of the run.
        data: Where recorded episodes are: a folder searched at all depths, a bag, or an exported
            data set.
        more_data: Further such places.
        seed: Seed of the run; each stage's own seed is added to it.
        device: Where networks live.
        minutes: Longest time of each stage [min], over the recipe's; None takes the recipe's.
        resume: Go on with stages that were begun, and leave finished ones as they are.
        cache: Folder of the arrays made of the episodes.
        workers: Processes that make them; 0 takes one for each core.
        console: Where stages may say something.
        commands: Command lines that led here, for the model card.
    """

    recipe: Recipe
    out: Path
    data: Path = Path('data')
    more_data: tuple[Path, ...] = ()
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device('cpu'))
    minutes: float | None = None
    resume: bool = True
    cache: Path = Path('out/cache/frames')
    workers: int = 0
    console: Console = field(default_factory=lambda: Console(stderr=True))
    commands: tuple[str, ...] = ()

    @cached_property
    def store(self) -> FrameStore:
        """Frames of all episodes, cut for the recipe's picture size; built at first use.

        Raises:
            TrainingError: If the episodes are unusable.
        """
        from univla_training.cache import build_store

        return build_store(
            self.places,
            self.cache,
            self.recipe.data,
            self.recipe.network.image_side,
            workers=self.workers,
            console=self.console,
        )

    @property
    def places(self) -> tuple[Path, ...]:
        """Everywhere that recorded episodes are looked for."""
        return (self.data, *self.more_data)

    @cached_property
    def split(self) -> tuple[FrameStore, FrameStore]:
        """Episodes to train on and episodes to validate on; the same for every stage and seed."""
        return self.store.split(self.recipe.data.validation_share)

    @property
    def is_main(self) -> bool:
        """Whether this process is the only one or the first of several."""
        return int(os.environ.get('RANK', '0')) == 0

    def folder(self, stage: str) -> Path:
        """Folder of a stage or of one of its variants (`decoder/widowx`)."""
        return self.out / stage

    def settings(self, section: SettingsT, **changes: Any) -> SettingsT:
        """A section of the recipe with this run's seed and time limit."""
        if self.minutes is not None:
            changes.setdefault('minutes', self.minutes)
        return dataclasses.replace(section, seed=self.seed + section.seed, **changes)

    def seed_torch(self, settings: TrainerSettings) -> None:
        """Seed torch, before a stage makes fresh weights."""
        torch.manual_seed(settings.seed)

    def fit(
        self,
        stage: str,
        modules: Mapping[str, nn.Module],
        draw: Callable[[np.random.Generator, int], Any],
        loss: Callable[[Any], tuple[Tensor, dict[str, float]]],
        settings: TrainerSettings,
        **options: Any,
    ) -> FitResult:
        """`trainer.fit` in the folder of a stage; `options` are its keyword arguments."""
        options.setdefault('name', stage)
        options.setdefault('resume', self.resume)
        return fit(modules, draw, loss, settings, self.folder(stage), **options)

    def done(self, stage: str) -> bool:
        """Whether the stage has a result that shall be kept."""
        return self.resume and (self.folder(stage) / RESULT).is_file()

    def finish(self, stage: str, result: Mapping[str, Any]) -> None:
        """Note that a stage is complete: figures and provenance in `result.json`."""
        document = {'stage': stage, **result, 'provenance': self.provenance()}
        text = json.dumps(document, indent=1, default=str)
        path = self.folder(stage) / RESULT
        if self.is_main:
            write_atomically(path, lambda file: file.write(text.encode()))

    def start(self, stage: str) -> Path:
        """Folder of a stage that begins now; without `resume` it is emptied."""
        folder = self.folder(stage)
        if not self.resume and folder.exists() and self.is_main:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def result(self, stage: str) -> dict[str, Any]:
        """What `finish` noted.

        Raises:
            TrainingError: If the stage is not complete; the command that makes it is named.
        """
        path = self.folder(stage) / RESULT
        if not path.is_file():
            command = COMMANDS.get(stage.split('/')[0].split('-')[0], 'train')
            raise TrainingError(
                f'{self.folder(stage)}: stage {stage!r} is not there or not complete; run '
                f'`./univla {command} --out {self.out}` first'
            )
        return json.loads(path.read_text(encoding='utf-8'))

    def require(self, stage: str, file: str) -> Path:
        """A file that a complete stage left.

        Raises:
            TrainingError: If the stage is not complete or the file is gone.
        """
        self.result(stage)
        path = self.folder(stage) / file
        if not path.exists():
            raise TrainingError(f'{path}: is missing; train stage {stage!r} anew with --fresh')
        return path

    def provenance(self) -> dict[str, Any]:
        """Recipe, seed, commands, versions: what a result can be made again from."""
        return {
            'recipe': self.recipe.name,
            'seed': self.seed,
            'minutes': self.minutes,
            'data': ', '.join(map(str, self.places)),
            'device': str(self.device),
            'commands': list(self.commands),
            'versions': {
                'python': platform.python_version(),
                **{name: _version(name) for name in ('torch', 'transformers', 'numpy', 'mujoco')},
            },
        }


def open_run(recipe: Recipe, out: Path, *, device: str = 'auto', **options: Any) -> TrainingRun:
    """A run whose folder says which recipe it was made with.

    Args:
        recipe: Sizes and settings.
        out: Folder of the run.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`; of several processes each takes its own.
        options: As the attributes of `TrainingRun`.

    Raises:
        TrainingError: If the folder holds a run with other network sizes.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / 'recipe.yaml'
    sizes = dataclasses.asdict(recipe.network)
    if path.is_file():
        before = yaml.safe_load(path.read_text(encoding='utf-8')).get('network')
        if before != sizes:
            raise TrainingError(
                f'{path}: this run was begun with other network sizes; choose another --out'
            )
    text = yaml.safe_dump(recipe.document(), sort_keys=False)
    write_atomically(path, lambda file: file.write(text.encode()))
    local = os.environ.get('LOCAL_RANK')
    if device == 'auto' and local is not None and torch.cuda.is_available():
        device = f'cuda:{local}'
    options.setdefault('commands', (' '.join(['./univla', *sys.argv[1:]]),))
    return TrainingRun(recipe=recipe, out=out, device=resolve_device(device), **options)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return 'absent'
