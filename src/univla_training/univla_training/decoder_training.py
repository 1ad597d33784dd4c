"""Train the decoder of one robot on the frozen policy, and write it beside the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from univla_core.action_space import action_space
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import ServoHead
from univla_models.univla_network import UnivlaNetwork

from univla_training.counting import counting
from univla_training.decoder_task import DecoderTask
from univla_training.decoder_task import Plans
from univla_training.decoder_task import kept_plans
from univla_training.decoder_task import plan_frames
from univla_training.demonstrations import Demonstrations
from univla_training.demonstrations import demonstrations
from univla_training.demonstrations import is_relative
from univla_training.export import checkpoint_codebook
from univla_training.export import write_decoder
from univla_training.frame_store import FrameStore
from univla_training.networks import fresh_head
from univla_training.networks import pointing_weights
from univla_training.policy_training import CHECKPOINT
from univla_training.policy_training import trained_policy
from univla_training.pretraining import own_prompts
from univla_training.prompting import Prompts
from univla_training.run import TrainingRun
from univla_training.servo_calibration import Questions
from univla_training.servo_calibration import calibrate_servo
from univla_training.servo_calibration import questions
from univla_training.settings import DecoderSettings

NUM_CODES = 16
#: What the policy plans on frames that are trained on, and on others; kept to resume with.
PLANS = ('plans.npz', 'held_plans.npz')


def train_decoder(
    run: TrainingRun, robot: str, action_space: str | None = None, share: float | None = None
) -> Path:
    """Train one decoder.

    Args:
        run: The run, whose policy is complete.
        robot: Whose decoder.
        action_space: Of its chunks; None takes `eef_pose` for arms, `base_twist` for bases.
        share: Share of the episodes whose action labels are used; None takes the recipe's.

    Returns:
        The decoder's folder: in the checkpoint for the default space and all labels, else under
        `decoder/` in the run.

    Raises:
        TrainingError: If the policy or the data are not there or training fails.
    """
    embodiment = load_embodiment(robot)
    section = run.recipe.decoder
    space = action_space or default_space(embodiment)
    part = section.share if share is None else share
    stage = f'decoder/{variant(embodiment, space, part)}'
    target = decoder_folder(run, embodiment, space, part)
    if run.done(stage):
        return target
    kind = fitting_head(section, embodiment, space)
    settings = run.settings(section)
    shown, held = shown_and_held(run.split, robot, space, part, settings)
    network = trained_policy(run)
    folder = run.start(stage)
    run.seed_torch(settings)
    head = fresh_head(
        run.recipe.network,
        kind,
        run.recipe.data.horizon,
        shown.action_dim,
        shown.body_dim,
        pointing_weights(run.out / CHECKPOINT, section),
    ).to(run.device)
    planner = Planner(network, own_prompts(), run.store)
    figures = fit_head(run, stage, head, planner, shown, held, settings)
    codebook = checkpoint_codebook(run.out / CHECKPOINT)
    declaration = declare(run, embodiment, space, shown, codebook, kind)
    write_decoder(target, head, declaration, shown.statistics)
    for name in PLANS:
        (folder / name).unlink(missing_ok=True)
    facts: dict[str, Any] = {'robot': robot, 'action_space': space, 'share': part}
    facts |= {'episodes': shown.statistics['num_trajectories'], 'frames': len(shown.rows)}
    run.finish(stage, {**facts, **figures, 'folder': str(target)})
    return target


@dataclass(frozen=True)
class Planner:
    """A frozen policy, its tokenizer, and the frames that it plans on."""

    network: UnivlaNetwork
    prompts: Prompts
    store: FrameStore


def fit_head(
    run: TrainingRun,
    stage: str,
    head: DecoderHead,
    planner: Planner,
    shown: Demonstrations,
    held: Demonstrations,
    settings: DecoderSettings,
) -> dict[str, Any]:
    """Train a head on what the policy plans, in place.

    The plans stay in the folder of the stage, as `PLANS`, for resuming.

    Returns:
        Figures for the result: steps, seconds, last losses, and `held_out` with the error of the
        head as it came, `held_out_before`.

    Raises:
        TrainingError: If training fails.
    """
    folder = run.folder(stage)
    tasks = [
        DecoderTask(
            head,
            _plans(run, planner, part, folder / name, views, settings.view_shift),
            part.chunks,
            part.body,
            part.shares,
            body_noise=settings.body_noise,
        )
        for part, name, views in zip((shown, held), PLANS, (settings.views, 1), strict=True)
    ]
    if isinstance(head, ServoHead):
        head.reader.every_direction = settings.every_direction
        picture = folder / 'camera.png'
        found = calibrate_servo(head, tasks[0].latent[0], shown, planner.store, picture)
        run.console.print(f'{found}, drawn in {picture}', highlight=False)
        if not head.reader.knows_tasks:  # what they mean to a head that goes on must stay
            _tell_tasks(run, head, planner, questions(shown, planner.store))
    rows = np.random.default_rng(0).permutation(len(held.rows))[:1024]
    before = tasks[1].check(rows)
    result = run.fit(
        stage,
        {'head': head},
        tasks[0].draw,
        tasks[0].loss,
        settings,
        measure=lambda: {'held_out': tasks[1].check(rows)},
    )
    figures = {'steps': result.steps, 'seconds': result.seconds, **result.last}
    return {**figures, 'held_out_before': before, 'held_out': tasks[1].check(rows)}


def fitting_head(section: DecoderSettings, embodiment: Embodiment, space: str) -> str:
    """Kind of head for an action space.

    Raises:
        TrainingError: If the recipe's kind cannot act there.
    """
    if section.head == 'servo' and not action_space(space).cartesian:
        raise TrainingError(
            f'section decoder: a servo head moves an end effector, and {space} of '
            f'{embodiment.name} is no end-effector space; set head: query'
        )
    return section.head


def _tell_tasks(run: TrainingRun, head: ServoHead, planner: Planner, asked: Questions) -> None:
    """Show a head how the policy's plans differ by the task that it is asked for."""
    if len(np.unique(asked.tasks)) < 2:
        return
    with counting(run.console, 'asking', len(asked.rows)) as advance:
        plans = plan_frames(
            planner.network,
            planner.prompts,
            planner.store,
            asked.rows,
            instructions=asked.instructions,
            visual_tokens=False,
            progress=advance,
        )
    head.reader.tell_tasks(
        torch.from_numpy(plans.latent[0]).float(), torch.from_numpy(asked.tasks)
    )


def default_space(embodiment: Embodiment) -> str:
    """Action space of a robot's decoder where nobody says otherwise."""
    return 'base_twist' if embodiment.kind == 'base' else 'eef_pose'


def variant(embodiment: Embodiment, space: str, share: float) -> str:
    """Name of a decoder: the robot, and what is not the default."""
    name = embodiment.name
    if space != default_space(embodiment):
        name += f'-{space}'
    return name if share >= 1.0 else f'{name}-{100.0 * share:g}percent'


def decoder_folder(run: TrainingRun, embodiment: Embodiment, space: str, share: float) -> Path:
    """Where a decoder is written."""
    return run.out / CHECKPOINT / 'decoders' / variant(embodiment, space, share)


def shown_and_held(
    split: tuple[FrameStore, FrameStore],
    robot: str,
    space: str,
    share: float,
    section: DecoderSettings,
    *,
    statistics: Mapping[str, Any] | None = None,
) -> tuple[Demonstrations, Demonstrations]:
    """What to learn from, and held-out episodes in the same units; the same where there are none.

    Args:
        split: Episodes to learn from and others.
        robot: Whose.
        space: Action space.
        share: Share of the episodes to learn from whose labels are used.
        section: How; its seed decides which.
        statistics: As `demonstrations` takes them.

    Raises:
        TrainingError: If nothing is left to learn from.
    """
    train, held = split
    told: dict[str, Any] = {
        'proprioception': section.proprioception,
        'position': section.end_effector_position,
        'correction_weight': section.correction_weight,
        'imitate_policy': section.imitate_policy,
    }
    shown = demonstrations(
        train, robot, space, share=share, seed=section.seed, statistics=statistics, **told
    )
    try:
        kept = demonstrations(held, robot, space, statistics=shown.statistics, **told)
    except TrainingError:  # too few to hold any out: the curve shows known ones
        kept = demonstrations(train, robot, space, statistics=shown.statistics, **told)
    return shown, kept


def _plans(
    run: TrainingRun,
    planner: Planner,
    shown: Demonstrations,
    path: Path,
    views: int,
    shift: float,
) -> Plans:
    """What the policy plans on the frames, from disk if it did so before."""

    def make() -> Plans:
        with counting(run.console, 'planning', views * len(shown.rows)) as advance:
            return plan_frames(
                planner.network,
                planner.prompts,
                planner.store,
                shown.rows,
                views=views,
                shift=shift,
                progress=advance,
            )

    return kept_plans(path, (views, len(shown.rows), shift), make)


def declare(
    run: TrainingRun,
    embodiment: Embodiment,
    space: str,
    shown: Demonstrations,
    codebook: str,
    kind: str,
    source: str = '',
) -> DecoderDeclaration:
    """The declaration of a decoder trained in this run, whose head is of some kind."""
    data, sizes = run.recipe.data, run.recipe.network
    return DecoderDeclaration(
        head=kind,
        horizon=data.horizon,
        action_dim=shown.action_dim,
        action_space=space,
        names=embodiment.action_names(space),
        step_duration_s=1.0 / data.rate_hz,
        num_heads=sizes.head.heads,
        normalisation='bounds_q99',
        unnorm_key=embodiment.name,
        codebook=codebook,
        num_codes=NUM_CODES,
        proprioception_dim=shown.body_dim,
        proprioception_normalisation='mean_std' if shown.body_dim else 'none',
        end_effector_position=shown.position,
        gripper='open_positive_unit' if embodiment.gripper else 'none',
        gripper_binary=embodiment.gripper is not None,
        relative=is_relative(space),
        temporal_ensembling=is_relative(space),
        robot=embodiment.name,
        source=f'{source}recipe {run.recipe.name}, seed {run.seed}',
    )
