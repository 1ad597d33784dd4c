"""A policy's eyes learn that another table changes nothing; all else of a checkpoint stays."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from univla_core.errors import TrainingError
from univla_models.univla import UnivlaPolicy
from univla_sim.gl import choose_platform
from univla_training.export import write_policy
from univla_training.look_pairs import LOOK_SCENES
from univla_training.look_pairs import LookPairs
from univla_training.look_pairs import draw_look_pairs
from univla_training.look_training import train_looks
from univla_training.networks import fresh_policy
from univla_training.pixels import policy_pixels
from univla_training.recipe import Recipe
from univla_training.recipe import recipe_from_mapping
from univla_training.run import TrainingRun
from univla_training.scene_drawing import drawn_scenes

from univla_training import look_training

SIDE = 28
RECIPE = {
    'network': {
        'image_side': SIDE,
        'lam_image_side': SIDE,
        'dino': {'dim': 16, 'depth': 2, 'heads': 2},
        'siglip': {'dim': 16, 'depth': 2, 'heads': 2},
        'llama': {'hidden': 16, 'mlp': 32, 'layers': 1, 'heads': 2},
    },
    'data': {'robots': ['widowx']},
    'looks': {'steps': 150, 'batch_size': 16, 'learning_rate': 0.003, 'save_every_s': 1000.0},
}


def made_up_pairs() -> LookPairs:
    """A bright thing somewhere on a table: grey, or in stripes."""
    rng = np.random.default_rng(0)
    plain = np.full((64, SIDE, SIDE, 3), 150, dtype=np.uint8)
    other = plain.copy()
    other[:, :, ::4] = 60
    for number in range(64):
        row, column = rng.integers(0, SIDE - 6, 2)
        for pictures in (plain, other):
            pictures[number, row : row + 6, column : column + 6] = (230, 20, 20)
    return LookPairs(plain=plain, other=other)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A checkpoint, a run, and the checkpoint whose eyes learned."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('looks')
    recipe = recipe_from_mapping(RECIPE, 'test')
    torch.manual_seed(0)
    source = folder / 'shipped'
    write_policy(source, fresh_policy(recipe.network), recipe.network, recipe='latent')
    (source / 'decoders' / 'widowx').mkdir(parents=True)
    (source / 'decoders' / 'widowx' / 'decoder.yaml').write_text('kept: as it is\n')
    run = TrainingRun(recipe=recipe, out=folder / 'out', cache=folder / 'cache', workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look_training, 'drawn_scenes', lambda *_: made_up_pairs())
        yield run, source, train_looks(run, str(source))


@torch.no_grad()
def patches(checkpoint, pictures):
    network = UnivlaPolicy.from_pretrained(checkpoint, device='cpu', dtype='float32').network
    return network.projector(network.vision_backbone(policy_pixels(pictures)))


def test_another_table_looks_like_the_plain_one_afterwards(made):
    _, source, folder = made
    pairs = made_up_pairs()
    goal = patches(source, pairs.plain)
    spread = goal.flatten(0, 1).std(0)

    def off(checkpoint, pictures):
        return float(((patches(checkpoint, pictures) - goal) / spread).square().mean())

    assert off(folder, pairs.other) < 0.3 * off(source, pairs.other)
    assert off(folder, pairs.plain) < 0.1


def test_only_the_eyes_are_others(made):
    _, source, folder = made
    before, after = (load_file(path / 'model.safetensors') for path in (source, folder))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(('vision_backbone.', 'projector.')) for name in changed)
    assert all(before[name].dtype == after[name].dtype for name in before)
    assert (folder / 'decoders' / 'widowx' / 'decoder.yaml').read_text() == 'kept: as it is\n'
    told = json.loads((folder / 'config.json').read_text())['provenance']['looks']
    assert told['robots'] == ['widowx'] and told['steps'] == 150
    assert UnivlaPolicy.from_pretrained(folder, device='cpu').codebook == (
        UnivlaPolicy.from_pretrained(source, device='cpu').codebook
    )


def test_a_finished_stage_stays_and_goes_on_with_nothing_else(made, tmp_path):
    run, source, folder = made
    written = (folder / 'model.safetensors').stat().st_mtime_ns
    assert train_looks(run, str(source)) == folder
    assert (folder / 'model.safetensors').stat().st_mtime_ns == written
    with pytest.raises(TrainingError, match='was made with another checkpoint'):
        train_looks(run, str(folder_with_other_weights(source, tmp_path)))
    with pytest.raises(TrainingError, match='would be replaced by what is trained from it'):
        train_looks(run, str(folder))


def folder_with_other_weights(source, tmp_path):
    recipe = recipe_from_mapping(RECIPE, 'test')
    torch.manual_seed(5)
    write_policy(tmp_path / 'other', fresh_policy(recipe.network), recipe.network, recipe='latent')
    return tmp_path / 'other'


def test_a_checkpoint_in_pieces_is_refused(made, tmp_path):
    run, source, _ = made
    split = tmp_path / 'split'
    shutil.copytree(source, split)
    weights = (split / 'model.safetensors').rename(split / 'model-00001-of-00001.safetensors')
    index = dict.fromkeys(load_file(weights), weights.name)
    (split / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': index}))
    fresh = dataclasses.replace(run, out=tmp_path / 'out')
    with pytest.raises(TrainingError, match=r'has no model\.safetensors; looks can be trained'):
        train_looks(fresh, str(split))


def test_a_checkpoint_of_another_policy_is_refused_by_name(made, tmp_path):
    run, _, _ = made
    fresh = dataclasses.replace(run, out=tmp_path / 'out')
    with pytest.raises(TrainingError, match=r"is of policy 'uniact'; name a --checkpoint of"):
        train_looks(fresh, 'uniact-tiny')


def test_a_recipe_without_looks_is_told_where_to_look(made, tmp_path):
    run, source, _ = made
    recipe = recipe_from_mapping({**RECIPE, 'name': 'plain', 'looks': {}}, 'test')
    bare = dataclasses.replace(run, recipe=recipe, out=tmp_path / 'out')
    with pytest.raises(TrainingError, match="recipe 'plain' trains no looks"):
        train_looks(bare, str(source))


def test_without_textures_nothing_is_drawn(monkeypatch):
    monkeypatch.setenv('UNIVLA_RENDER', 'ray')
    with pytest.raises(TrainingError, match=r'drawn by ray here \(UNIVLA_RENDER\).* no textures'):
        draw_look_pairs('widowx', 2, 1, 84)


@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_pairs_show_the_same_things_in_the_same_places(tmp_path):
    """Whatever is clearly red, green or blue in one picture is so in the other."""
    run = TrainingRun(recipe=Recipe(), out=tmp_path, cache=tmp_path, workers=1)
    pairs = drawn_scenes(run, LOOK_SCENES, ('widowx',), 6, 3, 84)
    assert len(pairs) == 6
    shown = 0
    for plain, other in zip(pairs.plain.astype(int), pairs.other.astype(int), strict=True):
        assert np.abs(plain - other).mean() > 10.0
        for channel in range(3):
            first, second = (vivid(picture, channel) for picture in (plain, other))
            if first.sum() < 12:  # behind the hand, or at the edge
                continue
            shown += 1
            assert (first & second).sum() > 0.6 * first.sum()
    assert shown >= 8
    again = draw_look_pairs('widowx', 6, 11, 84)
    np.testing.assert_array_equal(again.other, draw_look_pairs('widowx', 6, 11, 84).other)


def vivid(picture, channel):
    others = np.delete(picture, channel, axis=-1).max(axis=-1)
    return picture[..., channel] > 1.7 * others + 20
