"""Pointing: what patches show, where attention goes, and pointing on while learning to act."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from univla_training.pointing import CELLS
from univla_training.pointing import KINDS
from univla_training.pointing import POINTING_SCENES
from univla_training.pointing import THINGS
from univla_training.pointing import draw_pictures
from univla_training.pointing_beside import PointingBeside
from univla_training.pointing_losses import look_loss
from univla_training.pointing_losses import plain_attention
from univla_training.pointing_losses import shown_things
from univla_training.recipe import Recipe
from univla_training.run import TrainingRun
from univla_training.scene_drawing import drawn_scenes

from univla_training import scene_drawing

RED, PLATE = THINGS.index('red'), THINGS.index('plate')


def test_patches_know_what_they_show():
    """A red square of 2 x 3 cells in the second patch of the first row, a plate in the last."""
    labels = torch.zeros(1, 2 * CELLS, 2 * CELLS, dtype=torch.long)
    labels[0, 1:3, CELLS + 1 : CELLS + 4] = KINDS.index('red')
    labels[0, CELLS:, CELLS:] = KINDS.index('plate')
    shown = shown_things(labels)
    expected = torch.zeros(1, 4, len(THINGS), dtype=torch.long)
    expected[0, 1, RED] = 6
    expected[0, 3, PLATE] = CELLS * CELLS
    torch.testing.assert_close(shown, expected)


def test_hands_in_the_scenes_are_where_they_work():
    """Many low ones, some with a cube; what they hide is told by its centre all the same."""
    scenes = draw_pictures('widowx', 24, seed=3, side=28)
    gripper = scenes.places[:, THINGS.index('gripper')]
    cubes = scenes.places[:, : THINGS.index('plate')]  # (scenes, 3, 2)
    off = np.linalg.norm(cubes - gripper[:, None], axis=-1)
    near = np.nanmin(off, axis=1)
    assert (near < 0.01).sum() >= 2, 'held'
    assert (near < 0.12).sum() >= 10, 'at work'
    assert (near > 0.2).sum() >= 2, 'on the way'
    plates = scenes.places[:, THINGS.index('plate')]
    lies = np.linalg.norm(cubes - plates[:, None], axis=-1) < 0.08  # of the picture
    assert lies.any(axis=1).sum() >= 2, 'put on a plate'
    bare = ~np.isnan(plates[:, 0]) & ~lies.any(axis=1)
    assert bare.sum() >= 6
    again = draw_pictures('widowx', 24, seed=3, side=28)
    np.testing.assert_array_equal(again.places, scenes.places)


def test_scenes_are_the_same_whoever_draws_them(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_drawing, '_AT_ONCE', 2)
    drawn = []
    for workers in (1, 2):
        run = TrainingRun(
            recipe=Recipe(), out=tmp_path, cache=tmp_path / str(workers), workers=workers
        )
        scenes = drawn_scenes(run, POINTING_SCENES, ('widowx', 'mobile_base'), 6, 3, 28)
        again = drawn_scenes(run, POINTING_SCENES, ('widowx', 'mobile_base'), 6, 3, 28)
        np.testing.assert_array_equal(again.pictures, scenes.pictures)
        drawn.append(scenes)
    assert drawn[0].base.tolist() == [False] * 3 + [True] * 3
    np.testing.assert_array_equal(drawn[1].pictures, drawn[0].pictures)
    np.testing.assert_array_equal(drawn[1].places, drawn[0].places)
    assert len(np.unique(drawn[0].pictures, axis=0)) == 6


@pytest.mark.parametrize(('patch', 'looks'), [(1, True), (2, False)])
def test_looking_elsewhere_costs(patch, looks):
    """Sequence: start, three patches, one word; the word means what patch 1 (from 0) shows."""
    attention = torch.zeros(1, 2, 5, 5)
    attention[0, 0, 4, 1 + patch] = 1.0
    loss = look_loss(
        [attention, attention],
        torch.tensor([0]),
        torch.tensor([4]),
        torch.tensor([[False, True, False]]),
        torch.tensor([True]),
    )
    assert (float(loss) < 0.01) == looks


def test_what_is_not_to_be_seen_is_not_looked_for():
    """Else the loss of a hidden thing would pull attention anywhere."""
    attention = torch.full((1, 1, 4, 4), 0.25, requires_grad=True)
    shows = torch.tensor([[False, False], [False, True]])
    both = torch.tensor([True, True])
    loss = look_loss([attention], torch.tensor([0, 0]), torch.tensor([2, 3]), shows, both)
    loss.backward()
    assert attention.grad is not None
    assert not attention.grad[0, 0, 2].any()
    assert attention.grad[0, 0, 3].any()


def test_attention_is_put_back():
    model = SimpleNamespace(config=SimpleNamespace(_attn_implementation='sdpa'))
    with pytest.raises(ValueError, match='broken'), plain_attention(model):
        assert model.config._attn_implementation == 'eager'
        raise ValueError('broken')
    assert model.config._attn_implementation == 'sdpa'


def test_a_share_of_each_batch_points():
    weight = nn.Parameter(torch.tensor(2.0))

    class Pointing:
        def draw(self, rng, count):
            return count

        def loss(self, batch):
            return weight * batch, {'last_off': 0.5, 'last_right': 0.25, 'see': 9.0}

    def beside_codes(*weights):
        return PointingBeside(
            lambda rng, count: count,
            lambda batch: (weight * batch, {'right': 1.0}),
            Pointing(),
            0.25,
            *weights,
        )

    beside = beside_codes()
    batch = beside.draw(np.random.default_rng(0), 64)
    assert batch == (48, 16)
    loss, facts = beside.loss(batch)
    assert loss.item() == 2.0 * 64
    assert facts == {'own': 96.0, 'right': 1.0, 'last_off': 0.5, 'last_right': 0.25}
    heavier, _ = beside_codes(3.0).loss(batch)
    assert heavier.item() == 2.0 * (48 + 3 * 16)
