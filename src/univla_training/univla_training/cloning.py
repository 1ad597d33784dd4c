"""Train the direct cloning baseline and write it as a checkpoint of its own."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from univla_core.embodiment import load_embodiment

from univla_training.cloning_task import CloningTask
from univla_training.decoder_training import declare
from univla_training.decoder_training import default_space
from univla_training.demonstrations import demonstrations
from univla_training.export import write_decoder
from univla_training.export import write_policy
from univla_training.networks import fresh_head
from univla_training.networks import is_told_places
from univla_training.pointing_beside import PointingBeside
from univla_training.pretraining import own_prompts
from univla_training.pretraining import pointing_task
from univla_training.pretraining import pretrained_policy
from univla_training.run import TrainingRun


def train_clone(run: TrainingRun, share: float | None = None) -> Path:
    """Train network and heads of all robots end to end on actions, from the same start.

    Args:
        run: The run, whose pretraining is complete.
        share: Share of the episodes whose actions are used; None takes the recipe's.

    Returns:
        The checkpoint's folder.

    Raises:
        TrainingError: If the pretraining or the data are not there or training fails.
    """
    section = run.recipe.cloning
    part = section.share if share is None else share
    stage = 'cloning' if part >= 1.0 else f'cloning-{100.0 * part:g}percent'
    target = run.out / stage / 'checkpoint'
    if run.done(stage):
        return target
    settings = run.settings(section)
    robots = section.robots or run.recipe.data.robots
    shown = {
        robot: demonstrations(
            run.split[0],
            robot,
            default_space(load_embodiment(robot)),
            share=part,
            seed=settings.seed,
            proprioception=run.recipe.decoder.proprioception,
            position=run.recipe.decoder.end_effector_position,
        )
        for robot in robots
    }
    run.start(stage)
    run.seed_torch(settings)
    network = pretrained_policy(run)
    pointing = pointing_task(run, network) if section.pointing_share else None
    aim = pointing.heads.aim if pointing and is_told_places(run.recipe.decoder) else None
    kind = run.recipe.decoder.learned_together
    heads = nn.ModuleDict(
        {
            robot: fresh_head(
                run.recipe.network,
                kind,
                run.recipe.data.horizon,
                mine.action_dim,
                mine.body_dim,
                None if aim is None else aim.state_dict(),
            )
            for robot, mine in shown.items()
        }
    ).to(run.device)
    if aim is not None:
        for head in heads.values():
            head.reader.aim = aim  # one for all, and like everything else it goes on learning
    shift = run.recipe.decoder.view_shift
    task = CloningTask(network, heads, own_prompts(), run.split[0], shown, shift=shift)
    modules: dict[str, nn.Module] = {'network': network, 'heads': heads}
    draw, loss = task.draw, task.loss
    if pointing is not None:
        beside = PointingBeside(task.draw, task.loss, pointing, section.pointing_share)
        modules['pointing'], draw, loss = pointing.heads, beside.draw, beside.loss
    result = run.fit(stage, modules, draw, loss, settings)
    codebook = write_policy(
        target, network, run.recipe.network, recipe='bc', provenance=run.provenance()
    )
    for robot, mine in shown.items():
        body = load_embodiment(robot)
        told = (default_space(body), mine, codebook, kind, 'direct cloning, ')
        declaration = declare(run, body, *told)
        write_decoder(target / 'decoders' / robot, heads[robot], declaration, mine.statistics)
    episodes = {robot: mine.statistics['num_trajectories'] for robot, mine in shown.items()}
    facts = {'share': part, 'episodes': episodes, 'steps': result.steps}
    run.finish(stage, {**facts, 'seconds': result.seconds, **result.last})
    return target
