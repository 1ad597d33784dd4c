"""Fine-tune policy and decoders of all robots together, and write the checkpoint anew."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from univla_core.embodiment import load_embodiment

from univla_training.decoder_training import declare
from univla_training.decoder_training import default_space
from univla_training.demonstrations import Demonstrations
from univla_training.demonstrations import demonstrations
from univla_training.export import write_decoder
from univla_training.export import write_policy
from univla_training.frame_store import FrameStore
from univla_training.joint_finetuning_task import FinetuningTask
from univla_training.lam_training import labels
from univla_training.networks import fresh_head
from univla_training.networks import fresh_policy
from univla_training.pointing_beside import PointingBeside
from univla_training.policy_training import STAGE as POLICY
from univla_training.policy_training import WEIGHTS
from univla_training.pretraining import own_prompts
from univla_training.pretraining import pointing_task
from univla_training.run import TrainingRun
from univla_training.weights import load_module
from univla_training.weights import save_module

STAGE = 'finetuning'


def finetune(run: TrainingRun) -> Path:
    """Train the run's policy further, with a decoder for each robot, on codes and actions.

    UniVLA fine-tunes policy and decoder of one robot so; here one policy serves all robots.

    Returns:
        The checkpoint's folder: policy and decoders that belong together.

    Raises:
        TrainingError: If the policy or the data are not there or training fails.
    """
    section = run.recipe.finetuning
    target = run.out / STAGE / 'checkpoint'
    if run.done(STAGE):
        return target
    weights = run.require(POLICY, WEIGHTS)
    codes = labels(run)
    settings = run.settings(section)
    robots = tuple(section.robots or run.recipe.data.robots)
    train, held = run.split
    shown = {robot: _shown(run, train, robot) for robot in robots}
    kept = {
        robot: _shown(run, held, robot, shown[robot])
        for robot in robots
        if held.only([robot]).episodes
    }
    folder = run.start(STAGE)
    run.seed_torch(settings)
    network = fresh_policy(run.recipe.network)
    load_module(network, weights)
    network.to(run.device)
    heads = nn.ModuleDict({robot: _head(run, mine) for robot, mine in shown.items()})
    heads.to(run.device)
    options = {'code_weight': section.code_weight, 'code_noise': section.code_noise}
    noise = {'body_noise': run.recipe.decoder.body_noise, 'augment': section.augment}
    task = FinetuningTask(network, heads, own_prompts(), train, codes, shown, **options, **noise)
    checker = FinetuningTask(network, heads, own_prompts(), held, codes, kept, **options)
    modules: dict[str, nn.Module] = {'network': network, 'heads': heads}
    draw, loss, aim = task.draw, task.loss, None
    if section.pointing_share:
        pointing = pointing_task(run, network)
        beside = PointingBeside(task.draw, task.loss, pointing, section.pointing_share)
        modules['pointing'], draw, loss = pointing.heads, beside.draw, beside.loss
        aim = pointing.heads.aim
    result = run.fit(STAGE, modules, draw, loss, settings, measure=checker.check)
    save_module(network, folder / WEIGHTS)
    codebook = write_policy(
        target,
        network,
        run.recipe.network,
        recipe='latent',
        provenance=run.provenance(),
        pointing=aim,
    )
    for robot, mine in shown.items():
        body = load_embodiment(robot)
        kind = run.recipe.decoder.learned_together
        told = (default_space(body), mine, codebook, kind, 'fine-tuned, ')
        declaration = declare(run, body, *told)
        write_decoder(target / 'decoders' / robot, heads[robot], declaration, mine.statistics)
    episodes = {robot: mine.statistics['num_trajectories'] for robot, mine in shown.items()}
    facts = {'episodes': episodes, 'steps': result.steps, 'seconds': result.seconds}
    run.finish(STAGE, {**facts, **result.last, **checker.check()})
    return target


def _shown(
    run: TrainingRun, store: FrameStore, robot: str, like: Demonstrations | None = None
) -> Demonstrations:
    return demonstrations(
        store,
        robot,
        default_space(load_embodiment(robot)),
        proprioception=run.recipe.decoder.proprioception,
        position=run.recipe.decoder.end_effector_position,
        statistics=None if like is None else like.statistics,
    )


def _head(run: TrainingRun, shown: Demonstrations) -> nn.Module:
    recipe = run.recipe
    return fresh_head(
        recipe.network,
        recipe.decoder.learned_together,
        recipe.data.horizon,
        shown.action_dim,
        shown.body_dim,
    )
