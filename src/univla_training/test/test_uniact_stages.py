"""UniAct's stages on pictures of noise and tiny networks: what they leave fits what deploys."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.errors import TrainingError
from univla_decoders.decoder import RobotDecoder
from univla_models.policy import load_policy
from univla_models.uniact_codebook import TemperatureSchedule
from univla_training.pointing_losses import shown_things
from univla_training.recipe import recipe_from_mapping
from univla_training.recorded import picture_processor
from univla_training.run import TrainingRun
from univla_training.uniact_decoder_training import plan_frames
from univla_training.uniact_decoder_training import train_uniact_decoder
from univla_training.uniact_labels import uniact_demonstrations
from univla_training.uniact_networks import fresh_uniact
from univla_training.uniact_pictures import looks
from univla_training.uniact_pointing import GRID
from univla_training.uniact_pointing import cells_of_codes
from univla_training.uniact_pointing import places_of_codes
from univla_training.uniact_pretraining import pretrain_uniact
from univla_training.uniact_prompting import build_uniact_tokenizer
from univla_training.uniact_prompting import own_uniact_prompts
from univla_training.uniact_settings import UniactSizes
from univla_training.uniact_task import Annealing
from univla_training.uniact_training import train_uniact
from univla_training.uniact_training import uniact_folder

from univla_training import uniact_pretraining

ROBOTS = ('widowx', 'airbot')
SIDE = 28
FAST = {'steps': 3, 'batch_size': 4, 'save_every_s': 1000.0}
RECIPE = {
    'network': {'image_side': SIDE, 'lam_image_side': SIDE},
    'data': {'robots': list(ROBOTS), 'validation_share': 0.25},
    'uniact': {
        'network': {
            'patch': 14,
            'vision_dim': 16,
            'vision_layers': 1,
            'vision_heads': 2,
            'hidden': 16,
            'mlp': 24,
            'layers': 1,
            'heads': 2,
            'num_codes': 8,
            'code_dim': 6,
            'channels': [4, 4, 4, 8],
            'head_layers': [1, 1],
            'head_hidden': 16,
        },
        'pretraining': FAST,
        'training': {**FAST, 'accumulate': 2, 'anneal': 4, 'pointing_share': 0.5},
        'decoder': FAST,
    },
}


@pytest.fixture(scope='module')
def run(tmp_path_factory, arms_store, scenes):
    """A run that has gone through both stages."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('run')
    run = TrainingRun(recipe=recipe_from_mapping(RECIPE, 'test'), out=folder / 'out')
    run.__dict__['store'] = arms_store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uniact_pretraining, 'drawn_scenes', lambda *_: scenes)
        pretrain_uniact(run)
        train_uniact(run)
    return run


@pytest.fixture(scope='module')
def policy(run):
    return load_policy('uniact', uniact_folder(run), device='cpu')


def test_the_checkpoint_plans_as_training_sees(run, policy):
    """The deployed loader and the batches of training: same code, same features."""
    assert policy.trained and policy.options.preprocessing == f'squash_{SIDE}'
    rows = run.store.frames[[0, 7, 30]]
    plans = plan_frames(policy, run.store, rows)
    for number, row in enumerate(rows):
        latent = policy.plan(run.store.pictures[row], run.store.instructions([row])[0])
        assert latent.codes.tolist() == plans.codes[0, number].tolist()
        np.testing.assert_allclose(latent.latent, plans.latent[0, number], atol=2e-3)
        np.testing.assert_allclose(latent.visual, plans.visual[0, number], atol=2e-3, rtol=2e-3)


def test_a_camera_picture_is_seen_as_its_stored_frame(policy):
    """Squashed as episodes are stored, so that training and deployment see the same bytes."""
    camera = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    stored = picture_processor(SIDE).resize(camera)
    one, other = (policy.plan(picture, 'reach the red cube') for picture in (camera, stored))
    np.testing.assert_array_equal(one.visual, other.visual)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    seen = looks(stored[None])
    torch.testing.assert_close(seen.pixels[0], policy.processor(stored))


def test_every_robot_has_a_head_that_follows_one_universal_action(run, policy):
    plan = policy.plan(run.store.pictures[0], '', codes=[5])
    for robot in ROBOTS:
        decoder = RobotDecoder.load(uniact_folder(run) / 'decoders' / robot)
        decoder.check_codebook(policy.codebook)
        ready = load_embodiment(robot).postures['ready']
        chunk = decoder.decode(plan, np.append(ready, 0.5))
        assert chunk.shape == (4, 7) and decoder.declaration.relative
    assert (uniact_folder(run) / 'model_card.md').is_file()


def test_the_result_tells_how_codes_were_chosen(run):
    """Six selections on a schedule of four from 2 to 0.5: a cosine first, then a line.

    0.5 + 0.75 (1 + cos 45°) = 1.7803; 0.5 + 1.5 · 2/4 = 1.25; 0.875; 0.5, 0.5, 0.5: mean 0.9009.
    """
    result = run.result('uniact')
    assert result['temperature'] == pytest.approx(0.9009, abs=1e-4)
    assert 1 <= result['codes'] <= 8 and 0.0 < result['sure'] <= 1.0


@pytest.mark.parametrize('space', ['eef_delta', 'eef_pose', 'joint_delta', 'joint_position'])
def test_fast_adaptation_serves_all_four_interfaces_and_leaves_the_rest(run, policy, space):
    base = uniact_folder(run) / 'basemodel.safetensors'
    before = base.read_bytes()
    decoder = RobotDecoder.load(train_uniact_decoder(run, 'airbot', space))
    assert decoder.declaration.action_space == space
    assert decoder.declaration.relative == (space in ('eef_pose', 'joint_position'))
    decoder.check_codebook(policy.codebook)
    ready = load_embodiment('airbot').postures['ready']
    plan = policy.plan(run.store.pictures[25], 'reach the red cube')
    assert np.isfinite(decoder.decode(plan, np.append(ready, 0.5))).all()
    assert base.read_bytes() == before
    name = 'airbot' if space == 'eef_pose' else f'airbot-{space}'
    assert run.result(f'uniact_decoder/{name}')['learned_share'] < 1.0


def test_a_head_without_proprioception_learns_absolute_rows(run, policy, tmp_path):
    """Another checkpoint is left alone: the head lies in the run's folder."""
    folder = train_uniact_decoder(
        run, 'airbot', 'joint_position', head='uniact_mlp', checkpoint=uniact_folder(run)
    )
    assert folder.is_relative_to(run.out / 'uniact_decoder')
    decoder = RobotDecoder.load(folder)
    assert not decoder.declaration.relative and not decoder.declaration.proprioception_dim
    statistics = json.loads((folder / 'dataset_statistics.json').read_text())['airbot']
    shown = uniact_demonstrations(
        run.store, 'airbot', 'joint_position', 'uniact_mlp', statistics=statistics
    )
    targets = decoder.to_robot_units(shown.chunks[0])
    wanted = run.store.actions(shown.rows[:1], 'joint_position')[0]
    inside = np.abs(shown.chunks[0, :, :6]) < 1.0  # beyond the quantiles values are clipped
    np.testing.assert_allclose(targets[:, :6][inside], wanted[:, :6][inside], atol=1e-5)


def test_a_missing_checkpoint_names_the_command(tmp_path, arms_store):
    run = TrainingRun(recipe=recipe_from_mapping(RECIPE, 'test'), out=tmp_path)
    run.__dict__['store'] = arms_store
    with pytest.raises(TrainingError, match='train uniact'):
        train_uniact_decoder(run, 'airbot')
    with pytest.raises(TrainingError, match='train uniact'):
        train_uniact(run)


def test_sizes_that_do_not_fit_are_refused(tmp_path):
    recipe = recipe_from_mapping(RECIPE, 'test')
    sizes = dataclasses.replace(recipe.uniact.network, patch=12)
    with pytest.raises(ConfigError, match='patches of 12 px'):
        sizes.check(SIDE, 'recipe')


# Pieces.


def test_the_schedule_goes_on_where_its_state_was_saved():
    def fresh():
        return Annealing(TemperatureSchedule(6, 2.0, 0.5))

    whole = fresh()
    wanted = [whole.step() for _ in range(8)]
    first = fresh()
    begun = [first.step() for _ in range(3)]
    second = fresh()
    second.load_state_dict(first.state_dict())
    assert begun + [second.step() for _ in range(5)] == wanted
    assert wanted[-1] == 0.5


def test_names_are_single_tokens_and_prompts_end_where_the_state_counts():
    prompts = own_uniact_prompts(5)
    assert len({prompts.word_id(word) for word in ('red', 'green', 'blue', 'plate')}) == 4
    text = prompts.batch(['reach the red cube', 'drive to the blue pillar slowly'])
    tokenizer = build_uniact_tokenizer()
    for row, start in zip(text.ids, text.start, strict=True):
        assert tokenizer.id_to_token(int(row[start])) == chr(266)  # the line feed behind the role
    assert text.keep.sum(dim=1).tolist() == (text.start + 1).tolist()
    with pytest.raises(ConfigError, match='tokens'):
        prompts.word_id('xylophone')


def test_patches_know_what_they_show():
    """14 cells in 2 x 2 patches: a red cell (kind 3) in the upper right, a plate (6) below."""
    labels = torch.zeros(1, 14, 14, dtype=torch.long)
    labels[0, 2, 9], labels[0, 13, :2] = 3, 6
    shown = shown_things(labels, 7)
    assert shown[0, 1].tolist() == [1, 0, 0, 0, 0]
    assert shown[0, 2].tolist() == [0, 0, 0, 2, 0]
    assert int(shown.sum()) == 3


def test_universal_actions_first_stand_for_places():
    """As many cells as codes but for nowhere: neighbours share one only where they must."""
    cells = torch.eye(GRID**2 + 1)
    own = places_of_codes(cells, GRID**2)
    assert torch.equal(own[:-1], cells[:-1, :-1]) and torch.equal(own[-1], own[-2])
    few = places_of_codes(cells, 4).argmax(-1)
    assert few.unique_consecutive().tolist() == [0, 1, 2, 3]
    assert few[cells_of_codes(4)].tolist() == [0, 1, 2, 3]


def test_universal_actions_of_neighbouring_places_begin_alike():
    """So that a head which knows one of them has an idea of those beside it."""
    network = fresh_uniact(UniactSizes(num_codes=GRID**2, code_dim=64), 84)
    rows = network.universal_actions_codebook.embed.weight.detach()
    near, below, far = (float((rows[20] - rows[k]).norm()) for k in (21, 20 + GRID, 200))
    assert 0.0 < near < 0.6 * far and 0.0 < below < 0.6 * far


def test_training_goes_on_from_another_checkpoint(run, policy, tmp_path):
    """A base brings its own sizes, tokenizer and weights; nothing is pretrained.

    Without `extractor` the choice of universal actions stays, and what acts on them learns.
    """
    values = copy.deepcopy(RECIPE)
    values['uniact']['pretraining'] = {**FAST, 'base': str(uniact_folder(run))}
    values['uniact']['training'] |= {'pointing_share': 0.0, 'head': 'uniact_mlp', 'steps': 1}
    values['uniact']['training']['extractor'] = False
    values['uniact']['network']['hidden'] = 64  # of fresh networks only
    after = TrainingRun(recipe=recipe_from_mapping(values, 'test'), out=tmp_path)
    after.__dict__['store'] = run.store
    pretrain_uniact(after)
    folder = train_uniact(after)
    before, policy = policy.network.state_dict(), load_policy('uniact', folder, device='cpu')
    assert policy.network.ua_extractor.config.hidden_dim == 16
    for name, value in policy.network.state_dict().items():
        if name == 'vision_backbone.conv1.weight':
            assert not torch.equal(value, before[name])
        elif not name.startswith('vision_backbone.'):
            assert torch.equal(value, before[name]), name
    decoder = RobotDecoder.load(folder / 'decoders' / 'airbot')
    assert decoder.declaration.action_space == 'eef_delta'
    assert decoder.decode(policy.plan(run.store.pictures[0], 'go')).shape == (4, 7)
