"""The stages in their order: what each needs before it, and what is left to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_core.paths import checkpoint_path

from univla_training.card import write_card
from univla_training.run import TrainingRun

CHECKPOINT = 'checkpoint'


def run_pretraining(run: TrainingRun) -> None:
    """Stage `pretraining`."""
    from univla_training.pretraining import pretrain

    _stage(run, 'pretraining', lambda: pretrain(run))


def run_lam(run: TrainingRun, stage: int) -> None:
    """Stage `lam1` or `lam2`."""
    from univla_training.lam_training import train_lam

    _check_robots(run)
    _stage(run, f'lam{stage}', lambda: train_lam(run, stage))


def run_policy(run: TrainingRun) -> None:
    """Stage `policy`."""
    from univla_training.policy_training import train_policy

    _check_robots(run)
    _stage(run, 'policy', lambda: train_policy(run))


def run_decoder(run: TrainingRun, robot: str, action_space: str | None, share: float) -> None:
    """Stage `decoder/<robot>`, in an action space and with a share of the labels.

    Raises:
        TrainingError: If the robot is unknown, has no episodes, or not in that action space.
    """
    from univla_training.decoder_training import default_space
    from univla_training.decoder_training import train_decoder
    from univla_training.lora_decoder_training import train_lora_decoder

    embodiment = load_embodiment(robot)
    space = action_space or default_space(embodiment)
    embodiment.action_names(space)  # refuses a space that the robot does not take
    if len(run.store.require(robot, space).episodes) < 2:
        raise TrainingError(f'{run.data}: one episode of {robot} is too few; collect more')
    if run.recipe.decoder.lora_rank:
        _stage(
            run,
            f'policy and decoder of {robot}',
            lambda: train_lora_decoder(run, embodiment, space, share),
        )
    else:
        _stage(run, f'decoder of {robot}', lambda: train_decoder(run, robot, space, share))


def run_finetuning(
    run: TrainingRun,
    robot: str,
    checkpoint: str,
    decoder: str,
    action_space: str | None,
    share: float,
) -> None:
    """Stage `finetune/<robot>`: a decoder for a finished checkpoint, its own further or a new one.

    Raises:
        TrainingError: As `finetune_decoder`.
    """
    from univla_training.finetuning import finetune_decoder

    def train() -> None:
        folder = finetune_decoder(
            run, robot, checkpoint, decoder=decoder, action_space=action_space, share=share
        )
        known = run.result(f'finetune/{robot}')
        run.console.print(
            f'{known["frames"]} frames, {known["correction_frames"]} of them corrections; error '
            f'{known["held_out_before"]:.4f} → {known["held_out"]:.4f}; try it: ./univla eval '
            f'--robot {robot} --checkpoint {checkpoint} --decoder {folder}',
            highlight=False,
            soft_wrap=True,
        )

    _stage(run, f'decoder of {robot} for {checkpoint}', train)


def run_joint_finetuning(run: TrainingRun) -> None:
    """Stage `finetuning`: policy and decoders of all robots."""
    from univla_training.joint_finetuning import finetune

    _check_robots(run)
    _stage(run, 'finetuning', lambda: finetune(run))


def run_mending(run: TrainingRun, checkpoint: str) -> Path:
    """Stage `mending`, of the run's own checkpoint where none is named.

    Raises:
        TrainingError: As `mend`.
    """
    from univla_training.mending import mend

    def collect(robots: Sequence[str], tasks: Sequence[str], options: Sequence[str]) -> None:
        _collect(run, robots, tasks, options)

    own = run.folder('finetuning') if run.done('finetuning') else run.out
    source = checkpoint or str(own / CHECKPOINT)
    _stage(run, 'mending', lambda: mend(run, source, collect))
    return run.folder('mending') / CHECKPOINT


def run_looks(run: TrainingRun, checkpoint: str) -> Path:
    """Stage `looks`, of the run's own checkpoint where none is named.

    Raises:
        TrainingError: As `train_looks`.
    """
    from univla_training.look_training import train_looks

    own = next((stage for stage in ('mending', 'finetuning') if run.done(stage)), '')
    source = checkpoint or str(run.folder(own) / CHECKPOINT if own else run.out / CHECKPOINT)
    _stage(run, 'looks', lambda: train_looks(run, source))
    return run.folder('looks') / CHECKPOINT


def run_readout(run: TrainingRun, checkpoint: str) -> Path:
    """Stage `readout`, of a checkpoint.

    Raises:
        TrainingError: As `train_readout`.
    """
    from univla_training.readout_training import train_readout

    _stage(run, 'readout', lambda: train_readout(run, checkpoint))
    return run.folder('readout') / CHECKPOINT


def run_cloning(run: TrainingRun, share: float) -> None:
    """Stage `cloning`, with a share of the labels."""
    from univla_training.cloning import train_clone

    _check_robots(run)
    _stage(run, 'cloning', lambda: train_clone(run, share))


def run_uniact(run: TrainingRun) -> None:
    """Stages `uniact_pretraining` and `uniact`."""
    from univla_training.uniact_pretraining import pretrain_uniact
    from univla_training.uniact_training import train_uniact

    _check_robots(run)
    _stage(run, 'uniact_pretraining', lambda: pretrain_uniact(run))
    _stage(run, 'uniact', lambda: train_uniact(run))


def run_uniact_decoder(
    run: TrainingRun,
    robot: str,
    action_space: str | None,
    share: float,
    head: str = '',
    checkpoint: str = '',
) -> None:
    """Stage `uniact_decoder/<robot>`: fast adaptation.

    Raises:
        TrainingError: If the robot is unknown, has no episodes, or not in that action space.
    """
    from univla_training.uniact_decoder_training import train_uniact_decoder

    folder = checkpoint_path(checkpoint) if checkpoint else None
    if action_space:
        load_embodiment(robot).action_names(action_space)
    if len(run.store.require(robot, action_space).episodes) < 2:
        raise TrainingError(f'{run.data}: one episode of {robot} is too few; collect more')
    _stage(
        run,
        f'decoder of {robot}',
        lambda: train_uniact_decoder(
            run, robot, action_space, share, head=head or None, checkpoint=folder
        ),
    )


def run_world_model(run: TrainingRun) -> None:
    """Stages `unified_vision`, `unified_pretraining` and `unified_world_model`."""
    from univla_training.unified_pretraining import pretrain_unified
    from univla_training.unified_training import train_world_model
    from univla_training.unified_vision import train_vision

    _check_robots(run)
    _stage(run, 'unified_vision', lambda: train_vision(run))
    _stage(run, 'unified_pretraining', lambda: pretrain_unified(run))
    _stage(run, 'unified_world_model', lambda: train_world_model(run))


def run_unified(run: TrainingRun) -> None:
    """Stage `unified`."""
    from univla_training.unified_training import train_unified

    _check_robots(run)
    _stage(run, 'unified', lambda: train_unified(run))


def run_card(run: TrainingRun, results: Path | None = None) -> Path:
    """Write the model card beside the run's checkpoint: the mended one, else the fine-tuned one.

    Raises:
        TrainingError: If there is no checkpoint yet.
    """
    from univla_training.uniact_training import uniact_card
    from univla_training.unified_training import unified_card

    for stage, write in (('uniact', uniact_card), ('unified', unified_card)):
        if run.done(stage):
            return write(run, results)
    folder = run.out / CHECKPOINT
    for stage in ('looks', 'mending', 'finetuning'):
        if run.done(stage):
            folder = run.folder(stage) / CHECKPOINT
            break
    if not (folder / 'config.json').is_file():
        raise TrainingError(
            f'{run.out}: no checkpoint yet; run `./univla train policy`, `train uniact` or '
            '`train unified` first'
        )
    return write_card(folder, run, title=f'UniVLA, recipe {run.recipe.name}', results=results)


def run_all(run: TrainingRun, *, collect: bool = True) -> None:
    """Every stage in order, from no data to a checkpoint with its card."""
    started = monotonic()
    if collect:
        collect_missing(run)
    run_pretraining(run)
    for stage in (1, 2):
        run_lam(run, stage)
    run_policy(run)
    if run.recipe.finetuning.steps:
        run_joint_finetuning(run)
    else:
        for robot in run.recipe.data.robots:
            run_decoder(run, robot, None, run.recipe.decoder.share)
    if run.recipe.mending.rounds:
        run_mending(run, '')
    if run.recipe.looks.steps:
        run_looks(run, '')
    card = run_card(run)
    minutes = (monotonic() - started) / 60.0
    run.console.print(f'{card.parent} is complete after {minutes:.1f} min', highlight=False)


def collect_missing(run: TrainingRun) -> None:
    """Record the episodes that the recipe asks for and the data folder lacks.

    Raises:
        TrainingError: If recording fails.
    """
    data = run.recipe.data
    bases = [robot for robot in data.robots if load_embodiment(robot).kind == 'base']
    arms = [robot for robot in data.robots if robot not in bases]
    for robots, tasks in ((arms, data.tasks), (bases, data.base_tasks)):
        if robots and tasks:
            wanted = ['--episodes', str(data.episodes), '--out', str(run.data)]
            _collect(run, robots, tasks, wanted)


def _collect(
    run: TrainingRun, robots: Sequence[str], tasks: Sequence[str], options: Sequence[str]
) -> None:
    command = [sys.executable, '-m', 'univla_ros.cli', 'collect']  # ours may not import it
    command += ['--robot', ','.join(robots), '--task', ','.join(tasks), *options]
    if run.workers:
        command += ['--workers', str(run.workers)]
    if subprocess.run(command, check=False).returncode:
        raise TrainingError(f'`{" ".join(command[2:])}` failed; its message stands above')


def _check_robots(run: TrainingRun) -> None:
    for robot in run.recipe.data.robots:
        run.store.require(robot)


def _stage(run: TrainingRun, name: str, train: Callable[[], object]) -> None:
    """Train a stage, or find it complete; says how long it took."""
    started = monotonic()
    train()
    run.console.print(f'{name}: {(monotonic() - started) / 60.0:.1f} min', highlight=False)
