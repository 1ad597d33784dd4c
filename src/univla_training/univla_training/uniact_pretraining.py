"""The stage before UniAct: fresh networks learn to see and to point, or a base is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from univla_core.errors import TrainingError
from univla_models.checkpoint_files import read_json
from univla_models.uniact_extractor import ExtractorConfig
from univla_models.uniact_network import UniactNetwork
from univla_models.uniact_network import base_file
from univla_models.uniact_network import load_network
from univla_models.uniact_prompt import UniactPrompt

from univla_training.pointing import POINTING_SCENES
from univla_training.pointing import PointingPictures
from univla_training.pointing import label_side
from univla_training.run import TrainingRun
from univla_training.scene_drawing import drawn_scenes
from univla_training.uniact_networks import fresh_uniact
from univla_training.uniact_networks import uniact_document
from univla_training.uniact_pointing import UniactPointing
from univla_training.uniact_pointing import UniactPointingHeads
from univla_training.uniact_prompting import UniactPrompts
from univla_training.uniact_prompting import own_uniact_prompts
from univla_training.weights import load_module
from univla_training.weights import save_module

WEIGHTS = 'network.safetensors'
HEADS = 'heads.safetensors'
STAGE = 'uniact_pretraining'


def pretrain_uniact(run: TrainingRun) -> None:
    """Train extractor and backbone on random scenes; leave their weights.

    Nothing is to be done where the recipe names a checkpoint to start from.

    Raises:
        ConfigError: If the recipe's sizes do not fit each other.
        TrainingError: If training fails.
    """
    recipe = run.recipe.uniact
    if run.done(STAGE) or recipe.pretraining.base:
        return
    recipe.network.check(run.recipe.network.image_side, f'recipe {run.recipe.name}: uniact')
    folder = run.start(STAGE)
    settings = run.settings(recipe.pretraining)
    run.seed_torch(settings)
    network = fresh_uniact(recipe.network, run.recipe.network.image_side).to(run.device)
    heads = _heads(run, network)
    task = _task(run, network, heads, recipe.pretraining.view_share)
    result = run.fit(STAGE, {'network': network, 'heads': heads}, task.draw, task.loss, settings)
    save_module(network, folder / WEIGHTS)
    save_module(heads, folder / HEADS)
    run.finish(STAGE, {'steps': result.steps, 'seconds': result.seconds, **result.last})


def pretrained_uniact(run: TrainingRun) -> UniactNetwork:
    """A network with the weights of that stage, or of the checkpoint to start from.

    Raises:
        TrainingError: If the stage is not complete.
        CheckpointError: If the checkpoint cannot be loaded.
    """
    base = base_folder(run)
    if base is not None:
        path = base / 'config.json'
        config = ExtractorConfig.from_mapping(read_json(path), str(path))
        return load_network(base_file(base), config, device=run.device, dtype=torch.float32)
    network = fresh_uniact(run.recipe.uniact.network, run.recipe.network.image_side)
    load_module(network, run.require(STAGE, WEIGHTS))
    return network.to(run.device)


def base_folder(run: TrainingRun) -> Path | None:
    """The checkpoint to start from, if the recipe names one."""
    base = run.recipe.uniact.pretraining.base
    return Path(base).expanduser() if base else None


def uniact_config(run: TrainingRun) -> dict[str, Any]:
    """`config.json` of the network that is trained."""
    base = base_folder(run)
    if base is not None:
        return read_json(base / 'config.json')
    return uniact_document(run.recipe.uniact.network, run.recipe.network.image_side)


def uniact_prompts(run: TrainingRun, network: UniactNetwork) -> UniactPrompts:
    """The prompts of the network that is trained."""
    base, tokens = base_folder(run), network.ua_extractor.config.num_video_tokens
    if base is not None:
        return UniactPrompts(UniactPrompt.from_folder(base, tokens))
    return own_uniact_prompts(tokens)


def pointing_task(
    run: TrainingRun, network: UniactNetwork
) -> tuple[UniactPointing, UniactPointingHeads]:
    """The stage's task for a network that goes on learning, with the heads it left.

    The backbone is left to the actions.

    Raises:
        TrainingError: If there was no such stage.
    """
    if base_folder(run) is not None:
        raise TrainingError(
            'pointing_share needs the pretraining, but the recipe starts from a checkpoint; '
            'set uniact: training: pointing_share to 0'
        )
    heads = _heads(run, network)
    load_module(heads, run.require(STAGE, HEADS))
    return _task(run, network, heads, 0.0), heads


def _task(
    run: TrainingRun, network: UniactNetwork, heads: UniactPointingHeads, view_share: float
) -> UniactPointing:
    prompts = uniact_prompts(run, network)
    return UniactPointing(_pictures(run), prompts, network, heads, view_share)


def _heads(run: TrainingRun, network: UniactNetwork) -> UniactPointingHeads:
    return UniactPointingHeads(network, label_side(run.recipe.network.image_side)).to(run.device)


def _pictures(run: TrainingRun) -> PointingPictures:
    section = run.recipe.uniact.pretraining
    robots = tuple(section.robots or run.recipe.data.robots)
    side = run.recipe.network.image_side
    return drawn_scenes(run, POINTING_SCENES, robots, section.scenes, section.seed, side)
