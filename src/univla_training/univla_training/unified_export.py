"""Write the unified VLA in the released layout, for the loader that the nodes use."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_decoders.declaration import TOKENS
from univla_decoders.declaration import DecoderDeclaration
from univla_models.fast_grammar import ChunkGrammar
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.unified_vla import FAST_FOLDER
from univla_models.unified_vla import VISION_FOLDER
from univla_models.unified_vla_recipe import RECIPE_FILE
from univla_models.unified_vla_tokens import TEXT_FILE

from univla_training.decoder_training import default_space
from univla_training.demonstrations import Demonstrations
from univla_training.demonstrations import is_relative
from univla_training.export import save_weights
from univla_training.export import weights_to_save
from univla_training.run import TrainingRun
from univla_training.unified_language import Speaker
from univla_training.unified_vision import vision_files
from univla_training.unified_vocabulary import small_ranks
from univla_training.unified_vocabulary import tiktoken_file


def write_unified(
    folder: Path,
    run: TrainingRun,
    speaker: Speaker,
    fast: FastTokenizer,
    shown: Mapping[str, Demonstrations],
) -> None:
    """Write language model, tokenizers and a decoder for each robot, whole or not at all.

    Args:
        folder: Where; a checkpoint there is replaced.
        run: Where it comes from.
        speaker: The trained language model.
        fast: The FAST tokenizer.
        shown: What it learned from, by robot.
    """
    unfinished = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_weights(weights_to_save(speaker.network), unfinished / 'model.safetensors')
    config = {**speaker.document, 'trained': True, 'torch_dtype': 'bfloat16'}
    config['provenance'] = run.provenance()
    _write(unfinished / 'config.json', config)
    text = speaker.text_file or tiktoken_file(small_ranks())
    (unfinished / TEXT_FILE).write_bytes(text)
    _write_vision(unfinished / VISION_FOLDER, run)
    fast.save(unfinished / FAST_FOLDER)
    side = run.recipe.network.image_side
    horizon, action_dim = next(iter(shown.values())).chunks.shape[1:]
    recipe = {
        'views': [{'camera': run.recipe.data.camera, 'width': side, 'height': side}],
        'horizon': horizon,
        'action_dim': action_dim,
        'video': run.recipe.unified.policy.video,
        'max_new_tokens': ChunkGrammar(fast, horizon, action_dim).longest,
        'whole_chunks': True,
    }
    _write(unfinished / RECIPE_FILE, recipe)
    for robot, mine in shown.items():
        declaration = declare_tokens(run, load_embodiment(robot), mine, fast)
        write_token_decoder(unfinished / 'decoders' / robot, fast, declaration, mine.statistics)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def declare_tokens(
    run: TrainingRun, embodiment: Embodiment, shown: Demonstrations, fast: FastTokenizer
) -> DecoderDeclaration:
    """The declaration of a robot's detokeniser."""
    space = default_space(embodiment)
    return DecoderDeclaration(
        head=TOKENS,
        horizon=int(shown.chunks.shape[1]),
        action_dim=shown.action_dim,
        action_space=space,
        names=embodiment.action_names(space),
        step_duration_s=1.0 / run.recipe.data.rate_hz,
        normalisation='bounds_q99',
        unnorm_key=embodiment.name,
        codebook=fast.codebook,
        # Increments begin at the measured joints, so they must be told.
        proprioception_dim=shown.body_dim if is_relative(space) else 0,
        gripper='open_positive_unit' if embodiment.gripper else 'none',
        gripper_binary=embodiment.gripper is not None,
        relative=is_relative(space),
        temporal_ensembling=is_relative(space),
        robot=embodiment.name,
        source=f'unified VLA, recipe {run.recipe.name}, seed {run.seed}',
    )


def write_token_decoder(
    folder: Path,
    fast: FastTokenizer,
    declaration: DecoderDeclaration,
    statistics: Mapping[str, Any],
) -> None:
    """Write a FAST folder with `decoder.yaml` and `dataset_statistics.json`."""
    declaration.check(str(folder))
    fast.save(folder)
    content = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(declaration).items()
        if value != ()
    }
    (folder / 'decoder.yaml').write_text(yaml.safe_dump(content, sort_keys=False))
    _write(folder / 'dataset_statistics.json', {declaration.unnorm_key: dict(statistics)})


def _write_vision(folder: Path, run: TrainingRun) -> None:
    base = run.recipe.unified.vision.base
    if base:
        shutil.copytree(Path(base).expanduser(), folder)
        return
    folder.mkdir()
    config, tensors = vision_files(run)
    save_weights(tensors, folder / 'model.safetensors')
    _write(folder / 'config.json', config)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, default=str) + '\n', encoding='utf-8')
