"""Stages 1 and 2 of the latent action model, and the labels for the policy."""

from __future__ import annotations

import numpy as np
import torch
from univla_models.lam import LatentActionModel

from univla_training.counting import counting
from univla_training.frame_store import FrameStore
from univla_training.lam_task import FramePairs
from univla_training.lam_task import LamTask
from univla_training.lam_task import frame_features
from univla_training.lam_task import label_pairs
from univla_training.lam_task import shuffled_ratio
from univla_training.lam_task import word_report
from univla_training.networks import fresh_lam
from univla_training.pretraining import frozen
from univla_training.pretraining import own_prompts
from univla_training.pretraining import pretrained_policy
from univla_training.prompting import Prompts
from univla_training.run import TrainingRun
from univla_training.weights import load_module
from univla_training.weights import save_module

WEIGHTS = 'lam.safetensors'
LABELS = 'labels.npy'
#: Which episodes the labels are of, and in which order.
LABELS_OF = 'labels_of.txt'


class PairDrawer:
    """Draws frame pairs of all episodes, kicks and failures too: nothing here needs actions.

    Args:
        store: Frames.
        features: Frozen features of every frame, (frames, patches, dim) float16.
        interval: Frames between the two.
        prompts: Tokenizer for stage 1, None for stage 2.
    """

    def __init__(
        self, store: FrameStore, features: np.ndarray, interval: int, prompts: Prompts | None
    ) -> None:
        self._store, self._features = store, features
        self._interval, self._prompts = interval, prompts
        self._sampler = store.sampler()

    def draw(self, rng: np.random.Generator, count: int) -> FramePairs:
        """A random batch, every robot and task alike often."""
        rows = self._sampler(rng, count)
        pairs = np.stack([rows, self._store.window(rows, self._interval)], axis=1)
        text = None
        if self._prompts is not None:
            words = self._prompts.batch(self._store.instructions(rows))
            text = (words.ids, words.keep.long())
        patches = torch.from_numpy(self._features[pairs].astype(np.float32))
        return FramePairs(patches=patches, text=text)


def train_lam(run: TrainingRun, stage: int) -> None:
    """Train one stage; stage 2 leaves the code of every frame, too.

    Stage 1 learns codes for whatever the instruction does not say; stage 2 takes over its
    codebook, frozen, and learns codes for the rest: what the task changes.

    Raises:
        TrainingError: If the stage before is not complete or training fails.
    """
    name = f'lam{stage}'
    if run.done(name):
        return
    folder = run.start(name)
    section = run.recipe.lam1 if stage == 1 else run.recipe.lam2
    settings = run.settings(section)
    run.seed_torch(settings)
    model = fresh_lam(run.recipe.network, stage, frozen(pretrained_policy(run)))
    if stage == 2:
        _take_over(model, run)
    model.to(run.device)
    if stage == 1:
        model.text_encoder.requires_grad_(False)  # fixed random features stand in for T5's
    task = LamTask(
        model,
        change_weight=section.change_weight,
        reconstruction_weight=section.reconstruction,
        seed=settings.seed,
    )
    task.keeper.to(run.device)
    store = run.split[0].only(section.robots)
    features = _features(run, model)
    prompts = own_prompts() if stage == 1 else None
    drawer = PairDrawer(store, features, section.interval, prompts)
    factor = section.codebook_rate
    result = run.fit(
        name,
        {'lam': model, 'keeper': task.keeper},
        drawer.draw,
        task.loss,
        settings,
        after_step=task.after_step,
        groups=lambda parameter: factor if 'codebook' in parameter else 1.0,
    )
    save_module(model, folder / WEIGHTS)
    facts = {'steps': result.steps, 'seconds': result.seconds, **result.last}
    if stage == 2:
        codes = _label(run, model, features, section.interval)
        batch = drawer.draw(np.random.default_rng(0), 64)
        facts |= {
            **word_report(codes[run.store.frames]),
            'shuffled_over_right': shuffled_ratio(model, batch.patches),
        }
    run.finish(name, facts)


def trained_lam(run: TrainingRun, stage: int = 2) -> LatentActionModel:
    """The model that a stage left.

    Raises:
        TrainingError: If the stage is not complete.
    """
    model = fresh_lam(run.recipe.network, stage, frozen(pretrained_policy(run)))
    load_module(model, run.require(f'lam{stage}', WEIGHTS))
    return model.eval().requires_grad_(False).to(run.device)


def labels(run: TrainingRun) -> np.ndarray:
    """Codes of every frame of the store, (frames, 4) uint8.

    Frames of episodes that came since are labelled now.

    Raises:
        TrainingError: If stage 2 is not complete.
    """
    codes = np.load(run.require('lam2', LABELS))
    known = run.folder('lam2') / LABELS_OF
    if known.is_file() and known.read_text(encoding='utf-8') == run.store.signature:
        return codes
    model = trained_lam(run)
    return _label(run, model, _features(run, model), run.recipe.lam2.interval)


def _take_over(model: LatentActionModel, run: TrainingRun) -> None:
    """Codebook and tokens of stage 1; everything else learns afresh, as released."""
    first = trained_lam(run, 1)
    with torch.no_grad():
        model.vq.codebook.weight.copy_(first.vq.codebook.weight)
        model.action_latent.copy_(first.action_latent)


def _label(
    run: TrainingRun, model: LatentActionModel, features: np.ndarray, interval: int
) -> np.ndarray:
    """Codes of every frame, which are also left in the folder of stage 2."""
    store = run.store
    rows = store.frames
    pairs = np.stack([rows, store.window(rows, interval)], axis=1)
    codes = np.zeros((len(store.pictures), 4), dtype=np.uint8)
    with counting(run.console, 'labels', len(rows)) as advance:
        codes[rows] = label_pairs(model, features, pairs, progress=advance)
    folder = run.folder('lam2')
    (folder / LABELS_OF).unlink(missing_ok=True)
    np.save(folder / LABELS, codes)
    (folder / LABELS_OF).write_text(store.signature, encoding='utf-8')
    return codes


def _features(run: TrainingRun, model: LatentActionModel) -> np.ndarray:
    """Frozen features of every frame, computed once in a run and kept on disk."""
    store = run.store
    path = run.out / 'features.npy'
    sizes = run.recipe.network
    shape = (len(store.pictures), (sizes.image_side // 14) ** 2, sizes.dino.dim)
    if path.is_file():
        found = np.load(path, mmap_mode='r')
        if found.shape == shape:
            return found
    unfinished = path.with_suffix('.part')
    table = np.lib.format.open_memmap(unfinished, mode='w+', dtype=np.float16, shape=shape)
    with counting(run.console, 'features', len(store.frames)) as advance:
        frame_features(model, store.pictures, store.frames, table, progress=advance)
    table.flush()
    unfinished.rename(path)
    return np.load(path, mmap_mode='r')
