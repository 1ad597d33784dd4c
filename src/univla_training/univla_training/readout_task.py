"""Read off a frozen policy's plans where in the picture it points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import nn
from univla_models.univla_network import UnivlaNetwork

from univla_training.devices import device_of
from univla_training.devices import on_device
from univla_training.pixels import policy_pixels
from univla_training.pointing import THINGS
from univla_training.pointing import PointingPictures
from univla_training.pointing_task import asked_places
from univla_training.pointing_task import task_question
from univla_training.prompting import Prompts


@dataclass(frozen=True, kw_only=True)
class Pointed:
    """What a policy thinks of scenes as it begins to plan, and where things are in them.

    Attributes:
        states: Hidden states that predict the first code, (n, dim).
        places: Of the named thing, a second one and the own hand, (n, 3, 2) [share of the
            picture]; NaN where it cannot be seen or there is none.
    """

    states: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.states)


@torch.inference_mode()
def pointed_states(
    network: UnivlaNetwork,
    prompts: Prompts,
    pictures: PointingPictures,
    *,
    views: int,
    seed: int,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Pointed:
    """Tell a frozen policy a task in each scene, several times, and note what it thinks.

    Args:
        network: The policy's network.
        prompts: Its tokenizer.
        pictures: The scenes.
        views: How often each is looked at, in changing brightness and tint, each time for a task
            of its own.
        seed: Of the tasks and the changes.
        batch: Scenes at a time.
        progress: Told how many were looked at.
    """
    network.eval()
    device, patches = device_of(network), network.config.num_patches
    rng = np.random.default_rng(seed)
    states, places = [], []
    for rows in _batches(len(pictures), views, batch):
        asked = [task_question(rng, bool(base)) for base in pictures.base[rows]]
        text = on_device(prompts.batch([question.words for question in asked]), device)
        pixels = policy_pixels(pictures.pictures[rows], rng).to(device)
        hidden = network(pixels, text.ids, text.keep)
        states.append(hidden[torch.arange(len(rows)), patches + text.start].float().cpu())
        things = torch.tensor([THINGS.index(question.things[0]) for question in asked])
        seconds = torch.tensor([question.second_index for question in asked])
        places.append(asked_places(torch.from_numpy(pictures.places[rows]), things, seconds))
        if progress is not None:
            progress(len(rows))
    return Pointed(states=torch.cat(states), places=torch.cat(places))


def _batches(count: int, views: int, batch: int) -> list[np.ndarray]:
    """Rows of every scene, `views` times over."""
    starts = range(0, count, batch)
    return [np.arange(s, min(s + batch, count)) for _ in range(views) for s in starts]


class ReadoutTask:
    """Distance, in shares of the picture, of what is read off from where things are."""

    def __init__(self, reader: nn.Module, pointed: Pointed) -> None:
        self._reader, self._pointed = reader, pointed

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Numbers of random samples."""
        return torch.from_numpy(rng.integers(len(self._pointed), size=count))

    def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Mean distance along each axis, of what can be seen."""
        off, seen = self._off(batch)
        named = off[:, 0].detach()[seen[:, 0]].sum(-1).mean()
        return off[seen].mean(), {'named_off': float(named)}

    @torch.inference_mode()
    def check(self) -> dict[str, float]:
        """Mean distance, sum of both axes, of the named thing and of the own hand."""
        off, seen = self._off(torch.arange(len(self._pointed)))
        named, _, hand = (off[:, i][seen[:, i]].sum(-1).mean() for i in range(off.shape[1]))
        return {'held_out_named': float(named), 'held_out_hand': float(hand)}

    def _off(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (n, 3, 2), 0 of what cannot be seen, and what can be, (n, 3)."""
        device = device_of(self._reader)
        states = self._pointed.states[rows].to(device)
        places = self._pointed.places[rows].to(device)
        seen = torch.isfinite(places).all(-1)
        off = (self._reader(states).view(places.shape) - places.nan_to_num()).abs()
        return off * seen[..., None], seen
