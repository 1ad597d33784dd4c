"""What a finished policy thinks tells where it points; nothing else of a checkpoint changes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from univla_core.errors import TrainingError
from univla_decoders.query_head import pointing_reader
from univla_models.univla import UnivlaPolicy
from univla_training.export import write_policy
from univla_training.networks import fresh_policy
from univla_training.networks import pointing_weights
from univla_training.pointing import THINGS
from univla_training.pointing import PointingPictures
from univla_training.pointing_task import asked_places
from univla_training.prompting import Prompts
from univla_training.readout_task import Pointed
from univla_training.readout_task import ReadoutTask
from univla_training.readout_task import pointed_states
from univla_training.readout_training import train_readout
from univla_training.recipe import recipe_from_mapping
from univla_training.run import TrainingRun

from univla_training import readout_training

SIDE = 28
RECIPE = {
    'network': {
        'image_side': SIDE,
        'lam_image_side': SIDE,
        'dino': {'dim': 16, 'depth': 2, 'heads': 2},
        'siglip': {'dim': 16, 'depth': 2, 'heads': 2},
        'llama': {'hidden': 32, 'mlp': 64, 'layers': 1, 'heads': 2},
    },
    'data': {'robots': ['widowx']},
    'readout': {'steps': 200, 'learning_rate': 0.01, 'views': 2, 'save_every_s': 1000.0},
}
NOTHING = {'data': {'robots': ['widowx']}, 'network': RECIPE['network'], 'name': 'plain'}


def made_up_scenes(count: int = 400) -> PointingPictures:
    """A hand that is dark on the left and bright on the right: even fresh networks tell that."""
    rng = np.random.default_rng(0)
    bright = rng.random(count) < 0.5
    pictures = np.full((count, SIDE, SIDE, 3), 30, dtype=np.uint8)
    pictures[bright, 4:24, 4:24] = 230
    places = np.full((count, len(THINGS), 2), np.nan, dtype=np.float32)
    places[:, THINGS.index('gripper')] = np.where(bright[:, None], 0.8, 0.2)
    places[:, :4] = 0.25, 0.75
    return PointingPictures(
        pictures=pictures,
        labels=np.zeros((count, 14, 14), dtype=np.uint8),
        places=places,
        base=np.zeros(count, dtype=bool),
    )


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A checkpoint, a run, and the copy of the checkpoint with a reader."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('readout')
    recipe = recipe_from_mapping(RECIPE, 'test')
    torch.manual_seed(0)
    source = folder / 'shipped'
    write_policy(source, fresh_policy(recipe.network), recipe.network, recipe='latent')
    (source / 'decoders' / 'widowx').mkdir(parents=True)
    (source / 'decoders' / 'widowx' / 'decoder.yaml').write_text('kept: as it is\n')
    run = TrainingRun(recipe=recipe, out=folder / 'out', cache=folder / 'cache', workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readout_training, 'drawn_scenes', lambda *_: made_up_scenes())
        yield run, source, train_readout(run, str(source))


def test_a_reader_tells_where_the_hand_is_in_scenes_that_it_has_not_seen(made):
    run, _, folder = made
    told = json.loads((run.out / 'readout' / 'result.json').read_text())
    scenes = made_up_scenes()
    hands = scenes.places[:, THINGS.index('gripper')]
    guessed = np.abs(hands - np.median(hands, axis=0)).sum(-1).mean()
    assert told['held_out_hand'] < 0.5 * guessed
    assert told['held_out_named'] < 0.05

    policy = UnivlaPolicy.from_pretrained(folder, device='cpu', dtype='float32')
    reader = pointing_reader(policy.latent_dim)
    told_places = dataclasses.replace(run.recipe.decoder, pointing=True)
    reader.load_state_dict(pointing_weights(folder, told_places))
    seen = pointed_states(policy.network, Prompts(policy.tokenizer), scenes, views=1, seed=7)
    assert len(seen) == len(scenes)
    assert ReadoutTask(reader, seen).check()['held_out_hand'] < 0.5 * guessed


def test_nothing_else_of_the_checkpoint_changes(made):
    _, source, folder = made
    before, after = (load_file(path / 'model.safetensors') for path in (source, folder))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (folder / 'config.json').read_bytes() == (source / 'config.json').read_bytes()
    assert (folder / 'decoders' / 'widowx' / 'decoder.yaml').read_text() == 'kept: as it is\n'
    assert not (source / 'pointing.safetensors').exists()


def test_what_cannot_be_seen_teaches_nothing(made):
    reader = pointing_reader(8)
    places = torch.full((4, 3, 2), torch.nan)
    places[:, 0] = 0.5
    task = ReadoutTask(reader, Pointed(states=torch.randn(4, 8), places=places))
    loss, told = task.loss(torch.arange(4))
    loss.backward()
    assert np.isfinite(told['named_off'])
    weight = reader[-1].weight.grad.view(3, 2, -1)
    assert torch.isfinite(weight).all()
    assert weight[0].abs().sum() > 0.0 and weight[1:].abs().sum() == 0.0


def test_places_are_those_of_what_the_words_name():
    places = torch.arange(20.0).view(2, 5, 2)
    red, plate, hand = (THINGS.index(name) for name in ('red', 'plate', 'gripper'))
    asked = asked_places(places, torch.tensor([red, red]), torch.tensor([plate, -1]))
    assert torch.equal(asked[0], places[0, [red, plate, hand]])
    assert torch.equal(asked[1, [0, 2]], places[1, [red, hand]])
    assert torch.isnan(asked[1, 1]).all()


def test_a_finished_stage_stays_and_goes_on_with_nothing_else(made, tmp_path):
    run, source, folder = made
    written = (folder / 'pointing.safetensors').stat().st_mtime_ns
    assert train_readout(run, str(source)) == folder
    assert (folder / 'pointing.safetensors').stat().st_mtime_ns == written
    with pytest.raises(TrainingError, match='would be replaced by what is trained from it'):
        train_readout(run, str(folder))
    torch.manual_seed(5)
    other = tmp_path / 'other'
    write_policy(other, fresh_policy(run.recipe.network), run.recipe.network, recipe='latent')
    with pytest.raises(TrainingError, match='was made with another checkpoint'):
        train_readout(run, str(other))


def test_a_recipe_without_a_reader_is_told_where_to_look(made, tmp_path):
    run, source, _ = made
    bare = dataclasses.replace(
        run, recipe=recipe_from_mapping(NOTHING, 'test'), out=tmp_path / 'out'
    )
    with pytest.raises(TrainingError, match="recipe 'plain' trains no readout"):
        train_readout(bare, str(source))
