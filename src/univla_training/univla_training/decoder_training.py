"""Train the decoder of one robot on the frozen policy, and write it beside the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_decoders.declaration import DecoderDeclaration
from univla_models.univla_network import UnivlaNetwork

from univla_training.counting import counting
from univla_training.decoder_task import DecoderTask
from univla_training.decoder_task import Plans
from univla_training.decoder_task import plan_frames
from univla_training.demonstrations import Demonstrations
from univla_training.demonstrations import demonstrations
from univla_training.demonstrations import is_relative
from univla_training.export import write_decoder
from univla_training.networks import fresh_head
from univla_training.policy_training import CHECKPOINT
from univla_training.policy_training import trained_policy
from univla_training.pretraining import own_prompts
from univla_training.run import TrainingRun
from univla_training.settings import DecoderSettings

NUM_CODES = 16


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
    settings = run.settings(section)
    shown, held = _shown(run, robot, space, part, settings.seed, section)
    network = trained_policy(run)
    folder = run.start(stage)
    run.seed_torch(settings)
    kind = section.head
    head = fresh_head(
        run.recipe.network, kind, run.recipe.data.horizon, shown.action_dim, shown.body_dim
    ).to(run.device)
    tasks = [
        DecoderTask(
            head,
            _plans(run, network, part_of, folder / name),
            part_of.chunks,
            part_of.body,
            part_of.shares,
            body_noise=section.body_noise,
        )
        for part_of, name in ((shown, 'plans.npz'), (held, 'held_plans.npz'))
    ]
    rows = np.random.default_rng(0).permutation(len(held.rows))[:1024]
    result = run.fit(
        stage,
        {'head': head},
        tasks[0].draw,
        tasks[0].loss,
        settings,
        measure=lambda: {'held_out': tasks[1].check(rows)},
    )
    declaration = declare(run, embodiment, space, shown, checkpoint_codebook(run))
    write_decoder(target, head, declaration, shown.statistics)
    for name in ('plans.npz', 'held_plans.npz'):
        (folder / name).unlink(missing_ok=True)
    facts: dict[str, Any] = {'robot': robot, 'action_space': space, 'share': part}
    facts |= {'episodes': shown.statistics['num_trajectories'], 'frames': len(shown.rows)}
    facts |= {'steps': result.steps, 'seconds': result.seconds, **result.last}
    run.finish(stage, {**facts, 'held_out': tasks[1].check(rows), 'folder': str(target)})
    return target


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


def _shown(
    run: TrainingRun, robot: str, space: str, share: float, seed: int, section: DecoderSettings
) -> tuple[Demonstrations, Demonstrations]:
    """What to learn from, and held-out episodes in the same units."""
    train, held = run.split
    told: dict[str, Any] = {
        'proprioception': section.proprioception,
        'correction_weight': section.correction_weight,
        'imitate_policy': section.imitate_policy,
    }
    shown = demonstrations(train, robot, space, share=share, seed=seed, **told)
    if not held.only([robot]).episodes:  # too few to hold any out: the curve shows known ones
        held = train
    kept = demonstrations(held, robot, space, statistics=shown.statistics, **told)
    return shown, kept


def _plans(run: TrainingRun, network: UnivlaNetwork, shown: Demonstrations, path: Path) -> Plans:
    """What the policy plans on the frames; kept on disk, so that resuming does not plan again."""
    if path.is_file():
        with np.load(path) as archive:
            return Plans(**{name: archive[name] for name in ('latent', 'visual', 'codes')})
    with counting(run.console, 'planning', len(shown.rows)) as advance:
        plans = plan_frames(network, own_prompts(), run.store, shown.rows, progress=advance)
    unfinished = path.with_suffix('.part.npz')
    np.savez(unfinished, **vars(plans))
    unfinished.rename(path)
    return plans


def declare(
    run: TrainingRun,
    embodiment: Embodiment,
    space: str,
    shown: Demonstrations,
    codebook: str,
    source: str = '',
) -> DecoderDeclaration:
    """The declaration of a decoder trained in this run."""
    data, sizes = run.recipe.data, run.recipe.network
    return DecoderDeclaration(
        head=run.recipe.decoder.head,
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
        gripper='open_positive_unit' if embodiment.gripper else 'none',
        gripper_binary=embodiment.gripper is not None,
        relative=is_relative(space),
        robot=embodiment.name,
        source=f'{source}recipe {run.recipe.name}, seed {run.seed}',
    )


def checkpoint_codebook(run: TrainingRun) -> str:
    """Hash of the code vocabulary of the run's checkpoint."""
    from safetensors.torch import load_file

    from univla_training.export import codebook_of

    folder = run.out / CHECKPOINT
    return codebook_of(load_file(folder / 'model.safetensors'), folder)
