"""Mend decoders where they fail: a policy leads astray, an expert goes on, decoders learn how."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_core.paths import checkpoint_path

from univla_training.finetuning import finetune_decoder
from univla_training.run import TrainingRun

STAGE = 'mending'
CHECKPOINT = 'checkpoint'
#: Detours of round n begin at this many scenes, times n, behind those of the demonstrations.
_SCENES_APART = 100_000

#: Robots, tasks, and what else `univla collect` is told; it raises if it fails.
Collect = Callable[[Sequence[str], Sequence[str], Sequence[str]], None]


def mend(run: TrainingRun, checkpoint: str | Path, collect: Collect) -> Path:
    """Collect detours of a checkpoint's decoders and train them further, in rounds.

    Each round begins with the decoders of the round before, so that what they still do wrong is
    shown; what is learned from are the demonstrations and the detours of all rounds. The policy
    stays as it is.

    Args:
        run: Recipe (sections `mending`, `decoder`, `data`), data and folder.
        checkpoint: Where policy and decoders come from; it is left alone.
        collect: Records episodes.

    Returns:
        Folder of a copy of the checkpoint with the new decoders.

    Raises:
        TrainingError: If the recipe asks for no rounds, collecting fails, or training does.
    """
    section, target = run.recipe.mending, run.folder(STAGE) / CHECKPOINT
    if not section.rounds:
        raise TrainingError(
            f'recipe {run.recipe.name}: mending.rounds is 0, so there is nothing to mend in; '
            'set it to 1 or more'
        )
    if run.done(STAGE):
        return target
    folder = run.start(STAGE)
    if not target.is_dir():
        shutil.copytree(checkpoint_path(checkpoint), target)
    facts = {}
    for number in range(1, section.rounds + 1):
        for robot in section.robots or run.recipe.data.robots:
            facts[f'{robot}, round {number}'] = _round(run, robot, number, target, folder, collect)
    run.finish(STAGE, {'checkpoint': str(checkpoint), 'rounds': facts})
    return target


def _round(
    run: TrainingRun, robot: str, number: int, target: Path, folder: Path, collect: Collect
) -> dict[str, float]:
    """One robot's detours and training; what is complete is not done again."""
    data = run.recipe.data
    base = load_embodiment(robot).kind == 'base'
    begin = folder / f'before{number}' / robot
    if not begin.is_dir():  # the decoder as the round found it, whatever interrupts the round
        shutil.copytree(target / 'decoders' / robot, begin)
    options = ['--episodes', str(run.recipe.mending.episodes), '--detours', str(target)]
    options += ['--seed', str(_SCENES_APART * number), '--out', str(folder / f'detours{number}')]
    collect([robot], data.base_tasks if base else data.tasks, options)
    known = [folder / f'detours{earlier}' / robot for earlier in range(1, number + 1)]
    own = dataclasses.replace(
        run,
        out=folder / f'round{number}',
        more_data=(*run.more_data, *known),
    )
    made = finetune_decoder(own, robot, str(target), decoder=str(begin))
    shutil.rmtree(target / 'decoders' / robot)
    shutil.copytree(made, target / 'decoders' / robot)
    found = own.result(f'finetune/{robot}')
    return {name: found[name] for name in ('frames', 'held_out_before', 'held_out')}
