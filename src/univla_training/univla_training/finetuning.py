"""Train a decoder for a shipped checkpoint, on recordings and their corrections."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_core.norm_stats import choose_key
from univla_core.paths import checkpoint_path
from univla_data.provenance import hash_of_path
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.decoder import RobotDecoder
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import QueryHead
from univla_models.checkpoint_files import read_json
from univla_models.image_processor import ImageProcessor
from univla_models.policy import policy_of
from univla_models.univla import UnivlaOptions
from univla_models.univla import UnivlaPolicy

from univla_training.cache import build_store
from univla_training.decoder_training import PLANS
from univla_training.decoder_training import Planner
from univla_training.decoder_training import declare
from univla_training.decoder_training import default_space
from univla_training.decoder_training import fit_head
from univla_training.decoder_training import fitting_head
from univla_training.decoder_training import shown_and_held
from univla_training.decoder_training import variant
from univla_training.demonstrations import Demonstrations
from univla_training.demonstrations import is_relative
from univla_training.export import PREPROCESSING
from univla_training.export import write_decoder
from univla_training.frame_store import FrameStore
from univla_training.networks import fresh_head
from univla_training.networks import learning
from univla_training.networks import pointing_weights
from univla_training.prompting import Prompts
from univla_training.recorded import picture_processor
from univla_training.run import TrainingRun
from univla_training.settings import DecoderSettings
from univla_training.training_state import write_atomically
from univla_training.widening import can_be_widened
from univla_training.widening import widen

INPUTS = 'inputs.json'


def finetune_decoder(
    run: TrainingRun,
    robot: str,
    checkpoint: str,
    *,
    decoder: str = '',
    action_space: str | None = None,
    share: float = 1.0,
) -> Path:
    """Train a decoder for the policy of a checkpoint, which stays as it is.

    A decoder of the checkpoint goes on from where it is, and keeps its action space, horizon and
    norm stats; with `end_effector_position` in the recipe it is told where the end effector is,
    if it was not before. For a robot or action space without a decoder there a new head begins
    as the recipe says. `finetune/<robot>/decoder` in the run's folder is the result, a folder for
    `decoder:=` and `--decoder`.

    Args:
        run: Recipe (sections `decoder` and `data`), data and folder; needs no trained stage.
        robot: Whose decoder.
        checkpoint: Folder of the checkpoint, or its name in `checkpoints/`.
        decoder: Folder of the decoder to begin with; empty takes the checkpoint's own.
        action_space: Of the checkpoint's own decoder, or of the new head; None takes the robot's
            usual one.
        share: Share of the episodes to learn from.

    Raises:
        TrainingError: If the checkpoint was not made by `univla train`, the decoder is of another
            robot or vocabulary, nothing is worth imitating, or the stage was begun with others.
        UnivlaError: If checkpoint or decoder cannot be loaded.
    """
    stage = f'finetune/{robot}'
    source, embodiment = checkpoint_path(checkpoint), load_embodiment(robot)
    space = action_space or default_space(embodiment)
    begin = source / 'decoders' / variant(embodiment, space, 1.0)
    if decoder:
        begin = checkpoint_path(decoder)
    if run.folder(stage).resolve() in begin.resolve().parents:
        raise TrainingError(
            f'{begin}: would be replaced by what is trained from it; choose another --out'
        )
    policy = univla_policy(source, str(run.device))
    known = _decoder(begin, robot, policy) if decoder or begin.exists() else None
    store = _store(run, robot, policy.processor, None if known is None else known.declaration)
    folder = run.folder(stage)
    check_inputs(
        run,
        folder / INPUTS,
        {
            'checkpoint': [hash_of_path(file) for file in sorted(source.glob('*.safetensors'))],
            'decoder': '' if known is None else hash_of_path(begin),
            'action_space': space,
            'episodes': store.signature,
            'share': share,
        },
    )
    target = folder / 'decoder'
    if run.done(stage):
        return target
    split = store.split(run.recipe.data.validation_share)
    run.seed_torch(run.settings(run.recipe.decoder))
    pupil = (
        _new(run, robot, space, source, policy, split, share)
        if known is None
        else _known(run, known, _statistics(begin, known.declaration), store, split, share)
    )
    head = learning(pupil.head).to(run.device)
    planner = Planner(policy.network, Prompts(policy.tokenizer), store)
    figures = fit_head(run, stage, head, planner, pupil.shown, pupil.held, pupil.settings)
    told = f'{pupil.declared.source}; trained {"on" if known is None else "further on"} '
    told += f'{pupil.shown.episodes} episodes'
    declaration = dataclasses.replace(pupil.declared, trained=policy.trained, source=told)
    write_decoder(target, head, declaration, pupil.shown.statistics)
    for name in PLANS:
        (folder / name).unlink(missing_ok=True)
    facts: dict[str, Any] = {'robot': robot, 'action_space': space, 'share': share}
    facts |= {'checkpoint': str(source), 'begun_with': '' if known is None else str(begin)}
    facts |= {'episodes': pupil.shown.episodes, 'frames': len(pupil.shown.rows)}
    facts |= {'correction_frames': pupil.shown.corrections}
    run.finish(stage, {**facts, **figures, 'folder': str(target)})
    return target


@dataclass(frozen=True, kw_only=True)
class _Pupil:
    """A head, what it is declared to be, and what it learns from."""

    head: DecoderHead
    declared: DecoderDeclaration
    shown: Demonstrations
    held: Demonstrations
    settings: DecoderSettings


def _known(
    run: TrainingRun,
    known: RobotDecoder,
    entry: dict[str, Any],
    store: FrameStore,
    split: tuple[FrameStore, FrameStore],
    share: float,
) -> _Pupil:
    """A decoder that goes on from where it is, at a lower rate."""
    declared, section = known.declaration, run.recipe.decoder
    if section.end_effector_position and can_be_widened(declared):
        assert isinstance(known.head, QueryHead)
        declared, entry = widen(known.head, declared, entry, store)
    settings = run.settings(
        section,
        proprioception=bool(declared.proprioception_dim),
        end_effector_position=declared.end_effector_position,
        learning_rate=section.learning_rate * section.finetune_rate,
    )
    shown, held = shown_and_held(
        split, declared.robot, declared.action_space, share, settings, statistics=entry
    )
    return _Pupil(head=known.head, declared=declared, shown=shown, held=held, settings=settings)


def _new(
    run: TrainingRun,
    robot: str,
    space: str,
    source: Path,
    policy: UnivlaPolicy,
    split: tuple[FrameStore, FrameStore],
    share: float,
) -> _Pupil:
    """A fresh head for a robot or an action space that the checkpoint has no decoder for."""
    section, data, sizes = run.recipe.decoder, run.recipe.data, run.recipe.network
    embodiment = load_embodiment(robot)
    kind = fitting_head(section, embodiment, space)
    settings = run.settings(section)
    shown, held = shown_and_held(split, robot, space, share, settings)
    llama = dataclasses.replace(sizes.llama, hidden=policy.latent_dim)
    sizes = dataclasses.replace(sizes, llama=llama)
    pointing = pointing_weights(source, section)
    head = fresh_head(sizes, kind, data.horizon, shown.action_dim, shown.body_dim, pointing)
    declared = declare(run, embodiment, space, shown, policy.codebook, kind, 'new head, ')
    return _Pupil(head=head, declared=declared, shown=shown, held=held, settings=settings)


def univla_policy(source: Path, device: str) -> UnivlaPolicy:
    """The policy of a checkpoint, if the pictures that we store are what it sees.

    Raises:
        TrainingError: If it sees others, or is of another policy than UniVLA.
        UnivlaError: If the checkpoint cannot be loaded.
    """
    kind = policy_of(read_json(source / 'config.json'))
    if kind != 'univla':
        raise TrainingError(f'{source}: is of policy {kind!r}; name a --checkpoint of univla')
    options = UnivlaOptions(preprocessing='auto')
    policy = UnivlaPolicy.from_pretrained(source, device=device, dtype='float32', options=options)
    ours = picture_processor(policy.processor.size)
    if policy.options.preprocessing != PREPROCESSING or not _alike(policy.processor, ours):
        raise TrainingError(
            f'{source}: its policy sees pictures with preprocessing '
            f'{policy.options.preprocessing!r}, stored frames are for {PREPROCESSING!r}; decoders '
            'can be trained further for checkpoints that `./univla train` made'
        )
    return policy


def _decoder(begin: Path, robot: str, policy: UnivlaPolicy) -> RobotDecoder:
    decoder = RobotDecoder.load(begin)
    _check_decoder(decoder.declaration, begin, robot)
    decoder.check_codebook(policy.codebook)
    return decoder


def _alike(one: ImageProcessor, other: ImageProcessor) -> bool:
    return dataclasses.asdict(one) == dataclasses.asdict(other)


def _check_decoder(declared: DecoderDeclaration, where: Path, robot: str) -> None:
    """Refuse decoders whose labels or units are others than those of `univla train`."""
    if declared.robot != robot:
        raise TrainingError(
            f'{where}: is of robot {declared.robot!r}, not {robot!r}; give its own --robot'
        )
    body = 'mean_std' if declared.proprioception_dim else 'none'
    for field, wanted in (
        ('normalisation', 'bounds_q99'),
        ('proprioception_normalisation', body),
        ('relative', is_relative(declared.action_space)),
        ('rotation', 'vector'),
        ('scale', ()),
        ('choices', ()),
        ('drop_first', 0),
    ):
        found = getattr(declared, field)
        if found != wanted:
            raise TrainingError(
                f'{where}: {field} is {found!r}, and can be trained further only if it is '
                f'{wanted!r}, as in decoders that `./univla train decoder` made'
            )


def _statistics(begin: Path, declared: DecoderDeclaration) -> dict[str, Any]:
    path = (begin if begin.is_dir() else begin.parent) / 'dataset_statistics.json'
    known = read_json(path)
    return dict(known[choose_key(known, declared.unnorm_key or None, str(path))])


def _store(
    run: TrainingRun, robot: str, processor: ImageProcessor, declared: DecoderDeclaration | None
) -> FrameStore:
    """Frames of the robot; of a decoder that is there, at its rate and horizon."""
    data = dataclasses.replace(run.recipe.data, robots=[robot])
    if declared is not None:
        data = dataclasses.replace(
            data, rate_hz=1.0 / declared.step_duration_s, horizon=declared.horizon
        )
    return build_store(
        run.places,
        run.cache,
        data,
        processor.size,
        workers=run.workers,
        least=1,
        console=run.console,
    )


def check_inputs(run: TrainingRun, path: Path, inputs: dict[str, Any]) -> None:
    """Go on only with what the stage was begun with; a fresh one is emptied and notes it.

    Args:
        run: The training run.
        path: Where they are noted, in the folder of the stage.
        inputs: What the stage learns from.

    Raises:
        TrainingError: If it was begun with others.
    """
    if run.resume and path.is_file():
        before = json.loads(path.read_text(encoding='utf-8'))
        other = [name for name, value in inputs.items() if before.get(name) != value]
        if other:
            raise TrainingError(
                f'{path.parent}: was made with another {", ".join(other)}; choose another --out, '
                'or make it anew with --fresh'
            )
        return
    run.start(path.parent.relative_to(run.out).as_posix())
    text = json.dumps(inputs, indent=1)
    write_atomically(path, lambda file: file.write(text.encode()))
