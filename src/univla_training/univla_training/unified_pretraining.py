"""The stage between vision tokenizer and world model: a fresh language model learns to point."""

from __future__ import annotations

from univla_training.run import TrainingRun
from univla_training.unified_language import Speaker
from univla_training.unified_language import fresh_speaker
from univla_training.unified_pointing import UnifiedPointing
from univla_training.unified_pointing import UnifiedPointingHeads
from univla_training.unified_vision import coded_scenes
from univla_training.weights import load_module
from univla_training.weights import save_module

WEIGHTS = 'network.safetensors'
HEADS = 'heads.safetensors'
STAGE = 'unified_pretraining'


def pretrain_unified(run: TrainingRun) -> None:
    """Train the language model to point in rendered scenes; leave its weights.

    Nothing is to be done where the recipe names a language model to start from, or no steps.

    Raises:
        TrainingError: If the vision tokenizer is not there or training fails.
    """
    section = run.recipe.unified.pretraining
    if run.done(STAGE) or not points(run):
        return
    folder = run.start(STAGE)
    settings = run.settings(section)
    run.seed_torch(settings)
    speaker = fresh_speaker(run)
    heads = _heads(run, speaker)
    task = _task(run, speaker, heads)
    modules = {'network': speaker.network, 'heads': heads}
    result = run.fit(STAGE, modules, task.draw, task.loss, settings)
    save_module(speaker.network, folder / WEIGHTS)
    save_module(heads, folder / HEADS)
    run.finish(STAGE, {'steps': result.steps, 'seconds': result.seconds, **result.last})


def points(run: TrainingRun) -> bool:
    """Whether this run's language model learns to point first."""
    recipe = run.recipe.unified
    return bool(recipe.pretraining.steps) and not recipe.world_model.base


def pretrained_speaker(run: TrainingRun) -> Speaker:
    """The language model that the world model begins with.

    Raises:
        TrainingError: If the stage is not complete.
        CheckpointError: If the one that the recipe names cannot be loaded.
    """
    speaker = fresh_speaker(run)
    if points(run):
        load_module(speaker.network, run.require(STAGE, WEIGHTS))
    return speaker


def pointing_of(run: TrainingRun, speaker: Speaker) -> UnifiedPointing:
    """The stage's task for a language model that goes on learning, with the heads it left.

    Raises:
        TrainingError: If the stage is not complete.
    """
    heads = _heads(run, speaker)
    load_module(heads, run.require(STAGE, HEADS))
    return _task(run, speaker, heads)


def _heads(run: TrainingRun, speaker: Speaker) -> UnifiedPointingHeads:
    return UnifiedPointingHeads(int(speaker.network.config.hidden_size)).to(run.device)


def _task(run: TrainingRun, speaker: Speaker, heads: UnifiedPointingHeads) -> UnifiedPointing:
    return UnifiedPointing(*coded_scenes(run), speaker, heads)
