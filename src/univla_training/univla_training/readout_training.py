"""Tell a finished policy's plans where it points, so that `servo` heads can be trained on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from univla_data.provenance import hash_of_path
from univla_decoders.query_head import pointing_reader
from univla_models.univla import UnivlaPolicy

from univla_training.checkpoint_stage import open_stage
from univla_training.counting import counting
from univla_training.export import save_weights
from univla_training.export import weights_to_save
from univla_training.finetuning import check_inputs
from univla_training.networks import POINTING
from univla_training.pointing import POINTING_SCENES
from univla_training.pointing import PointingPictures
from univla_training.prompting import Prompts
from univla_training.readout_task import Pointed
from univla_training.readout_task import ReadoutTask
from univla_training.readout_task import pointed_states
from univla_training.run import TrainingRun
from univla_training.scene_drawing import drawn_scenes
from univla_training.settings import ReadoutSettings

STAGE = 'readout'
INPUTS = 'inputs.json'
# Every so many scenes there is one that nothing learns from.
_HELD_EVERY = 20


def train_readout(run: TrainingRun, checkpoint: str) -> Path:
    """Learn to read off a frozen policy's plans where in the picture it points.

    A policy that went on pointing until its end has `pointing.safetensors` in its checkpoint; this
    makes the file for one that did not. Nothing else of the checkpoint changes: a small reader
    learns from rendered scenes, whose plans it is shown.

    Args:
        run: Recipe (sections `readout` and `data.robots`) and folder; needs no trained stage.
        checkpoint: Folder of the checkpoint, or its name in `checkpoints/`; it stays as it is.

    Returns:
        Folder of a copy of the checkpoint with the reader.

    Raises:
        TrainingError: If the recipe has no such stage, the checkpoint was not made by `univla
            train`, or the stage was begun with another one.
        UnivlaError: If the checkpoint cannot be loaded.
    """
    section = run.recipe.readout
    settings = run.settings(section)
    stage = open_stage(run, STAGE, checkpoint, section)
    source, target, policy = stage.source, stage.target, stage.policy
    robots = tuple(section.robots or run.recipe.data.robots)
    weights = [hash_of_path(file) for file in sorted(source.glob('model*.safetensors'))]
    inputs = {'checkpoint': weights, 'robots': list(robots), 'scenes': section.scenes}
    check_inputs(run, run.folder(STAGE) / INPUTS, inputs)
    if run.done(STAGE):
        return target
    side = policy.processor.size
    pictures = drawn_scenes(run, POINTING_SCENES, robots, section.scenes, section.seed, side)
    shown, held = (_pointed(run, policy, part, section) for part in _split(pictures))
    run.seed_torch(settings)
    reader = pointing_reader(policy.latent_dim).to(run.device)
    task, checker = ReadoutTask(reader, shown), ReadoutTask(reader, held)
    result = run.fit(
        STAGE, {'reader': reader}, task.draw, task.loss, settings, measure=checker.check
    )
    facts = {'steps': result.steps, 'seconds': result.seconds, **checker.check()}
    with stage.copy() as folder:
        save_weights(weights_to_save(reader), folder / POINTING)
    run.finish(STAGE, {'checkpoint': str(source), 'folder': str(target), **facts})
    return target


def _split(pictures: PointingPictures) -> tuple[PointingPictures, PointingPictures]:
    """Scenes to learn from and others, of every robot."""
    held = np.arange(len(pictures)) % _HELD_EVERY == 0
    return pictures.only(~held), pictures.only(held)


def _pointed(
    run: TrainingRun, policy: UnivlaPolicy, pictures: PointingPictures, section: ReadoutSettings
) -> Pointed:
    """What the policy thinks of scenes."""
    with counting(run.console, 'looking', section.views * len(pictures)) as advance:
        return pointed_states(
            policy.network,
            Prompts(policy.tokenizer),
            pictures,
            views=section.views,
            seed=section.seed,
            progress=advance,
        )
