"""Stages that change one part of a finished checkpoint, in a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from univla_core.errors import TrainingError
from univla_core.paths import checkpoint_path
from univla_models.univla import UnivlaPolicy

from univla_training.finetuning import univla_policy
from univla_training.run import TrainingRun
from univla_training.trainer_settings import TrainerSettings

#: Name of the copy in the folder of the stage.
CHECKPOINT = 'checkpoint'


@dataclass(frozen=True, kw_only=True)
class CheckpointStage:
    """What such a stage begins with.

    Attributes:
        source: Folder of the checkpoint, which stays as it is.
        target: Folder of the changed copy.
        policy: The policy of the checkpoint.
    """

    source: Path
    target: Path
    policy: UnivlaPolicy

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """A copy of the checkpoint to change; becomes the target, whole or not at all."""
        unfinished = self.target.with_name(f'.{self.target.name}.part')
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(self.source, unfinished)
        yield unfinished
        shutil.rmtree(self.target, ignore_errors=True)
        unfinished.rename(self.target)


def open_stage(
    run: TrainingRun, name: str, checkpoint: str, section: TrainerSettings
) -> CheckpointStage:
    """Open the checkpoint that a stage shall change.

    Args:
        run: The training run.
        name: Of the stage and of its section in the recipe.
        checkpoint: Folder of the checkpoint, or its name in `checkpoints/`.
        section: The recipe's.

    Raises:
        TrainingError: If the recipe has no such stage, the checkpoint is what the stage itself
            makes, or was not made by `univla train`.
        UnivlaError: If the checkpoint cannot be loaded.
    """
    source, target = checkpoint_path(checkpoint), run.folder(name) / CHECKPOINT
    if source.resolve() == target.resolve():
        raise TrainingError(f'{source}: would be replaced by what is trained from it')
    if not section.steps:
        raise TrainingError(
            f'recipe {run.recipe.name!r} trains no {name}: `steps` of its section `{name}` is 0; '
            'choose another --recipe, such as tiny'
        )
    policy = univla_policy(source, str(run.device))
    return CheckpointStage(source=source, target=target, policy=policy)
