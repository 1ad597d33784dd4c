"""The unified VLA's stages on pictures of noise: what they leave fits what deploys."""

import copy
import json

import numpy as np
import pytest
import torch
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import TrainingError
from univla_decoders.declaration import read_declaration
from univla_decoders.increments import added_up
from univla_models.emu3_image_processor import Emu3ImageProcessor
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.policy import load_policy
from univla_training.demonstrations import demonstrations
from univla_training.recipe import recipe_from_mapping
from univla_training.run import TrainingRun
from univla_training.stages import run_card
from univla_training.unified_pretraining import pretrain_unified
from univla_training.unified_task import UnifiedTask
from univla_training.unified_task import near_ids
from univla_training.unified_training import WEIGHTS
from univla_training.unified_training import WORLD
from univla_training.unified_training import fitted
from univla_training.unified_training import train_unified
from univla_training.unified_training import train_world_model
from univla_training.unified_training import unified_folder
from univla_training.unified_vision import train_vision
from univla_training.unified_vision import visual_codes
from univla_training.unified_vocabulary import Vocabulary
from univla_training.unified_vocabulary import small_ranks
from univla_training.unified_vocabulary import small_text

from univla_models import unified_vla_tokens as tokens
from univla_training import unified_language
from univla_training import unified_vision

FAST = {'batch_size': 2, 'save_every_s': 1000.0, 'log_every': 1}
RECIPE = {
    'network': {'image_side': 28, 'lam_image_side': 28},
    'data': {'robots': ['widowx', 'airbot'], 'validation_share': 0.25},
    'unified': {
        'network': {
            'hidden': 16,
            'mlp': 24,
            'layers': 1,
            'heads': 2,
            'kv_heads': 1,
            'positions': 512,
            'visual_codes': 16,
        },
        'vision': {**FAST, 'steps': 2},
        'pretraining': {**FAST, 'steps': 2},
        'world_model': {**FAST, 'steps': 12, 'interval': 2, 'learning_rate': 0.01},
        'policy': {
            **FAST,
            'steps': 16,
            'learning_rate': 0.01,
            'video': True,
            'pointing_share': 0.5,
        },
    },
}


@pytest.fixture(scope='module')
def run(tmp_path_factory, arms_store, scenes):
    """A run that has gone through every stage."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('run')
    run = TrainingRun(recipe=recipe_from_mapping(RECIPE, 'test'), out=folder / 'out')
    run.__dict__['store'] = arms_store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unified_vision, 'drawn_scenes', lambda *_: scenes)
        train_vision(run)
        pretrain_unified(run)
        train_world_model(run)
        train_unified(run)
    return run


@pytest.fixture(scope='module')
def policy(run):
    return load_policy('unified_vla', unified_folder(run), device='cpu')


def test_losses_fall(run):
    for stage in ('unified_world_model', 'unified'):
        result = run.result(stage)
        assert result['loss'] < 0.9 * result['first_loss']


def test_the_checkpoint_sees_and_reads_as_training_wrote(run, policy):
    """The deployed prompt on a stored picture is the training sequence up to the action."""
    assert policy.trained and policy.recipe.video
    codes = visual_codes(run, run.store)
    row = int(run.store.frames[3])
    seen = policy.see(run.store.pictures[row])
    np.testing.assert_array_equal(seen[0], codes[row])
    assert seen[0].shape == (10, 10)
    words = run.store.instructions(np.array([row]))[0]
    prompt = policy.prompt(words, seen)
    lesson = policy.writer.lesson(words, [[codes[row].astype(int)]], [[5]])
    assert prompt == lesson[:-2]
    Vocabulary(policy.language.config.to_dict().get('kept_ids')).places(prompt)


def test_the_loaded_model_says_what_the_trained_one_says(run, policy):
    """Rows of kept ids at their old places: greedy plans are the same."""
    speaker = unified_language.fresh_speaker(run)
    from univla_training.weights import load_module

    load_module(speaker.network, run.folder('unified') / WEIGHTS)
    with torch.no_grad():
        for value in speaker.network.parameters():
            value.copy_(value.bfloat16().float())
    speaker.network.eval()
    shown = {'widowx': demonstrations(run.store, 'widowx', 'eef_pose')}
    codes = visual_codes(run, run.store)
    task = UnifiedTask(speaker, run.store, codes, shown, policy.fast)
    rows = [int(row) for row in shown['widowx'].rows[:3]]
    for row, plan in zip(rows, task.plans(rows), strict=True):
        policy.reset()
        words = run.store.instructions(np.array([row]))[0]
        said = policy.plan(run.store.pictures[row], words).codes.tolist()
        short = min(len(said), len(plan))  # the limits of length differ
        assert said[:short] == plan[:short]


def test_every_arm_has_a_detokeniser_of_the_same_ids(run, policy):
    for robot in ('widowx', 'airbot'):
        folder = unified_folder(run) / 'decoders' / robot
        declared = read_declaration(folder / 'decoder.yaml')
        assert declared.relative and declared.codebook == policy.codebook
        assert declared.proprioception_dim == 7
        fast = FastTokenizer.from_folder(folder)
        assert fast.codebook == policy.codebook and fast.holds(declared.horizon)


def test_what_demonstrations_say_decodes_to_their_motion(run, policy):
    """Taught ids → increments → poses from the measured robot, within the grain of FAST."""
    shown = demonstrations(run.split[0], 'airbot', 'eef_pose')
    ids = policy.fast.encode(np.clip(shown.chunks[0], -1.0, 1.0).astype(float))
    chunk = policy.fast.decode_plan([*ids, policy.fast.end], 4, 7)
    np.testing.assert_allclose(chunk, np.clip(shown.chunks[0], -1.0, 1.0), atol=0.15)
    body = load_embodiment('airbot')
    joints = run.store.proprioception(shown.rows[:1])[0, :6].astype(float)
    assert np.isfinite(added_up(chunk, joints, 'eef_pose', body)).all()


def test_a_broken_plan_is_refused(policy):
    with pytest.raises(ActionError):
        policy.fast.decode_plan([policy.fast.end], 4, 7)


def test_the_card_can_be_written_again_with_results(run, tmp_path):
    row = {'robot': 'widowx', 'task': 'reach', 'episodes': 7, 'successes': 5}
    (tmp_path / 'eval.json').write_text(json.dumps({'results': [row]}))
    path = run_card(run, tmp_path / 'eval.json')
    assert path.parent == unified_folder(run)
    text = path.read_text()
    assert '# Unified VLA' in text and '| widowx | reach |' in text


def test_actions_come_after_the_world_model(tmp_path, arms_store):
    run = TrainingRun(recipe=recipe_from_mapping(RECIPE, 'test'), out=tmp_path)
    run.__dict__['store'] = arms_store
    with pytest.raises(TrainingError, match='train world-model'):
        train_unified(run)


def test_training_goes_on_from_a_released_folder(run, tmp_path):
    """The language model of a checkpoint brings its ids and its words; here, one of ours."""
    values = copy.deepcopy(RECIPE)
    values['unified']['world_model'] |= {'base': str(unified_folder(run)), 'steps': 1}
    values['unified']['vision']['base'] = str(unified_folder(run) / 'vision_tokenizer')
    after = TrainingRun(recipe=recipe_from_mapping(values, 'test'), out=tmp_path)
    after.__dict__['store'] = run.store
    train_vision(after)
    train_world_model(after)
    assert (after.folder(WORLD) / WEIGHTS).is_file()


# Pieces.


def test_labels_are_spread_over_neighbouring_coefficients(arms_store):
    """At a spread of 1 the neighbour weighs exp(-1/2) = 0.607 of the coefficient itself."""
    shown = {'widowx': demonstrations(arms_store, 'widowx', 'eef_pose')}
    fast = fitted(shown, 10.0, 41)
    near = near_ids(fast, 1.0)
    zero = fast.encode(np.zeros((4, 7)))[0]
    value = {int(fast.bytes_of(number)[0]): number for number in range(41)}
    above = value[fast.bytes_of(zero)[0] + 1]
    assert near[zero].argmax() == zero and near[zero].sum() == pytest.approx(1.0)
    assert float(near[zero, above] / near[zero, zero]) == pytest.approx(0.6065, abs=1e-3)
    with pytest.raises(ConfigError, match='label_spread'):
        near_ids(fitted(shown, 10.0, 256), 1.0)


def test_near_misses_cost_less_where_labels_are_spread(run):
    speaker = unified_language.fresh_speaker(run)
    shown = {'widowx': demonstrations(run.store, 'widowx', 'eef_pose')}
    codes = visual_codes(run, run.store)
    fast = fitted(shown, 10.0, 41)
    plain = UnifiedTask(speaker, run.store, codes, shown, fast)
    spread = UnifiedTask(speaker, run.store, codes, shown, fast, label_spread=1e-3)
    batch = plain.batch([int(row) for row in shown['widowx'].rows[:3]])
    with torch.no_grad():  # a spread of nothing is the plain label
        torch.testing.assert_close(plain.loss(batch)[0], spread.loss(batch)[0])
        assert plain.loss(batch)[1] == spread.loss(batch)[1]


def test_places_and_ids_belong_together():
    vocabulary = Vocabulary.small(300, 64, 16)
    ids = [0, 299, tokens.LAST_ACTION, tokens.BEGIN_ACTION, tokens.FIRST_VISUAL + 15]
    places = vocabulary.places(ids)
    np.testing.assert_array_equal(vocabulary.ids[places], ids)
    assert vocabulary.ids[vocabulary.first_visual] == tokens.FIRST_VISUAL
    for lost in (300, tokens.LAST_ACTION - 64, tokens.FIRST_VISUAL + 16):
        with pytest.raises(TrainingError, match=str(lost)):
            vocabulary.places([lost])
    assert len(Vocabulary(None)) == tokens.NUM_TOKENS


def test_the_words_of_the_tasks_are_short():
    text = small_text()
    assert len(text.encode('reach the red cube')) == 4
    assert len(text.encode('put the green cube on the white plate')) == 8
    assert sorted(small_ranks().values()) == list(range(len(small_ranks())))


def test_a_fitted_tokenizer_says_everything_within_bounds(arms_store):
    """The fit holds a constant 1 and -1, the largest coefficients that a chunk can have."""
    shown = {'widowx': demonstrations(arms_store, 'widowx', 'eef_pose')}
    fast = fitted(shown, 10.0, 256)
    assert fast.holds(4)
    rng = np.random.default_rng(0)
    for chunk in (np.ones((4, 7)), -np.ones((4, 7)), np.sign(rng.normal(size=(4, 7)))):
        decoded = fast.decode(fast.encode(chunk), 4, 7)
        np.testing.assert_allclose(decoded, chunk, atol=0.15)


def test_small_pictures_are_coded_in_the_size_the_policy_sees():
    assert Emu3ImageProcessor().size(84, 84) == (80, 80)
