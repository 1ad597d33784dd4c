"""Fast adaptation: one new head for a body on a frozen UniAct that chooses codes as it deploys.

Extractor, codebook and, as the paper says but not its code, the backbone stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_decoders.uniact_data import masked_huber
from univla_models.uniact import UniactPolicy
from univla_models.uniact_options import UniactOptions
from univla_models.uniact_options import prepare
from univla_models.uniact_resnet import PROCESSOR
from univla_models.uniact_resnet import TOKENS_PER_VIEW

from univla_training.counting import counting
from univla_training.decoder_task import DecoderBatch
from univla_training.decoder_task import DecoderTask
from univla_training.decoder_task import Plans
from univla_training.decoder_task import kept_plans
from univla_training.decoder_training import variant
from univla_training.demonstrations import Demonstrations
from univla_training.export import write_decoder
from univla_training.frame_store import FrameStore
from univla_training.run import TrainingRun
from univla_training.uniact_export import declare_uniact
from univla_training.uniact_labels import uniact_demonstrations
from univla_training.uniact_labels import uniact_space
from univla_training.uniact_networks import fresh_uniact_head
from univla_training.uniact_prompting import UniactPrompts
from univla_training.uniact_settings import HEAD_KINDS
from univla_training.uniact_task import moving
from univla_training.uniact_training import uniact_folder

STAGE = 'uniact_decoder'
#: Held-out frames that the curves show.
_CHECKED = 512


def train_uniact_decoder(
    run: TrainingRun,
    robot: str,
    action_space: str | None = None,
    share: float | None = None,
    *,
    head: str | None = None,
    checkpoint: Path | None = None,
) -> Path:
    """Train one head.

    Args:
        run: The run.
        robot: Whose head.
        action_space: Of its chunks; None takes the default of the robot and the head.
        share: Share of the episodes whose action labels are used; None takes the recipe's.
        head: Kind of head; None takes the recipe's.
        checkpoint: Folder of a UniAct, released or ours; None takes the run's own.

    Returns:
        The decoder's folder: below `decoders/` of the run's checkpoint, or in the stage's folder
        for another checkpoint, which is left alone.

    Raises:
        TrainingError: If the checkpoint or the data are not there or training fails.
    """
    embodiment = load_embodiment(robot)
    section = run.recipe.uniact.decoder
    kind = head or section.head
    if kind not in HEAD_KINDS:
        raise TrainingError(f'no head {kind!r}; choose {" or ".join(HEAD_KINDS)}')
    space = action_space or uniact_space(embodiment, kind)
    part = section.share if share is None else share
    name = variant(embodiment, space, part)
    if kind != section.head:
        name += f'-{kind}'
    stage = f'{STAGE}/{name}'
    target = uniact_folder(run) / 'decoders' / name
    if checkpoint is not None:
        target = run.folder(stage) / 'decoder'
    if run.done(stage) and target.is_dir():
        return target
    settings = run.settings(section)
    shown, held = _shown(run, robot, space, kind, part, settings.seed)
    policy = _policy(run, checkpoint)
    folder = run.start(stage)
    run.seed_torch(settings)
    sizes = run.recipe.uniact.network
    backbone = policy.network.vision_backbone
    made = fresh_uniact_head(
        kind,
        int(shown.chunks.shape[1]),
        shown.action_dim,
        shown.body_dim,
        code_dim=policy.latent_dim,
        channels=backbone.dim,
        layers=(sizes.head_layers[0], sizes.head_layers[1]),
        hidden=sizes.head_hidden,
    ).to(run.device)
    told = {'mask': moving(shown), 'device': run.device}
    tasks = [
        HuberTask(made, _plans(run, policy, own, folder / file), own, noise, **told)
        for own, file, noise in (
            (shown, 'plans.npz', section.body_noise),
            (held, 'held_plans.npz', 0.0),
        )
    ]
    places = np.random.default_rng(0).permutation(len(held.rows))[:_CHECKED]
    result = run.fit(
        stage,
        {'head': made},
        tasks[0].draw,
        tasks[0].loss,
        settings,
        measure=lambda: {'held_out': tasks[1].check(places)},
    )
    declaration = declare_uniact(
        run,
        embodiment,
        space,
        kind,
        shown,
        codebook=policy.codebook,
        num_codes=policy.num_codes,
        code_dim=policy.latent_dim,
        source='UniAct, fast adaptation',
    )
    write_decoder(target, made, declaration, shown.statistics)
    for file in ('plans.npz', 'held_plans.npz'):
        (folder / file).unlink(missing_ok=True)
    learned = sum(value.numel() for value in made.parameters() if value.requires_grad)
    whole = learned + sum(value.numel() for value in policy.network.parameters())
    facts: dict[str, Any] = {'robot': robot, 'action_space': space, 'head': kind, 'share': part}
    facts |= {'episodes': shown.statistics['num_trajectories'], 'frames': len(shown.rows)}
    facts |= {'learned': learned, 'learned_share': learned / whole}
    facts |= {'steps': result.steps, 'seconds': result.seconds, **result.last}
    run.finish(stage, {**facts, 'held_out': tasks[1].check(places), 'folder': str(target)})
    return target


class HuberTask(DecoderTask):
    """Masked Huber loss between the head's chunk and the recorded one.

    Args:
        head: The head.
        plans: What the policy plans on each frame.
        shown: What was done there.
        body_noise: Spread of noise on the proprioception, in normalised units.
        mask: Dimensions that are learned, (dim,).
        device: Where the head is.
    """

    def __init__(
        self,
        head: Any,
        plans: Plans,
        shown: Demonstrations,
        body_noise: float,
        *,
        mask: Tensor,
        device: torch.device,
    ) -> None:
        super().__init__(
            head, plans, shown.chunks, shown.body, shown.shares, body_noise=body_noise
        )
        self._mask, self._device = mask.to(device), device

    def loss(self, batch: DecoderBatch) -> tuple[Tensor, dict[str, float]]:
        """The loss of UniAct, and the mean absolute error in normalised units."""
        body = None if batch.body is None else batch.body.to(self._device)
        chunk = self.head(batch.latent.to(self._device), batch.visual.to(self._device), body)
        target = batch.chunk.to(self._device)
        loss = masked_huber(chunk, target, self._mask.expand_as(target))
        return loss, {'l1': float((chunk.detach() - target).abs().mean())}


@torch.inference_mode()
def plan_frames(
    policy: UniactPolicy,
    store: FrameStore,
    rows: np.ndarray,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Plans:
    """Let the policy plan on stored pictures, surely, as it does when it runs.

    Args:
        policy: The frozen policy.
        store: The data set.
        rows: Frames.
        batch: Frames at a time.
        progress: Told how many were planned.

    Returns:
        One view: latent (1, frames, 1, dim), visual (1, frames, 49, channels) and codes
        (1, frames, 1).
    """
    prompts = UniactPrompts(policy.prompt)
    count, backbone = len(rows), policy.network.vision_backbone
    words = store.instructions(rows)
    latent = np.empty((count, 1, policy.latent_dim), dtype=np.float16)
    visual = np.empty((count, TOKENS_PER_VIEW, backbone.dim), dtype=np.float16)
    codes = np.empty((count, 1), dtype=np.int32)
    for start in range(0, count, batch):
        part = slice(start, min(start + batch, count))
        pictures = store.pictures[rows[part]]
        views = [prepare(picture, policy.options.preprocessing, True) for picture in pictures]
        text = prompts.batch(words[part])
        pixels = torch.stack([policy.processor(view) for view in views])
        logits = policy.network.logits(
            pixels.to(device=policy.device, dtype=policy.dtype),
            text.ids.to(policy.device),
            text.keep.to(policy.device),
        )
        chosen = policy.select(logits.float())
        large = torch.stack([PROCESSOR(view) for view in views])[:, None].to(policy.device)
        latent[part, 0] = chosen.vector.float().cpu().numpy()
        visual[part] = backbone.tokens(large)[:, 0].cpu().numpy()
        codes[part, 0] = chosen.index.cpu().numpy()
        if progress is not None:
            progress(part.stop - part.start)
    return Plans(latent=latent[None], visual=visual[None], codes=codes[None])


def _policy(run: TrainingRun, checkpoint: Path | None) -> UniactPolicy:
    folder = checkpoint or uniact_folder(run)
    if checkpoint is None and not (folder / 'config.json').is_file():
        raise TrainingError(
            f'{folder}: no checkpoint yet; run `./univla train uniact --out {run.out}` first, or '
            'name one with --checkpoint'
        )
    # One picture of the primary camera, and no noise.
    return UniactPolicy.from_pretrained(
        folder, device=str(run.device), dtype='float32', options=UniactOptions()
    )


def _plans(run: TrainingRun, policy: UniactPolicy, shown: Demonstrations, path: Path) -> Plans:
    """What the policy plans on the frames, from disk if it did so before."""

    def make() -> Plans:
        with counting(run.console, 'planning', len(shown.rows)) as advance:
            return plan_frames(policy, run.store, shown.rows, progress=advance)

    return kept_plans(path, (1, len(shown.rows)), make)


def _shown(
    run: TrainingRun, robot: str, space: str, kind: str, share: float, seed: int
) -> tuple[Demonstrations, Demonstrations]:
    """What to learn from, and held-out episodes in the same units."""
    tasks = run.recipe.uniact.decoder.tasks
    train, held = (part.only((), tasks) for part in run.split)
    shown = uniact_demonstrations(train, robot, space, kind, share=share, seed=seed)
    if not held.only([robot]).episodes:  # too few to hold any out: the curve shows known ones
        held = train
    kept = uniact_demonstrations(held, robot, space, kind, statistics=shown.statistics)
    return shown, kept
