"""Train the unified VLA: the next frame first, then the actions; write a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_models.fast_tokenizer import FastTokenizer

from univla_training.card import write_card
from univla_training.decoder_training import default_space
from univla_training.demonstrations import Demonstrations
from univla_training.demonstrations import demonstrations
from univla_training.frame_store import FrameStore
from univla_training.pointing_beside import PointingBeside
from univla_training.run import TrainingRun
from univla_training.unified_export import write_unified
from univla_training.unified_language import Speaker
from univla_training.unified_language import fresh_speaker
from univla_training.unified_pretraining import pointing_of
from univla_training.unified_pretraining import points
from univla_training.unified_pretraining import pretrained_speaker
from univla_training.unified_task import SequenceTask
from univla_training.unified_task import UnifiedTask
from univla_training.unified_task import WorldTask
from univla_training.unified_vision import visual_codes
from univla_training.weights import load_module
from univla_training.weights import save_module

WEIGHTS = 'network.safetensors'
WORLD, STAGE = 'unified_world_model', 'unified'
#: Held-out frames that the curves show, and chunks that the FAST tokenizer is fitted on.
_CHECKED, _FITTED = 64, 20_000
#: What the model card says of where it begins.
STAND_IN = (
    'Nothing pretrained is in it. In place of Emu3, a language model of its architecture and '
    'about a million parameters first learned to point at named things in rendered scenes, and a '
    'small vision tokenizer in its layout to see them. Only ids that it can say or be told are '
    'kept (`kept_ids` in `config.json`).'
)


def unified_folder(run: TrainingRun) -> Path:
    """Where the checkpoint is written."""
    return run.folder(STAGE) / 'checkpoint'


def train_world_model(run: TrainingRun) -> None:
    """Train the language model to say the next frames; leave its weights.

    Raises:
        TrainingError: If the vision tokenizer or the data are not there or training fails.
    """
    if run.done(WORLD):
        return
    section = run.recipe.unified.world_model
    settings = run.settings(section)
    store = run.store.only(section.robots or run.recipe.data.robots, section.tasks)
    codes = visual_codes(run, store)
    folder = run.start(WORLD)
    run.seed_torch(settings)
    speaker = pretrained_speaker(run)
    held = _some(run.split[1].only(section.robots, section.tasks).frames)
    told = (codes, section.frames, section.interval, section.vision_weight)
    task = WorldTask(speaker, run.split[0].only(section.robots, section.tasks), *told)
    checker = WorldTask(speaker, store, *told)
    result = run.fit(
        WORLD,
        *_with_pointing(run, speaker, task, section.pointing_share),
        settings,
        measure=lambda: _held_out(checker, held),
    )
    save_module(speaker.network, folder / WEIGHTS)
    figures = {name: value for row in result.history for name, value in row.items()}
    begun = next((row['loss'] for row in result.history if 'loss' in row), float('nan'))
    facts = {'first_loss': begun, 'steps': result.steps, 'seconds': result.seconds}
    run.finish(WORLD, {**figures, **facts, 'frames': store.describe()})


def train_unified(run: TrainingRun) -> Path:
    """Fine-tune the world model to act; write checkpoint, decoders and model card.

    Returns:
        The checkpoint's folder.

    Raises:
        TrainingError: If the world model or the data are not there or training fails.
    """
    target = unified_folder(run)
    if run.done(STAGE):
        return target
    recipe = run.recipe.unified
    section = recipe.policy
    settings = run.settings(section)
    robots = [name for name in section.robots or run.recipe.data.robots if _is_arm(name)]
    store = run.store.only(robots, section.tasks)
    train, held = (part.only(robots, section.tasks) for part in run.split)
    shown = {robot: _shown(train, robot, settings.seed) for robot in train.robots}
    if not shown or len({mine.action_dim for mine in shown.values()}) > 1:
        raise TrainingError(
            'one tokenizer says the chunks of all robots, so they must have equally many '
            f'dimensions; choose among {", ".join(robots) or "arms"} in unified: policy: robots'
        )
    codes = visual_codes(run, store)
    speaker = _world_model(run)
    folder = run.start(STAGE)
    run.seed_torch(settings)
    fast = fitted(shown, recipe.network.action_scale, recipe.network.action_ids, settings.seed)
    told: dict[str, Any] = {
        'video': section.video,
        'learn_vision': section.learn_vision,
        'vision_weight': section.vision_weight,
        'label_spread': section.label_spread,
    }
    task = UnifiedTask(speaker, train, codes, shown, fast, **told)
    kept = {
        robot: _some_of(_shown(held, robot, settings.seed, shown[robot].statistics))
        for robot in held.robots
        if robot in shown
    }
    checker = UnifiedTask(speaker, held, codes, kept, fast, **told)
    rows = [int(row) for mine in kept.values() for row in mine.rows]
    rows = [rows[number] for number in np.random.default_rng(0).permutation(len(rows))]
    result = run.fit(
        STAGE,
        *_with_pointing(run, speaker, task, section.pointing_share),
        settings,
        measure=(lambda: checker.check(rows)) if rows else None,
    )
    save_module(speaker.network, folder / WEIGHTS)
    write_unified(target, run, speaker, fast, shown)
    figures = {name: value for row in result.history for name, value in row.items()}
    begun = next((row['loss'] for row in result.history if 'loss' in row), float('nan'))
    facts = {'first_loss': begun, 'steps': result.steps, 'seconds': result.seconds}
    run.finish(STAGE, {**figures, **facts, 'frames': train.describe()})
    unified_card(run)
    return target


def unified_card(run: TrainingRun, results: Path | None = None) -> Path:
    """Write the model card of the run's unified VLA; `results` is a JSON of `./univla eval`."""
    base = run.recipe.unified.world_model.base
    notes = f'Fine-tuned from `{base}`.' if base else STAND_IN
    title = f'Unified VLA, recipe {run.recipe.name}'
    return write_card(unified_folder(run), run, title=title, results=results, notes=notes)


def fitted(
    shown: dict[str, Demonstrations], scale: float, num_ids: int, seed: int = 0
) -> FastTokenizer:
    """A FAST tokenizer of normalised chunks; it can say everything in [-1, 1].

    Raises:
        ConfigError: If the coefficients need more ids.
    """
    chunks = np.concatenate([mine.chunks for mine in shown.values()])
    picked = np.random.default_rng(seed).permutation(len(chunks))[:_FITTED]
    extremes = np.ones_like(chunks[:1])  # no chunk in [-1, 1] has a larger coefficient
    whole = np.concatenate([chunks[np.sort(picked)], extremes, -extremes])
    return FastTokenizer.fit(whole.astype(float), scale, num_ids)


def _with_pointing(
    run: TrainingRun, speaker: Speaker, task: SequenceTask, share: float
) -> tuple[dict[str, nn.Module], Callable[..., Any], Callable[..., Any]]:
    """What learns, its batches and their loss; a share of each batch may go on pointing."""
    modules: dict[str, nn.Module] = {'network': speaker.network}
    if not share:
        return modules, task.draw, task.loss
    if not points(run):
        raise TrainingError(
            'pointing_share needs the pretraining, but the recipe has none; set it to 0 in '
            'unified: world_model and policy'
        )
    pointing = pointing_of(run, speaker)
    beside = PointingBeside(task.draw, task.loss, pointing, share)
    return {**modules, 'pointing': pointing.heads}, beside.draw, beside.loss


def _world_model(run: TrainingRun) -> Speaker:
    speaker = fresh_speaker(run)
    load_module(speaker.network, run.require(WORLD, WEIGHTS))
    return speaker


def _shown(store: FrameStore, robot: str, seed: int, statistics: Any = None) -> Demonstrations:
    space = default_space(load_embodiment(robot))
    shown = demonstrations(store, robot, space, seed=seed, statistics=statistics)
    # The gripper passes unscaled; FAST expects everything within [-1, 1].
    return dataclasses.replace(shown, chunks=np.clip(shown.chunks, -1.0, 1.0))


def _some_of(shown: Demonstrations) -> Demonstrations:
    picked = np.sort(np.random.default_rng(0).permutation(len(shown.rows))[:_CHECKED])
    body = None if shown.body is None else shown.body[picked]
    parts = {
        name: getattr(shown, name)[picked] for name in ('rows', 'chunks', 'shares', 'weights')
    }
    return dataclasses.replace(shown, body=body, **parts)


def _held_out(task: WorldTask, rows: np.ndarray) -> dict[str, float]:
    if not len(rows):
        return {}
    task.speaker.network.eval()
    parts = [task.loss(task.batch(part)) for part in np.array_split(rows, -(-len(rows) // 16))]
    task.speaker.network.train()
    return {
        'held_out': float(np.mean([float(loss) for loss, _ in parts])),
        'held_out_right': float(np.mean([facts['right'] for _, facts in parts])),
    }


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[np.random.default_rng(0).permutation(len(rows))[:_CHECKED]]


def _is_arm(robot: str) -> bool:
    return load_embodiment(robot).kind != 'base'
