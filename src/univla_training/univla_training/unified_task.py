"""Sequences of the unified VLA as batches: frames in a row, or observations with actions.

Source: arXiv:2506.19850; `baaivision/UniVLA`, `train/datasets.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_models.emu3_language import continue_greedily
from univla_models.emu3_language import weighted_loss
from univla_models.fast_grammar import ChunkGrammar
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.unified_vla_tokens import BEGIN_ACTION
from univla_models.unified_vla_tokens import END_ACTION
from univla_models.unified_vla_tokens import LAST_ACTION
from univla_models.unified_vla_tokens import NO_LABEL
from univla_models.unified_vla_tokens import SequenceWriter
from univla_models.unified_vla_tokens import action_labels
from univla_models.unified_vla_tokens import everything_labels
from univla_models.unified_vla_tokens import vision_labels

from univla_training.demonstrations import Demonstrations
from univla_training.frame_store import FrameStore
from univla_training.sampler import Sampler
from univla_training.unified_language import Speaker


@dataclass(frozen=True, kw_only=True)
class SequenceBatch:
    """Places of ids, mask and labels, (batch, longest) each; right padded."""

    ids: Tensor
    keep: Tensor
    labels: Tensor


class SequenceTask:
    """Cross-entropy of the next id.

    Args:
        speaker: The language model.
        vision_weight: Weight of visual ids; all others weigh 1.
    """

    def __init__(self, speaker: Speaker, vision_weight: float) -> None:
        self.speaker, self.writer = speaker, SequenceWriter(speaker.text)
        self._weight = vision_weight

    def loss(self, batch: SequenceBatch) -> tuple[Tensor, dict[str, float]]:
        """The loss, and the share of ids that are said right."""
        logits = self.speaker.logits(batch.ids, batch.keep)
        labels = batch.labels.to(logits.device)
        first = self.speaker.vocabulary.first_visual
        loss = weighted_loss(logits, labels, self._weight, first)
        asked = labels[:, 1:] != NO_LABEL
        right = (logits[:, :-1].argmax(-1) == labels[:, 1:])[asked].float().mean()
        return loss, {'right': float(right)}

    def _batch(self, rows: Sequence[Sequence[int]], labels: Sequence[np.ndarray]) -> SequenceBatch:
        ids, keep, targets = self.speaker.padded(rows, labels)
        return SequenceBatch(ids=ids, keep=keep, labels=targets)


class WorldTask(SequenceTask):
    """The words, then frames one after the other; only visual ids are learned.

    Args:
        speaker: The language model.
        store: Episodes to draw from.
        codes: Visual codes of every frame, (frames, rows, columns).
        frames: Frames of a sequence.
        interval: Frames of the policy clock between two of them.
        vision_weight: Weight of visual ids.
    """

    def __init__(
        self,
        speaker: Speaker,
        store: FrameStore,
        codes: np.ndarray,
        frames: int,
        interval: int,
        vision_weight: float,
    ) -> None:
        super().__init__(speaker, vision_weight)
        self._store, self._codes = store, codes
        self._offsets = [interval * number for number in range(frames)]
        self._sampler: Sampler = store.sampler()

    def draw(self, rng: np.random.Generator, count: int) -> SequenceBatch:
        """A random batch, every robot and task alike often."""
        return self.batch(self._sampler(rng, count))

    def batch(self, rows: np.ndarray) -> SequenceBatch:
        """The batch of given first frames; past its end an episode stands still."""
        frames = [self._store.window(rows, offset) for offset in self._offsets]
        words = self._store.instructions(rows)
        sequences = [
            self.writer.world(words[n], [self._codes[places[n]].astype(int) for places in frames])
            for n in range(len(rows))
        ]
        return self._batch(sequences, [vision_labels(ids) for ids in sequences])


class UnifiedTask(SequenceTask):
    """Observations, each with the FAST ids of its chunk; the actions are learned.

    Args:
        speaker: The language model.
        store: Episodes that the frames belong to.
        codes: Visual codes of every frame, (frames, rows, columns).
        demonstrations: By robot.
        fast: The FAST tokenizer.
        video: Whether the observation one chunk earlier and its chunk come first.
        learn_vision: Whether pictures are learned, too.
        vision_weight: Weight of visual ids.
        label_spread: Spread of the labels over neighbouring coefficients, see `near_ids`; 0 for
            none, as the original.
    """

    def __init__(
        self,
        speaker: Speaker,
        store: FrameStore,
        codes: np.ndarray,
        demonstrations: Mapping[str, Demonstrations],
        fast: FastTokenizer,
        *,
        video: bool = False,
        learn_vision: bool = False,
        vision_weight: float = 0.5,
        label_spread: float = 0.0,
    ) -> None:
        super().__init__(speaker, vision_weight)
        self._store, self._codes, self.fast = store, codes, fast
        spoken = [LAST_ACTION - number for number in range(fast.num_ids)]
        self._ids = torch.from_numpy(speaker.vocabulary.places(spoken)) if label_spread else None
        self._near = near_ids(fast, label_spread) if label_spread else None
        self._labels = everything_labels if learn_vision else action_labels
        self._video = video
        self.shown = dict(demonstrations)
        self._cumulative = {
            robot: np.cumsum(shown.shares / shown.shares.sum())
            for robot, shown in self.shown.items()
        }
        self._said = {
            robot: [tuple(fast.encode(chunk)) for chunk in shown.chunks]
            for robot, shown in self.shown.items()
        }
        self._place = {
            int(row): (robot, place)
            for robot, shown in self.shown.items()
            for place, row in enumerate(shown.rows)
        }

    def draw(self, rng: np.random.Generator, count: int) -> SequenceBatch:
        """A random batch, every robot alike often."""
        robots = sorted(self.shown)
        picked = []
        for number in rng.integers(len(robots), size=count):
            cumulative = self._cumulative[robots[number]]
            place = min(int(np.searchsorted(cumulative, rng.random())), len(cumulative) - 1)
            picked.append(int(self.shown[robots[number]].rows[place]))
        return self.batch(picked)

    def loss(self, batch: SequenceBatch) -> tuple[Tensor, dict[str, float]]:
        """The loss, a near miss of a coefficient less bad than a far one if labels are spread."""
        if self._ids is None or self._near is None:
            return super().loss(batch)
        logits = self.speaker.logits(batch.ids, batch.keep)[:, :-1].float()
        labels = batch.labels[:, 1:].to(logits.device)
        asked = labels != NO_LABEL
        said, wanted = logits[asked].log_softmax(-1), labels[asked]  # (asked, ids), (asked,)
        ids, near = self._ids.to(logits.device), self._near.to(logits.device)
        ours = wanted[:, None] == ids  # (asked, FAST ids)
        spread = -(said[:, ids] * near[ours.int().argmax(-1)]).sum(-1)
        plain = -said.gather(1, wanted[:, None])[:, 0]
        loss = torch.where(ours.any(-1), spread, plain).mean()
        return loss, {'right': float((said.argmax(-1) == wanted).float().mean())}

    def batch(self, rows: Sequence[int]) -> SequenceBatch:
        """The batch of given frames."""
        sequences = []
        for row in rows:
            words, observations, said = self._lesson(row)
            sequences.append(self.writer.lesson(words, observations, said))
        return self._batch(sequences, [self._labels(ids) for ids in sequences])

    def _lesson(self, row: int) -> tuple[str, list[list[np.ndarray]], list[tuple[int, ...]]]:
        robot, _ = self._place[row]
        words = self._store.instructions(np.array([row]))[0]
        steps = [row]
        if self._video:
            horizon = self.shown[robot].chunks.shape[1]
            before = row - horizon
            start = self._store.episodes[self._store.episode_of(np.array([row]))[0]].start
            if before >= start and before in self._place:
                steps = [before, row]
        views = [[self._codes[step].astype(int)] for step in steps]
        return words, views, [self._said[robot][self._place[step][1]] for step in steps]

    @torch.inference_mode()
    def plans(self, rows: Sequence[int]) -> list[list[int]]:
        """FAST ids, then the end, that the model says on frames, as `UnifiedVlaPolicy.plan`."""
        vocabulary, network = self.speaker.vocabulary, self.speaker.network
        spoken = np.arange(LAST_ACTION - self.fast.num_ids + 1, LAST_ACTION + 1)
        allowed = torch.from_numpy(vocabulary.places([*spoken, END_ACTION]))
        stop = int(vocabulary.places([END_ACTION])[0])
        some = next(iter(self.shown.values()))
        grammar = ChunkGrammar(self.fast, *some.chunks.shape[1:])
        may_follow = grammar.in_order([*(LAST_ACTION - spoken), grammar.end])
        plans = []
        for row in rows:
            words, observations, said = self._lesson(row)
            past = [[LAST_ACTION - number for number in ids] + [END_ACTION] for ids in said[:-1]]
            prompt = self.writer.plan(words, observations, past, BEGIN_ACTION)
            told = continue_greedily(
                network,
                vocabulary.places(prompt).tolist(),
                allowed.to(self.speaker.device),
                stop,
                grammar.longest,
                may_follow,
            )
            ids = [int(vocabulary.ids[token]) for token in told.tokens]
            plan = [LAST_ACTION - number for number in ids if number != END_ACTION]
            plans.append(plan + ([] if told.cut else [self.fast.end]))
        return plans

    @torch.inference_mode()
    def check(self, rows: Sequence[int], planned: int = 12) -> dict[str, float]:
        """Loss on held-out frames, share of plans that decode, and how far off those are.

        Args:
            rows: Frames.
            planned: On how many of them a plan is made.
        """
        network = self.speaker.network
        was = network.training
        network.eval()
        parts = np.array_split(np.asarray(rows), -(-len(rows) // 32))
        losses = [float(self.loss(self.batch(part.tolist()))[0]) for part in parts]
        off = []
        some = list(rows)[:planned]
        for row, plan in zip(some, self.plans(some), strict=True):
            robot, place = self._place[int(row)]
            wanted = self.shown[robot].chunks[place]
            try:
                off.append(np.abs(self.fast.decode_plan(plan, *wanted.shape) - wanted).mean())
            except ActionError:
                continue
        network.train(was)
        figures = {'held_out': float(np.mean(losses)), 'decoded': len(off) / len(some)}
        return figures | ({'off': float(np.mean(off))} if off else {})


def near_ids(fast: FastTokenizer, spread: float) -> Tensor:
    """Labels of each FAST id over all of them, by how near their coefficients are, (ids, ids).

    Ids that do not occur are near nothing. Coefficients are numbers: who says 7 instead of 8 is
    nearly right, which plain cross-entropy does not know.

    Args:
        fast: A tokenizer that merges nothing.
        spread: Standard deviation in coefficients.

    Raises:
        ConfigError: If an id stands for several coefficients.
    """
    values = np.full(fast.num_ids, np.inf)
    for number in range(fast.tokenizer.get_vocab_size()):
        spelled = fast.bytes_of(number)
        if len(spelled) != 1 or spelled[0] > 127:
            raise ConfigError(
                f'FAST id {number} stands for {len(spelled)} bytes, so its neighbours cannot be '
                'told; set label_spread to 0, or action_ids to the number of coefficients'
            )
        values[number] = spelled[0]
    there = np.isfinite(values)
    off = np.where(there, values, 0.0)
    near = np.exp(-0.5 * ((off[:, None] - off[None]) / spread) ** 2) * there * there[:, None]
    return torch.from_numpy(near / np.maximum(near.sum(-1, keepdims=True), 1e-12)).float()
