"""The `unified_vla` policy from a tiny checkpoint in the released layout."""

import base64
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_models.emu3_language import TABLES
from univla_models.emu3_language import Continuation
from univla_models.emu3_language import allow_only
from univla_models.emu3_language import emu3_settings
from univla_models.emu3_language import language_from_state
from univla_models.emu3_language import weighted_loss
from univla_models.emu3_vision import ReleasedLayout
from univla_models.emu3_vision import build_vision
from univla_models.fast_coefficients import bytes_of_signs
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.kept_vocabulary import kept_ids
from univla_models.policy import load_policy
from univla_models.unified_vla import UnifiedVlaPolicy
from univla_models.unified_vla_recipe import RECIPES

from univla_models import unified_vla_tokens as tokens

HORIZON, ACTION_DIM = 4, 2
LANGUAGE = {
    'hidden_size': 8,
    'intermediate_size': 16,
    'num_hidden_layers': 1,
    'num_attention_heads': 2,
    'num_key_value_heads': 1,
    'max_position_embeddings': 400,
    'model_type': 'Emu3',
    'trained': False,
}
VISION = {'ch': 32, 'ch_mult': [1, 1, 1, 1], 'num_res_blocks': 1, 'codebook_size': 32}
RECIPE = {
    'views': [{'camera': 'primary', 'width': 80, 'height': 80}],
    'horizon': HORIZON,
    'action_dim': ACTION_DIM,
    'video': True,
    'max_new_tokens': 12,
}


def filled(network, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith('running_var') or ('norm' in name and name.endswith('weight')):
            value.fill_(1.0)
        elif not name.endswith('num_batches_tracked'):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    return network


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    from univla_models.llama import build_llama

    folder = tmp_path_factory.mktemp('unified')
    (folder / 'config.json').write_text(json.dumps(LANGUAGE))
    language = build_llama(emu3_settings(LANGUAGE, 'test')).to_empty(device='cpu')
    save_file(filled(language, 0).state_dict(), folder / 'model.safetensors')
    (folder / 'vision_tokenizer').mkdir()
    (folder / 'vision_tokenizer' / 'config.json').write_text(json.dumps(VISION))
    vision = filled(build_vision(VISION, 'test', decodes=True).to_empty(device='cpu'), 1)
    state = {name: v.contiguous() for name, v in ReleasedLayout(vision).state_dict().items()}
    save_file(state, folder / 'vision_tokenizer' / 'model.safetensors')
    lines = [
        base64.b64encode(bytes([byte])) + b' %d' % rank
        for rank, byte in enumerate(bytes_of_signs().values())
    ]
    (folder / tokens.TEXT_FILE).write_bytes(b'\n'.join(lines))
    rng = np.random.default_rng(0)
    chunks = [*rng.uniform(-1, 1, (60, HORIZON, ACTION_DIM)), -np.ones((HORIZON, ACTION_DIM))]
    FastTokenizer.fit(chunks, 10.0, 128).save(folder / 'fast')
    (folder / 'unified_vla.json').write_text(json.dumps(RECIPE))
    return folder


@pytest.fixture(scope='module')
def loaded(checkpoint):
    """With the options that `policy_node` gives."""
    options = {'temperature': 0.0, 'top_p': 0.9, 'seed': 0, 'camera': 'primary'}
    return load_policy('unified_vla', checkpoint, device='cpu', preprocessing='auto', **options)


@pytest.fixture
def policy(loaded):
    loaded.reset()
    return loaded


@pytest.fixture
def picture():
    return np.random.default_rng(5).integers(0, 256, (100, 120, 3), dtype=np.uint8)


def saying(policy, monkeypatch, ids, cut=False):
    """Let the model say these FAST ids and its end; returns the prompts it is given."""
    prompts = []
    spoken = [*tokens.spoken_action(ids), *([] if cut else [tokens.END_ACTION])]

    def generate(prompt):
        prompts.append(list(prompt))
        return Continuation(tuple(spoken), (0.5,) * len(spoken), torch.empty(0), cut)

    monkeypatch.setattr(policy, 'generate', generate)
    return prompts


def test_a_plan_is_the_ids_that_were_said(policy, picture):
    """An untrained model says anything, but only ids of the tokenizer, and the end."""
    plan = policy.plan(picture, 'reach')
    plan.check(policy.num_codes)
    assert 1 <= len(plan.codes) <= 12
    assert plan.latent.shape == (0, policy.latent_dim)
    assert (plan.policy, plan.codebook) == ('unified_vla', policy.fast.codebook)
    assert (plan.probabilities > 0.0).all()
    assert not policy.trained
    policy.reset()
    np.testing.assert_array_equal(policy.plan(picture, 'reach').codes, plan.codes)


def test_greedy_steps_with_a_cache_equal_whole_passes(policy, picture):
    ids = policy.prompt('reach', policy.see(picture))
    said = policy.generate(ids)
    with torch.inference_mode():
        for place, token in enumerate(said.tokens):
            past = [*ids, *said.tokens[:place]]
            logits = policy.language(input_ids=torch.tensor([past])).logits[0, -1]
            assert int(allow_only(logits, policy.allowed).argmax()) == token


def test_only_ids_of_the_tokenizer_and_the_end_may_be_said(policy):
    """Mended: the original allows one id more, which decodes to nothing."""
    allowed = policy.allowed.tolist()
    assert len(allowed) == policy.fast.num_ids + 1
    assert sorted(tokens.heard_action(allowed[:-1], policy.fast.num_ids)) == list(range(128))


def test_even_an_untrained_model_says_a_whole_chunk_where_only_those_are_allowed(loaded, picture):
    recipe = dataclasses.replace(loaded.recipe, whole_chunks=True, max_new_tokens=50)
    parts = (loaded.language, loaded.vision, loaded.writer.text, loaded.fast, recipe)
    plan = UnifiedVlaPolicy(*parts).plan(picture, 'reach the red cube')
    assert loaded.fast.decode_plan(plan.codes, HORIZON, ACTION_DIM).shape == (HORIZON, ACTION_DIM)
    assert (plan.probabilities > 0.0).all()
    with pytest.raises(ConfigError, match='choose one'):
        UnifiedVlaPolicy(*parts, official_tokens=True)


def test_a_whole_plan_decodes_and_is_remembered(policy, picture, monkeypatch):
    """Copied: the next sequence holds the observation before and what was said, end included."""
    chunk = np.linspace(-1.0, 1.0, 8).reshape(HORIZON, ACTION_DIM)
    ids = policy.fast.encode(chunk)
    prompts = saying(policy, monkeypatch, ids)
    first = policy.plan(picture, 'reach')
    assert first.codes.tolist() == [*ids, policy.fast.end]
    decoded = policy.fast.decode_plan(first.codes, HORIZON, ACTION_DIM)
    np.testing.assert_allclose(decoded, chunk, atol=0.15)
    policy.plan(picture, 'reach', history_codes=first.codes)
    policy.plan(picture, 'reach')
    block = prompts[0][6:-1]
    spoken = [*tokens.spoken_action(ids), tokens.END_ACTION]
    second = [*prompts[0], *spoken, *block, tokens.BEGIN_ACTION]
    assert prompts[1] == second
    assert prompts[2] == second  # a window of two: the oldest falls out
    policy.reset()
    policy.plan(picture, 'reach')
    assert prompts[3] == prompts[0]


def test_a_plan_that_nobody_followed_is_forgotten(policy, picture, monkeypatch):
    prompts = saying(policy, monkeypatch, policy.fast.encode(np.zeros((HORIZON, ACTION_DIM))))
    policy.plan(picture, 'reach')
    policy.plan(picture, 'reach', history_codes=[1, 2])
    assert prompts[1] == prompts[0]


@pytest.mark.parametrize(
    ('ids', 'cut', 'why'),
    [([], False, 'no action token'), ([1], False, 'too short|malformed'), ([1], True, 'overlong')],
)
def test_a_bad_sequence_travels_but_is_refused_and_not_remembered(
    policy, picture, monkeypatch, ids, cut, why
):
    """Mended: the original moves to the middle of the range, and drops a token of a cut plan."""
    prompts = saying(policy, monkeypatch, ids, cut)
    plan = policy.plan(picture, 'reach')
    plan.check(policy.num_codes)
    with pytest.raises(ActionError, match=why):
        policy.fast.decode_plan(plan.codes, HORIZON, ACTION_DIM)
    policy.plan(picture, 'reach')
    assert prompts[1] == prompts[0]


def test_image_mode_has_no_history(checkpoint, picture, monkeypatch):
    """Copied as an option: a checkpoint is of one mode, and its recipe says which."""
    policy = load_policy('unified_vla', checkpoint, device='cpu', video=False)
    prompts = saying(policy, monkeypatch, policy.fast.encode(np.zeros((HORIZON, ACTION_DIM))))
    policy.plan(picture, 'reach')
    policy.plan(picture, 'reach')
    assert prompts[1] == prompts[0]
    assert (RECIPES['libero_image'].video, RECIPES['libero_video'].video) == (False, True)


def test_given_codes_are_taken_as_they_are(policy, picture):
    plan = policy.plan(picture, '', codes=[1, 2, policy.fast.end])
    assert plan.codes.tolist() == [1, 2, policy.fast.end]
    with pytest.raises(ActionError, match='FAST ids from 0'):
        policy.plan(picture, '', codes=[policy.fast.end + 1])


def test_unusable_observations_are_refused(policy, picture):
    with pytest.raises(ObservationError, match='empty'):
        policy.plan(picture, ' ')
    with pytest.raises(ObservationError, match='camera primary'):
        policy.plan({'wrist': picture}, 'reach')
    with pytest.raises(ObservationError, match='say the instruction shorter'):
        policy.plan(picture, 'reach ' * 60)


def test_options_and_recipes_are_checked(checkpoint, tmp_path):
    for options, why in (
        ({'temperature': 0.7}, 'greedily'),
        ({'beams': 3}, 'no option beams'),
        ({'preprocessing': 'kitchen'}, 'libero_image'),
    ):
        with pytest.raises(ConfigError, match=why):
            load_policy('unified_vla', checkpoint, device='cpu', **options)
    with pytest.raises(CheckpointError, match='min_token'):  # a constant -1 over 10 steps
        load_policy('unified_vla', checkpoint, device='cpu', preprocessing='libero_image')


@pytest.mark.parametrize('name', ['qkv_bias', 'action_experts', 'rope_scaling'])
def test_switches_that_no_release_sets_are_refused(name):
    with pytest.raises(CheckpointError, match=name):
        emu3_settings({name: True}, 'config.json')


def test_a_file_may_keep_a_part_of_the_vocabulary(checkpoint, policy, picture, tmp_path):
    """Small checkpoints: rows of ids that nobody says are left out, and come back as zeros."""
    folder = shutil.copytree(checkpoint, tmp_path / 'kept')
    low = tokens.LAST_ACTION - policy.fast.num_ids + 1
    ranges = [[0, 255], [low, tokens.LAST_ACTION], [tokens.PAD, tokens.FIRST_VISUAL + 31]]
    ids = torch.cat([torch.arange(first, last + 1) for first, last in ranges])
    state = load_file(folder / 'model.safetensors')
    state |= {name: state[name][ids].clone() for name in TABLES}
    save_file(state, folder / 'model.safetensors')
    (folder / 'config.json').write_text(json.dumps({**LANGUAGE, 'kept_ids': ranges}))
    small = load_policy('unified_vla', folder, device='cpu')
    plan, wanted = small.plan(picture, 'reach'), policy.plan(picture, 'reach')
    np.testing.assert_array_equal(plan.codes, wanted.codes)
    np.testing.assert_array_equal(plan.probabilities, wanted.probabilities)
    assert not small.language.lm_head.weight[300].any()
    for bad in ([[5, 2]], [[3, 4], [1, 2]], [[0, tokens.NUM_TOKENS]], 'all'):
        with pytest.raises(CheckpointError, match='kept_ids'):
            kept_ids({'kept_ids': bad}, tokens.NUM_TOKENS, 'config.json')


def test_loading_is_strict(policy):
    state = dict(policy.language.state_dict())
    del state['model.norm.weight']
    with pytest.raises(CheckpointError, match=r'model\.norm\.weight is missing'):
        language_from_state(LANGUAGE, state, 'tiny')


def test_visual_ids_weigh_less_and_the_sum_is_divided_by_the_weights():
    """Copied: losses 1 and 3 with weights 1 and ½ are (1 + 1.5) / 1.5."""
    logits = torch.full((1, 3, tokens.NUM_TOKENS), -1e9)
    text, visual, other = 7, tokens.FIRST_VISUAL, 9
    logits[0, 0, [text, other]] = torch.tensor([0.0, np.log(np.e - 1.0)]).float()
    logits[0, 1, [visual, other]] = torch.tensor([0.0, np.log(np.e**3 - 1.0)]).float()
    labels = torch.tensor([[tokens.NO_LABEL, text, visual]])
    assert float(weighted_loss(logits, labels, 0.5)) == pytest.approx(2.5 / 1.5, rel=1e-5)
