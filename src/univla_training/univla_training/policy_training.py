"""Train the policy on the labels of the latent action model, and write its checkpoint."""

from __future__ import annotations

import numpy as np
from torch import nn
from univla_models.univla_network import UnivlaNetwork

from univla_training.export import write_policy
from univla_training.lam_training import labels
from univla_training.networks import fresh_policy
from univla_training.pointing_beside import PointingBeside
from univla_training.policy_task import PolicyTask
from univla_training.pretraining import frozen
from univla_training.pretraining import half_precision
from univla_training.pretraining import own_prompts
from univla_training.pretraining import pointing_task
from univla_training.pretraining import pretrained_policy
from univla_training.run import TrainingRun
from univla_training.weights import load_module
from univla_training.weights import save_module

WEIGHTS = 'network.safetensors'
STAGE = 'policy'
CHECKPOINT = 'checkpoint'
#: Held-out frames that the curves show.
_CHECKED = 512


def train_policy(run: TrainingRun) -> None:
    """Train on every robot's clean frames; leave weights and a checkpoint without decoders.

    Raises:
        TrainingError: If a stage before is not complete or training fails.
    """
    if run.done(STAGE):
        return
    codes = labels(run)
    folder = run.start(STAGE)
    settings = run.settings(run.recipe.policy)
    run.seed_torch(settings)
    network = pretrained_policy(run)
    train, held = (part.only(run.recipe.policy.robots) for part in run.split)
    task = PolicyTask(network, own_prompts(), train, codes, augment=run.recipe.policy.augment)
    checker = PolicyTask(network, own_prompts(), held, codes, augment=False)
    modules: dict[str, nn.Module] = {'network': network}
    draw, loss, aim = task.draw, task.loss, None
    section = run.recipe.policy
    if section.pointing_share:
        pointing = pointing_task(run, network)
        beside = PointingBeside(
            task.draw, task.loss, pointing, section.pointing_share, section.pointing_weight
        )
        modules['heads'], draw, loss = pointing.heads, beside.draw, beside.loss
        aim = pointing.heads.aim
    rows = _clean_rows(held.frames[np.asarray(held.clean[held.frames], dtype=bool)])
    result = run.fit(
        STAGE,
        modules,
        draw,
        loss,
        settings,
        measure=lambda: checker.check(rows),
    )
    save_module(network, folder / WEIGHTS)
    write_policy(
        run.out / CHECKPOINT,
        network,
        run.recipe.network,
        recipe='latent',
        provenance=run.provenance(),
        pointing=aim,
    )
    run.finish(
        STAGE,
        {
            'steps': result.steps,
            'seconds': result.seconds,
            **result.last,
            **checker.check(rows),
            'frames': train.describe(),
        },
    )


def trained_policy(run: TrainingRun) -> UnivlaNetwork:
    """The frozen policy as its checkpoint holds it.

    Raises:
        TrainingError: If the stage is not complete.
    """
    network = fresh_policy(run.recipe.network)
    load_module(network, run.require(STAGE, WEIGHTS))
    return frozen(half_precision(network)).to(run.device)


def _clean_rows(rows: np.ndarray) -> np.ndarray:
    picked = np.random.default_rng(0).permutation(len(rows))[:_CHECKED]
    return rows[picked]
