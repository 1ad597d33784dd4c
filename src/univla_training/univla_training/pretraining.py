"""Stage 0: teach fresh networks to see and to point, in place of a pretrained VLM."""

from __future__ import annotations

import torch
from univla_models.prompts import PromptTokenizer
from univla_models.synthetic_tokenizer import build_tokenizer
from univla_models.univla_network import UnivlaNetwork

from univla_training.networks import fresh_policy
from univla_training.pointing import POINTING_SCENES
from univla_training.pointing import PointingPictures
from univla_training.pointing_task import PointingHeads
from univla_training.pointing_task import PointingTask
from univla_training.prompting import Prompts
from univla_training.run import TrainingRun
from univla_training.scene_drawing import drawn_scenes
from univla_training.weights import load_module
from univla_training.weights import save_module

WEIGHTS = 'network.safetensors'
HEADS = 'heads.safetensors'
STAGE = 'pretraining'


def pretrain(run: TrainingRun) -> None:
    """Train policy network and pointing heads on random scenes; leave the network's weights.

    Raises:
        TrainingError: If training fails.
    """
    if run.done(STAGE):
        return
    folder = run.start(STAGE)
    sizes = run.recipe.network
    settings = run.settings(run.recipe.pretraining)
    pictures = _pictures(run)
    run.seed_torch(settings)
    network = fresh_policy(sizes).to(run.device)
    heads = _heads(run)
    task = PointingTask(pictures, own_prompts(), network, heads)
    result = run.fit(STAGE, {'network': network, 'heads': heads}, task.draw, task.loss, settings)
    save_module(network, folder / WEIGHTS)
    save_module(heads, folder / HEADS)
    run.finish(STAGE, {'steps': result.steps, 'seconds': result.seconds, **result.last})


def pretrained_policy(run: TrainingRun) -> UnivlaNetwork:
    """A network with the weights of the pretraining.

    Raises:
        TrainingError: If that stage is not complete.
    """
    network = fresh_policy(run.recipe.network)
    load_module(network, run.require(STAGE, WEIGHTS))
    return network.to(run.device)


def pointing_task(run: TrainingRun, network: UnivlaNetwork) -> PointingTask:
    """The pretraining's task for a network that goes on learning, with the heads it left.

    Raises:
        TrainingError: If that stage is not complete.
    """
    heads = _heads(run)
    load_module(heads, run.require(STAGE, HEADS))
    return PointingTask(_pictures(run), own_prompts(), network, heads)


def _pictures(run: TrainingRun) -> PointingPictures:
    section = run.recipe.pretraining
    robots = tuple(section.robots or run.recipe.data.robots)
    side = run.recipe.network.image_side
    return drawn_scenes(run, POINTING_SCENES, robots, section.scenes, section.seed, side)


def _heads(run: TrainingRun) -> PointingHeads:
    sizes = run.recipe.network
    heads = PointingHeads(sizes.dino.dim + sizes.siglip.dim, sizes.llama.hidden)
    return heads.to(run.device)


def own_prompts() -> Prompts:
    """The tokenizer of the checkpoints that we make."""
    return Prompts(PromptTokenizer(build_tokenizer()))


def frozen(network: UnivlaNetwork) -> UnivlaNetwork:
    """The same network, not to be trained."""
    network.eval().requires_grad_(False)
    return network


def half_precision(network: UnivlaNetwork) -> UnivlaNetwork:
    """Round the weights as a written checkpoint holds them: decoders must see those."""
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.to(torch.bfloat16).to(value.dtype))
    return network
