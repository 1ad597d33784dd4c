"""Make a trained policy see its task in other rooms as well; its decoders go on fitting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch import nn
from univla_core.errors import TrainingError
from univla_data.provenance import hash_of_path
from univla_models.checkpoint_files import read_json

from univla_training.checkpoint_stage import open_stage
from univla_training.export import save_weights
from univla_training.finetuning import check_inputs
from univla_training.look_pairs import LOOK_SCENES
from univla_training.look_task import LookTask
from univla_training.run import TrainingRun
from univla_training.scene_drawing import drawn_scenes

STAGE = 'looks'
WEIGHTS = 'model.safetensors'
INPUTS = 'inputs.json'


def train_looks(run: TrainingRun, checkpoint: str) -> Path:
    """Teach the eyes of a checkpoint's policy that another table or light changes nothing.

    Only the vision backbone and the projector learn, from rendered scenes in two looks: no action
    and no demonstration. What they see of the plain look stays as it was, so that the language
    model, the codes and all decoders are taken over as they are.

    Args:
        run: Recipe (sections `looks` and `data.robots`) and folder; needs no trained stage.
        checkpoint: Folder of the checkpoint, or its name in `checkpoints/`; it stays as it is.

    Returns:
        Folder of the new checkpoint, with the decoders of the old one.

    Raises:
        TrainingError: If the recipe has no such stage, there is no OpenGL, the checkpoint was not
            made by `univla train`, or the stage was begun with another one.
        UnivlaError: If the checkpoint cannot be loaded.
    """
    section = run.recipe.looks
    settings = run.settings(section)
    stage = open_stage(run, STAGE, checkpoint, section)
    source, target, policy = stage.source, stage.target, stage.policy
    robots = tuple(section.robots or run.recipe.data.robots)
    if not (source / WEIGHTS).is_file():
        raise TrainingError(
            f'{source}: has no {WEIGHTS}; looks can be trained for checkpoints in one file, as '
            '`./univla train` makes them'
        )
    inputs = {'checkpoint': hash_of_path(source / WEIGHTS), 'robots': list(robots)}
    check_inputs(run, run.folder(STAGE) / INPUTS, inputs | {'pairs': section.pairs})
    if run.done(STAGE):
        return target
    side = policy.processor.size
    pairs = drawn_scenes(run, LOOK_SCENES, robots, section.pairs, section.seed, side)
    run.seed_torch(settings)
    task = LookTask(policy.network, pairs, section.plain_share)
    task.eyes.requires_grad_(True).train()
    result = run.fit(STAGE, {'eyes': task.eyes}, task.draw, task.loss, settings)
    facts = {'steps': result.steps, 'seconds': result.seconds, 'unlike': result.last['unlike']}
    with stage.copy() as folder:
        _write(source, folder, task.eyes, {'robots': list(robots), 'pairs': len(pairs), **facts})
    run.finish(STAGE, {'checkpoint': str(source), 'folder': str(target), **facts})
    return target


def _write(source: Path, folder: Path, eyes: nn.Module, told: dict[str, Any]) -> None:
    """Give the copy of a checkpoint in a folder other eyes."""
    save_weights(_with_eyes(load_file(source / WEIGHTS), eyes), folder / WEIGHTS)
    config = read_json(folder / 'config.json')
    config['provenance'] = {**config.get('provenance', {}), 'looks': told}
    (folder / 'config.json').write_text(json.dumps(config, indent=1) + '\n', encoding='utf-8')


def _with_eyes(weights: dict[str, Tensor], eyes: nn.Module) -> dict[str, Tensor]:
    """The weights of a policy with those of other eyes, each in the precision it had."""
    with torch.no_grad():
        own = {name: value.detach().cpu() for name, value in eyes.state_dict().items()}
        return {
            name: own[name].to(value.dtype).contiguous() if name in own else value
            for name, value in weights.items()
        }
