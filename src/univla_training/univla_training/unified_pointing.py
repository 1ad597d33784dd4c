"""Teach a fresh unified VLA to point: what stands in for the pretraining of Emu3's language model.

The scenes and questions are those that the small networks of the other policies begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_models.unified_vla_tokens import IMAGE
from univla_models.unified_vla_tokens import SequenceWriter

from univla_training.pointing import THINGS
from univla_training.pointing import PointingPictures
from univla_training.pointing_losses import GRID
from univla_training.pointing_losses import plain_attention
from univla_training.pointing_losses import shown_things
from univla_training.pointing_losses import soft_cells
from univla_training.pointing_task import NAMED
from univla_training.pointing_task import task_question
from univla_training.unified_language import Speaker
from univla_training.unified_vision import CODE_CELLS

#: Layers whose first head learns to look from a name at the codes that show it, at once.
_FIRST_LAYERS = 2


class UnifiedPointingHeads(nn.Module):
    """What reads the answers out of the language model; thrown away afterwards.

    Args:
        hidden: Dimension of the language model.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        # The named thing, a second one if it is named too, and the robot's own gripper.
        self.point = nn.Linear(hidden, 3 * (GRID * GRID + 1))
        self.aim = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 6))
        # What each visual code says of itself: where the thing in it stands, and which it is.
        self.place = nn.Linear(hidden, 2)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.threshold = nn.Parameter(torch.tensor(4.0))

    def named(self, codes: Tensor, names: Tensor) -> Tensor:
        """Logits of each name fitting each code, by the angle between their embeddings."""
        cosine = F.normalize(codes, dim=-1) @ F.normalize(names, dim=-1).T
        return self.sharpness * cosine - self.threshold


@dataclass(frozen=True, kw_only=True)
class UnifiedPointingBatch:
    """Sequences and what is where.

    Attributes:
        ids: Places of the ids, (batch, longest); right padded.
        keep: Which are none of the padding.
        first: Position of the first visual code, (batch,).
        asked: For each position the thing it must point at, an index into `THINGS`; -1 without.
        begins: Whether a position is the name itself, (batch, longest).
        seconds: Index of a second thing that the sentence names, (batch,); -1 without one.
        shown: Cells of each code that show each of `THINGS`, (batch, codes, 5).
        places: Of each of `THINGS`, (batch, 5, 2); NaN where it cannot be seen.
    """

    ids: Tensor
    keep: Tensor
    first: Tensor
    asked: Tensor
    begins: Tensor
    seconds: Tensor
    shown: Tensor
    places: Tensor


class UnifiedPointing:
    """Asks about pictures, and judges the answers.

    A sequence is that of a plan, the words, the picture and the begin of an action, where the
    thing of the words is meant; then all things are named one after the other, which brings more
    answers for one look at the picture.

    Args:
        pictures: The scenes.
        codes: Their visual codes, (scenes, rows, columns).
        speaker: The language model.
        heads: What reads it.
    """

    def __init__(
        self,
        pictures: PointingPictures,
        codes: np.ndarray,
        speaker: Speaker,
        heads: UnifiedPointingHeads,
    ) -> None:
        self.pictures, self.speaker, self.heads = pictures, speaker, heads
        self._codes, self.writer = codes, SequenceWriter(speaker.text)
        self._names = [self._word(name) for name in NAMED]

    def draw(self, rng: np.random.Generator, count: int) -> UnifiedPointingBatch:
        """A random batch."""
        rows = rng.integers(len(self.pictures), size=count)
        lessons = [self._lesson(rng, int(row)) for row in rows]
        sequences = [ids for ids, _, _ in lessons]
        longest = max(map(len, sequences))
        asked = np.full((count, longest), -1, dtype=np.int64)
        begins = np.zeros((count, longest), dtype=bool)
        for number, (_, meant, _) in enumerate(lessons):
            for position, thing, is_name in meant:
                asked[number, position], begins[number, position] = thing, is_name
        labels = [np.full(len(ids), -100, dtype=np.int64) for ids in sequences]
        ids, keep, _ = self.speaker.padded(sequences, labels)
        first = [sequence.index(IMAGE) + 1 for sequence in sequences]
        return UnifiedPointingBatch(
            ids=ids,
            keep=keep,
            first=torch.tensor(first),
            asked=torch.from_numpy(asked),
            begins=torch.from_numpy(begins),
            seconds=torch.tensor([second for _, _, second in lessons]),
            shown=shown_in_codes(self.pictures.labels[rows], self._codes.shape[1:]),
            places=torch.from_numpy(self.pictures.places[rows]),
        )

    def loss(self, batch: UnifiedPointingBatch) -> tuple[Tensor, dict[str, float]]:
        """Names and places of codes, where attention goes, the cells pointed at, and the aim."""
        network = self.speaker.network
        with plain_attention(network.model):
            out = network.model(
                input_ids=batch.ids.to(self.speaker.device),
                attention_mask=batch.keep.to(self.speaker.device),
                use_cache=False,
                output_attentions=True,
                output_hidden_states=True,
            )
        asked, shown = batch.asked, batch.shown
        spots = batch.first[:, None] + torch.arange(shown.shape[1])  # (batch, codes)
        name, place = self._of_codes(out.hidden_states, batch, spots)
        sample, position = torch.nonzero(asked >= 0, as_tuple=True)
        thing, second = asked[sample, position], batch.seconds[sample]
        begins = batch.begins[sample, position]
        look = self._looked(out.attentions, sample, position, spots, shown, thing, begins)
        own, number = batch.places[sample], torch.arange(len(sample))
        # A second thing belongs to the sentence, and so to the action, not to the names after it.
        other = torch.where(((second >= 0) & ~begins)[:, None], own[number, second], torch.nan)
        wanted = torch.stack([own[number, thing], other, own[:, THINGS.index('gripper')]], dim=1)
        goal, cells = soft_cells(wanted)
        state = out.last_hidden_state[sample, position]
        device = state.device
        goal, cells, wanted = goal.to(device), cells.to(device), wanted.to(device)
        logits = self.heads.point(state).float().view(len(state), 3, -1)
        point = -(goal * F.log_softmax(logits, dim=-1)).sum(-1).mean()
        visible = torch.isfinite(wanted).all(-1)
        aimed = self.heads.aim(state).float().view(-1, 3, 2)
        error = (aimed - wanted.nan_to_num()).abs().sum(-1)
        aim = error[visible].mean()
        loss = name + 2.0 * place + 0.3 * look + 0.3 * point + 2.0 * aim
        last = ~begins.to(device) & visible[:, 0]
        found = (logits.argmax(-1) == cells)[:, 0]
        return loss, {
            'name': float(name.detach()),
            'place': float(place.detach()),
            'look': float(look.detach()),
            'point': float(point.detach()),
            'last_off': float(error.detach()[:, 0][last].mean()),
            'last_right': float(found[last].float().mean()),
        }

    def _of_codes(
        self, hidden: Sequence[Tensor], batch: UnifiedPointingBatch, spots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """How badly codes tell the things in them by name, and the place of the largest one.

        The name is read from the embedding, so that words and codes that show the thing meet by
        attention; the place only once the model can have counted how far into the picture it is.
        """
        table = self.speaker.network.model.embed_tokens
        sample = torch.arange(len(spots))[:, None]
        names = table(torch.tensor(self._names, device=self.speaker.device))
        logits = self.heads.named(hidden[0][sample, spots], names).float()
        target = (batch.shown[..., : len(NAMED)] > 0).float().to(logits.device)
        name = F.binary_cross_entropy_with_logits(logits, target)
        most, thing = batch.shown.max(-1)
        row, code = torch.nonzero(most > 0, as_tuple=True)
        wanted = batch.places[row, thing[row, code]]
        seen = torch.isfinite(wanted).all(-1)
        counted = hidden[min(_FIRST_LAYERS, len(hidden) - 1)]
        told = self.heads.place(counted[row, spots[row, code]]).float()
        off = (told - wanted.nan_to_num().to(told.device)).abs().sum(-1)
        return name, off[seen].mean()

    @staticmethod
    def _looked(
        attentions: Sequence[Tensor],
        sample: Tensor,
        position: Tensor,
        spots: Tensor,
        shown: Tensor,
        thing: Tensor,
        begins: Tensor,
    ) -> Tensor:
        """How little the first head looks at the codes that show what is meant.

        Names shall look there in the first layers, the begin of an action in the later ones, when
        it has found out what is meant.
        """
        shows = shown[sample, :, thing] > 0  # (asked, codes)
        seen = shows.any(-1)
        losses = []
        for layer, attention in enumerate(attentions):
            ours = seen & begins if layer < _FIRST_LAYERS else seen
            rows, places = sample[ours, None], position[ours, None]
            weights = attention[rows, 0, places, spots[sample[ours]]]
            looked = (weights * shows[ours].to(weights.device)).sum(-1)
            losses.append(-(looked + 1e-4).log().mean())
        return torch.stack(losses).mean()

    def _lesson(
        self, rng: np.random.Generator, row: int
    ) -> tuple[list[int], list[tuple[int, int, bool]], int]:
        """A sequence; position, thing and whether it is its name, of each answer; the second."""
        base = bool(self.pictures.base[row])
        question = task_question(rng, base)
        words = self.writer.plan(question.words, [[self._codes[row].astype(int)]])
        meant = [(len(words) - 1, THINGS.index(question.things[0]), False)]
        ids = list(words)
        for name in rng.permutation([n for n in NAMED if not (base and n == 'plate')]):
            spelled = self.writer.text.encode(f' {name}')
            meant.append((len(ids), THINGS.index(str(name)), True))
            ids += spelled
        return ids, meant, THINGS.index(question.second) if question.second else -1

    def _word(self, name: str) -> int:
        """Place of the id that names a thing."""
        spelled = self.writer.text.encode(f' {name}')
        return int(self.speaker.vocabulary.places(spelled[:1])[0])


def shown_in_codes(labels: np.ndarray, shape: Sequence[int]) -> Tensor:
    """How many cells of each visual code show each of `THINGS`, (batch, rows · columns, 5).

    Args:
        labels: `KINDS` of every cell, (batch, cells, cells); cells of codes are others.
        shape: Rows and columns of the codes.
    """
    rows, columns = (
        ((np.arange(count * CODE_CELLS) + 0.5) * labels.shape[axis] / (count * CODE_CELLS))
        for axis, count in zip((1, 2), shape, strict=True)
    )
    drawn = labels[:, rows.astype(int)[:, None], columns.astype(int)[None]]
    return shown_things(torch.from_numpy(drawn), CODE_CELLS)
