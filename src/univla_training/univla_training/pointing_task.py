"""Teach fresh networks to see and to point, before they learn to act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_decoders.query_head import pointing_reader
from univla_models.univla_network import UnivlaNetwork

from univla_training.devices import device_of
from univla_training.devices import on_device
from univla_training.pixels import policy_pixels
from univla_training.pointing import CELLS
from univla_training.pointing import KINDS
from univla_training.pointing import THINGS
from univla_training.pointing import PointingPictures
from univla_training.pointing_losses import GRID
from univla_training.pointing_losses import look_loss
from univla_training.pointing_losses import plain_attention
from univla_training.pointing_losses import shown_things
from univla_training.pointing_losses import soft_cells
from univla_training.prompting import Prompts
from univla_training.prompting import TextBatch

#: Share of the questions that list everything.
LISTED_SHARE = 0.5
#: Things whose names are taught to the patches that show them.
NAMED = ('red', 'green', 'blue', 'plate')
_COLORS = ('red', 'green', 'blue')
_CUBE_WORDS = (
    'reach the {} cube',
    'push the {} cube',
    'pick up the {} cube',
    'point to the {} cube',
)
_PLACE_WORDS = 'put the {} cube on the white plate'
_PILLAR_WORDS = ('drive to the {} pillar', 'point to the {} pillar')


class PointingHeads(nn.Module):
    """What reads the answers out of the network; thrown away after pretraining.

    Args:
        vision_dim: Dimension of the fused patch features.
        hidden_dim: Dimension of the language model.
    """

    def __init__(self, vision_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.see = nn.Linear(vision_dim, CELLS**2 * len(KINDS))
        # The named thing, the plate if it is named too, and the robot's own gripper.
        self.point = nn.Linear(hidden_dim, 3 * (GRID * GRID + 1))
        self.aim = pointing_reader(hidden_dim)
        # What each patch says of itself: where the thing in it stands, whatever it is, and (by its
        # angle to the embeddings of the names) which thing.
        self.place = nn.Linear(hidden_dim, 2)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.threshold = nn.Parameter(torch.tensor(4.0))

    def seen(self, features: Tensor) -> Tensor:
        """Logits of `KINDS` in every cell: (batch, kinds, cells, cells)."""
        batch, patches, _ = features.shape
        side = round(patches**0.5)
        logits = self.see(features).view(batch, side, side, CELLS, CELLS, -1)
        logits = logits.permute(0, 5, 1, 3, 2, 4)  # (batch, kinds, side, cells, side, cells)
        return logits.reshape(batch, -1, side * CELLS, side * CELLS)

    def named(self, patches: Tensor, names: Tensor) -> Tensor:
        """Logits of each name fitting each patch, by the angle between the two.

        Args:
            patches: Patches as the language model takes them, (batch, patches, hidden_dim).
            names: Embeddings of the names, (names, hidden_dim).
        """
        cosine = F.normalize(patches, dim=-1) @ F.normalize(names, dim=-1).T
        return self.sharpness * cosine - self.threshold


@dataclass(frozen=True, kw_only=True)
class PointingBatch:
    """Pictures, questions and answers.

    Attributes:
        pixels: (batch, 6, side, side).
        text: The questions.
        asked: For each token the thing named last, an index into `places`, (batch, text); -1
            before the first name and in the padding.
        labels: `KINDS` of every cell, (batch, cells, cells).
        places: Of every one of `THINGS`, (batch, 5, 2); NaN where it cannot be seen.
        seconds: Index of a second thing that the sentence names, (batch,); -1 without one.
    """

    pixels: Tensor
    text: TextBatch
    asked: Tensor
    labels: Tensor
    places: Tensor
    seconds: Tensor


class PointingTask:
    """Draws questions about pictures and judges the answers."""

    def __init__(
        self,
        pictures: PointingPictures,
        prompts: Prompts,
        network: UnivlaNetwork,
        heads: PointingHeads,
    ) -> None:
        self.pictures, self.prompts = pictures, prompts
        self.network, self.heads = network, heads
        counts = np.bincount(pictures.labels.ravel(), minlength=len(KINDS)).astype(float)
        rarity = (counts.sum() / np.maximum(counts, 1.0)) ** 0.4
        self._names = torch.tensor([prompts.word_id(name) for name in NAMED])
        self._weights = torch.from_numpy(rarity / rarity[0]).float()

    def draw(self, rng: np.random.Generator, count: int) -> PointingBatch:
        """A random batch."""
        rows = rng.integers(len(self.pictures), size=count)
        questions = [_question(rng, bool(self.pictures.base[row])) for row in rows]
        text = self.prompts.batch([question.words for question in questions])
        return PointingBatch(
            pixels=policy_pixels(self.pictures.pictures[rows], rng),
            text=text,
            asked=self._asked(text, questions),
            labels=torch.from_numpy(self.pictures.labels[rows].astype(np.int64)),
            places=torch.from_numpy(self.pictures.places[rows]),
            seconds=torch.tensor([question.second_index for question in questions]),
        )

    def _asked(self, text: TextBatch, questions: Sequence[Question]) -> Tensor:
        ids = text.ids.numpy()
        asked = np.full(ids.shape, -1, dtype=np.int64)
        for row, question in enumerate(questions):
            begin, end = 0, int(text.start[row]) + 1
            for thing in question.things:
                word = self.prompts.word_id(thing)
                begin += int((ids[row, begin:end] == word).argmax())
                asked[row, begin:end] = THINGS.index(thing)
        return torch.from_numpy(asked)

    def loss(self, batch: PointingBatch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of what is where, of the cells pointed at, and distance of the aim."""
        network = self.network
        batch = on_device(batch, device_of(network))
        features = network.vision_backbone(batch.pixels)
        see = F.cross_entropy(
            self.heads.seen(features).float(),
            batch.labels,
            weight=self._weights.to(features.device),
        )
        patches = network.projector(features)
        name, place = self._patches_loss(patches, batch)
        embedded = network.language_model.model.embed_tokens(batch.text.ids)
        sequence = torch.cat([embedded[:, :1], patches, embedded[:, 1:]], dim=1)
        seen = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
        keep = torch.cat([batch.text.keep[:, :1], seen, batch.text.keep[:, 1:]], dim=1)
        model = network.language_model.model
        with plain_attention(model):
            out = model(
                inputs_embeds=sequence,
                attention_mask=keep,
                use_cache=False,
                output_attentions=True,
            )
        hidden = out.last_hidden_state
        # Every token from the name on shall know the place: for the name itself one look at the
        # picture is enough, and the later ones learn to take it over.
        text = hidden[:, patches.shape[1] :]  # text token i > 0 stands at patches + i
        sample, token = torch.nonzero(batch.asked >= 0, as_tuple=True)
        state = text[sample, token]  # (tokens, dim)
        thing = batch.asked[sample, token]
        places = asked_places(batch.places[sample], thing, batch.seconds[sample])
        goal, cells = soft_cells(places)
        logits = self.heads.point(state).float().view(len(state), 3, -1)
        point = -(goal * F.log_softmax(logits, dim=-1)).sum(-1).mean()
        aimed = self.heads.aim(state).float().view(-1, 3, 2)
        visible = torch.isfinite(places).all(-1)
        error = (aimed - places.nan_to_num()).abs().sum(-1)
        aim = error[visible].mean()
        last = (token == batch.text.start[sample]) & visible[:, 0]
        first = torch.cat(
            [thing[:1] >= 0, (thing[1:] != thing[:-1]) | (sample[1:] != sample[:-1])]
        )
        shows = shown_things(batch.labels)[sample, :, thing] > 0  # (tokens, patches)
        look = look_loss(out.attentions, sample, token + patches.shape[1], shows, first)
        loss = 0.5 * see + name + 2.0 * place + 0.3 * look + 0.3 * point + 2.0 * aim
        named = first & visible[:, 0]
        off = error.detach()[:, 0]
        found = (logits.argmax(-1) == cells)[:, 0]
        return loss, {
            'see': float(see.detach()),
            'name': float(name.detach()),
            'place': float(place.detach()),
            'look': float(look.detach()),
            'point': float(point.detach()),
            'aim': float(aim.detach()),
            'named_off': float(off[named].mean()),
            'last_off': float(off[last].mean()),
            'last_right': float(found[last].float().mean()),
        }

    def _patches_loss(self, patches: Tensor, batch: PointingBatch) -> tuple[Tensor, Tensor]:
        """How badly patches tell the things in them by name, and the place of the largest one.

        This is what makes words and pictures meet quickly: a patch that shows the red cube then
        lies near the word "red", which therefore finds it by attention, and carries a place that
        can be read off without knowing which thing it belongs to.
        """
        shown = shown_things(batch.labels)  # (batch, patches, things)
        names = self.network.language_model.model.embed_tokens(self._names.to(patches.device))
        logits = self.heads.named(patches, names).float()
        target = (shown[..., : len(NAMED)] > 0).float()
        name = F.binary_cross_entropy_with_logits(logits, target)
        most, thing = shown.max(-1)
        sample, patch = torch.nonzero(most > 0, as_tuple=True)
        places = batch.places[sample, thing[sample, patch]]
        seen = torch.isfinite(places).all(-1)
        told = self.heads.place(patches[sample, patch]).float()
        return name, (told - places.nan_to_num()).abs().sum(-1)[seen].mean()


def asked_places(places: Tensor, things: Tensor, seconds: Tensor) -> Tensor:
    """Where the things that questions are about stand, and the robot's own hand.

    Args:
        places: Of every one of `THINGS`, (n, 5, 2).
        things: Index of the named thing, (n,).
        seconds: Index of a second one, (n,); -1 without one.

    Returns:
        (n, 3, 2), NaN where there is nothing to be seen.
    """
    number = torch.arange(len(places), device=places.device)
    other = torch.where((seconds >= 0)[:, None], places[number, seconds], torch.nan)
    return torch.stack([places[number, things], other, places[:, THINGS.index('gripper')]], dim=1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A sentence and what it names.

    Attributes:
        words: The sentence.
        things: Of `THINGS`, in the order of the words.
        second: One more that belongs to all of it, empty without one.
    """

    words: str
    things: tuple[str, ...]
    second: str = ''

    @property
    def second_index(self) -> int:
        """Of `second` in `THINGS`, -1 without one."""
        return THINGS.index(self.second) if self.second else -1


def _question(rng: np.random.Generator, base: bool) -> Question:
    """A task, or a list of things to point to: many answers for one look at the picture."""
    return _list(rng, base) if rng.random() < LISTED_SHARE else task_question(rng, base)


def task_question(rng: np.random.Generator, base: bool) -> Question:
    """A task in the words in which robots are told it."""
    color = str(rng.choice(_COLORS))
    if base:
        return Question(words=str(rng.choice(_PILLAR_WORDS)).format(color), things=(color,))
    if rng.random() < 0.3:
        return Question(words=_PLACE_WORDS.format(color), things=(color,), second='plate')
    return Question(words=str(rng.choice(_CUBE_WORDS)).format(color), things=(color,))


def _list(rng: np.random.Generator, base: bool) -> Question:
    names = {color: f'the {color} {"pillar" if base else "cube"}' for color in _COLORS}
    if not base:
        names['plate'] = 'the white plate'
    order = [str(thing) for thing in rng.permutation(sorted(names))]
    words = ' and '.join(names[thing] for thing in order)
    return Question(words=f'point to {words}', things=tuple(order))
