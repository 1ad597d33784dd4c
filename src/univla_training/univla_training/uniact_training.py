"""Train UniAct: extractor, codebook, backbone and a head for each robot; write a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from univla_core.embodiment import load_embodiment
from univla_models.uniact_codebook import TemperatureSchedule
from univla_models.uniact_network import UniactNetwork

from univla_training.card import write_card
from univla_training.demonstrations import Demonstrations
from univla_training.export import write_decoder
from univla_training.frame_store import FrameStore
from univla_training.pointing_beside import PointingBeside
from univla_training.run import TrainingRun
from univla_training.uniact_export import declare_uniact
from univla_training.uniact_export import write_uniact
from univla_training.uniact_labels import uniact_demonstrations
from univla_training.uniact_labels import uniact_space
from univla_training.uniact_networks import fresh_uniact_head
from univla_training.uniact_pretraining import pointing_task
from univla_training.uniact_pretraining import pretrained_uniact
from univla_training.uniact_pretraining import uniact_prompts
from univla_training.uniact_task import Annealing
from univla_training.uniact_task import UniactTask

STAGE = 'uniact'
#: Held-out frames of each robot that the curves show.
_CHECKED = 32
#: What the model card says of where it begins.
STAND_IN = (
    'Nothing pretrained is in it. In place of LLaVA-OneVision and of a ResNet-18 that knows '
    'ImageNet, networks of the same architecture and a few million parameters learned to point '
    'at named things in rendered scenes of the simulator, which told where things are.'
)


def uniact_folder(run: TrainingRun) -> Path:
    """Where the checkpoint is written."""
    return run.folder(STAGE) / 'checkpoint'


def train_uniact(run: TrainingRun) -> Path:
    """Train on the clean frames of all robots; write checkpoint, decoders and model card.

    Returns:
        The checkpoint's folder.

    Raises:
        TrainingError: If the pretraining or the data are not there or training fails.
    """
    target = uniact_folder(run)
    if run.done(STAGE):
        return target
    section = run.recipe.uniact.training
    settings = run.settings(section)
    train, held = (part.only(section.robots, section.tasks) for part in run.split)
    shown = {robot: _shown(run, train, robot, settings.seed) for robot in train.robots}
    run.start(STAGE)
    run.seed_torch(settings)
    network = pretrained_uniact(run)
    book = network.universal_actions_codebook.embed
    heads = nn.ModuleDict({robot: _head(run, network, mine) for robot, mine in shown.items()})
    annealing = Annealing(
        TemperatureSchedule(section.anneal, section.initial_temperature, section.final_temperature)
    )
    if not section.extractor:
        network.ua_extractor.requires_grad_(False)
        network.universal_actions_codebook.requires_grad_(False)
    if not section.backbone:
        network.vision_backbone.requires_grad_(False)
    prompts = uniact_prompts(run, network)
    told: dict[str, Any] = {'augment': section.augment, 'body_noise': section.body_noise}
    as_deployed = {'augment': False, 'selection': section.selection}
    task = UniactTask(network, heads, prompts, train, shown, annealing, **told)
    modules: dict[str, nn.Module] = {
        'network': network,
        'heads': heads.to(run.device),
        'annealing': annealing,
    }
    draw, loss = task.draw, task.loss
    if section.pointing_share:
        pointing, reads = pointing_task(run, network)
        weight = section.pointing_weight
        beside = PointingBeside(draw, loss, pointing, section.pointing_share, weight)
        modules['pointing'], draw, loss = reads, beside.draw, beside.loss
    kept = {
        robot: _shown(run, held, robot, settings.seed, shown[robot].statistics)
        for robot in held.robots
        if robot in shown
    }
    checker = UniactTask(network, heads, prompts, held, kept, annealing, **as_deployed)
    places = {robot: _some(len(mine.rows)) for robot, mine in kept.items()}
    result = run.fit(
        STAGE,
        modules,
        draw,
        loss,
        settings,
        measure=(lambda: checker.check(places)) if places else None,
    )
    statistics = {robot: mine.statistics for robot, mine in shown.items()}
    codebook = write_uniact(target, network, run, norm_stats=statistics)
    for robot, mine in shown.items():
        body = load_embodiment(robot)
        declaration = declare_uniact(
            run,
            body,
            uniact_space(body, section.head),
            section.head,
            mine,
            codebook=codebook,
            num_codes=book.num_embeddings,
            code_dim=book.embedding_dim,
            source='UniAct',
        )
        write_decoder(target / 'decoders' / robot, heads[robot], declaration, mine.statistics)
    figures = {name: value for row in result.history for name, value in row.items()}
    facts = {**figures, 'steps': result.steps, 'seconds': result.seconds}
    run.finish(STAGE, {**facts, 'codebook': codebook, 'frames': train.describe()})
    uniact_card(run)
    return target


def uniact_card(run: TrainingRun, results: Path | None = None) -> Path:
    """Write the model card of the run's UniAct; `results` is a JSON of `./univla eval`."""
    base = run.recipe.uniact.pretraining.base
    notes = f'Fine-tuned from `{base}`.' if base else STAND_IN
    title = f'UniAct, recipe {run.recipe.name}'
    return write_card(uniact_folder(run), run, title=title, results=results, notes=notes)


def _head(run: TrainingRun, network: UniactNetwork, shown: Demonstrations) -> Any:
    """A fresh head for a robot."""
    sizes = run.recipe.uniact.network
    return fresh_uniact_head(
        run.recipe.uniact.training.head,
        int(shown.chunks.shape[1]),
        shown.action_dim,
        shown.body_dim,
        code_dim=network.universal_actions_codebook.embed.embedding_dim,
        channels=network.vision_backbone.dim,
        layers=(sizes.head_layers[0], sizes.head_layers[1]),
        hidden=sizes.head_hidden,
    )


def _shown(
    run: TrainingRun, store: FrameStore, robot: str, seed: int, statistics: Any = None
) -> Demonstrations:
    kind = run.recipe.uniact.training.head
    space = uniact_space(load_embodiment(robot), kind)
    return uniact_demonstrations(store, robot, space, kind, seed=seed, statistics=statistics)


def _some(count: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(count)[:_CHECKED]
