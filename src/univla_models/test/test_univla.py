import json

import numpy as np
import pytest
import torch
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_models.policy import load_policy
from univla_models.univla import UnivlaOptions
from univla_models.univla import UnivlaPolicy
from univla_models.univla import official_filter
from univla_models.univla_network import UnivlaConfig
from univla_models.univla_network import UnivlaNetwork

INSTRUCTION = 'pick up the red block'


def picture(seed=0, shape=(48, 64, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def reloaded(folder, **options):
    return UnivlaPolicy.from_pretrained(folder, device='cpu', options=UnivlaOptions(**options))


def naive_plan(policy, ids, pixels):
    """Four tokens by running the whole sequence again for each, all positions at once."""
    ids, states = list(ids), []
    for _ in range(4):
        hidden = policy.network(pixels, torch.tensor([ids]))[0]
        logits = hidden @ policy.network.language_model.lm_head.weight.T
        states.append(hidden[-1])
        ids.append(
            int(policy.tokenizer.action_ids[logits[-1, policy.tokenizer.action_ids].argmax()])
        )
    return ids[-4:], torch.stack(states), hidden


def test_a_plan_is_four_codes_and_the_states_that_chose_them(policy):
    plan = policy.plan(picture(), INSTRUCTION)
    plan.check()
    assert plan.codes.dtype == np.int32
    assert plan.codes.shape == plan.probabilities.shape == (4,)
    assert ((plan.codes >= 0) & (plan.codes < policy.num_codes)).all()
    assert plan.latent.shape == (4, policy.latent_dim)
    assert plan.visual.shape == (256, policy.latent_dim)
    assert (plan.policy, plan.codebook) == ('univla', policy.codebook)


def test_the_cached_plan_equals_running_everything_again(policy):
    """Key-value cache, last-position logits and code rows alone must change nothing."""
    ids = policy.tokenizer.plan_ids('In: What action should the robot take to go?\nOut:')
    pixels = policy.pixels(picture())
    with torch.inference_mode():
        tokens, states, hidden = naive_plan(policy, ids, pixels)
    generated = policy.generate(pixels, ids)
    assert list(generated.tokens) == tokens
    torch.testing.assert_close(generated.latent, states, atol=1e-5, rtol=1e-5)
    # The state of the fourth token is never computed: causal attention leaves the rest alone.
    torch.testing.assert_close(generated.visual, hidden[:256], atol=1e-5, rtol=1e-5)


def test_visual_states_begin_with_the_sequence_start_and_lack_the_last_patch(policy):
    """Off by one, in training and here alike: row 0 does not depend on the picture."""
    first, second = (policy.plan(picture(seed), INSTRUCTION).visual for seed in (1, 2))
    np.testing.assert_allclose(first[0], second[0], atol=1e-6)
    assert np.abs(first[1] - second[1]).max() > 1e-3


def test_greedy_plans_repeat_and_probabilities_are_among_codes(policy):
    first, second = (policy.plan(picture(), INSTRUCTION) for _ in range(2))
    assert (first.codes == second.codes).all()
    assert (first.probabilities >= 1.0 / policy.num_codes - 1e-6).all()  # the likeliest of 16


def test_sampling_repeats_from_its_seed_after_reset(checkpoint):
    policy = reloaded(checkpoint, temperature=5.0, seed=3)
    runs = []
    for _ in range(2):
        policy.reset()
        runs.append([policy.plan(picture(), INSTRUCTION).codes.tolist() for _ in range(4)])
    assert runs[0] == runs[1]
    assert len({tuple(codes) for codes in runs[0]}) > 1
    other = reloaded(checkpoint, temperature=5.0, seed=4)
    assert [other.plan(picture(), INSTRUCTION).codes.tolist() for _ in range(4)] != runs[0]


@pytest.mark.parametrize('official_tokens', [False, True])
def test_recited_codes_give_the_states_on_the_way_to_them(checkpoint, official_tokens):
    """What the policy would say by itself, given to it, is the very same plan."""
    restricted = reloaded(checkpoint).plan(picture(), INSTRUCTION)
    policy = reloaded(checkpoint, official_tokens=official_tokens)
    given = policy.plan(picture(), INSTRUCTION, codes=restricted.codes)
    np.testing.assert_array_equal(given.codes, restricted.codes)
    np.testing.assert_array_equal(given.latent, restricted.latent)
    np.testing.assert_array_equal(given.visual, restricted.visual)
    if not official_tokens:  # there the probabilities are among all tokens
        np.testing.assert_array_equal(given.probabilities, restricted.probabilities)


def test_other_codes_give_other_latents_with_their_own_probabilities(policy):
    """The first state chose the first code, so it cannot depend on it; the others do."""
    own = policy.plan(picture(), INSTRUCTION)
    other = policy.plan(picture(), INSTRUCTION, codes=(own.codes + 1) % policy.num_codes)
    np.testing.assert_array_equal(other.latent[0], own.latent[0])
    assert np.abs(other.latent[1:] - own.latent[1:]).max(axis=1).min() > 1e-4
    shares = [policy.plan(picture(), INSTRUCTION, codes=[c]).probabilities[0] for c in range(16)]
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)
    assert own.codes[0] == np.argmax(shares)


def test_recited_codes_equal_running_everything_again(policy):
    codes = np.array([7, 0, 15, 2])
    prompt = policy.tokenizer.plan_ids(f'In: What action should the robot take to {INSTRUCTION}?'
                                       '\nOut:')  # fmt: skip
    ids = torch.tensor([[*prompt, *policy.tokenizer.action_ids[codes]]])
    with torch.inference_mode():
        hidden = policy.network(policy.pixels(picture()), ids)[0]
    plan = policy.plan(picture(), INSTRUCTION, codes=codes)
    np.testing.assert_allclose(plan.latent, hidden[-5:-1].numpy(), atol=1e-5)


def test_one_code_is_said_four_times_and_needs_no_words(policy):
    plan = policy.plan(picture(), '', codes=[5])
    assert plan.codes.tolist() == [5, 5, 5, 5]
    assert plan.instruction == ''
    np.testing.assert_array_equal(
        plan.latent, policy.plan(picture(), 'move', codes=[5, 5, 5, 5]).latent
    )


@pytest.mark.parametrize('codes', [[], [1, 2], [1, 2, 3, 4, 5], [16], [-1], [0, 0, 99, 0]])
def test_codes_of_no_vocabulary_are_refused(policy, codes):
    with pytest.raises(ActionError, match=r'were picked'):
        policy.plan(picture(), INSTRUCTION, codes=codes)


def test_history_and_case_reach_the_prompt(policy):
    plain = policy.plan(picture(), INSTRUCTION).latent
    assert (
        np.abs(
            policy.plan(picture(), INSTRUCTION, history_codes=[1, 2, 3, 4]).latent - plain
        ).max()
        > 1e-4
    )
    np.testing.assert_array_equal(policy.plan(picture(), INSTRUCTION.upper()).latent, plain)


def test_official_tokens_never_crash_and_may_return_fewer_codes(checkpoint):
    """Unrestricted, random weights choose any token: the official filter keeps codes only."""
    policy = reloaded(checkpoint, official_tokens=True)
    plan = policy.plan(picture(), INSTRUCTION)
    assert len(plan.codes) == len(plan.probabilities) <= 4
    assert plan.latent.shape == (4, policy.latent_dim)
    slid_in = policy.plan(picture(), INSTRUCTION, history_codes=[1, 2, 3, 4]).codes
    assert len(slid_in) == 4  # codes of the prompt fill up what was not generated


def test_official_filter_lets_prompt_codes_slide_in():
    # One start token, history 32005 32001, two generated codes and a newline between.
    assert official_filter([1, 32005, 32001, 29871, 32012, 13, 32015]).tolist() == [
        *(32005, 32001, 32012, 32015)
    ]
    assert official_filter([32001, 32002]).tolist() == [32002]  # the first is always dropped


@pytest.mark.parametrize('instruction', ['', '   ', '\n\t'])
def test_an_empty_instruction_is_refused(policy, instruction):
    with pytest.raises(ObservationError, match='instruction is empty'):
        policy.plan(picture(), instruction)


@pytest.mark.parametrize(
    'image',
    [
        picture().astype(np.float32),
        picture()[..., 0],
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        None,
    ],
)
def test_what_is_no_rgb_picture_is_refused(policy, image):
    with pytest.raises(ObservationError, match='must be RGB, uint8'):
        policy.plan(image, INSTRUCTION)


def test_a_camera_must_be_named_among_several(checkpoint, policy):
    images = {'left': picture(1), 'right': picture(2)}
    with pytest.raises(ObservationError, match='left, right'):
        policy.plan(images, INSTRUCTION)
    right = reloaded(checkpoint, camera='right').plan(images, INSTRUCTION)
    np.testing.assert_array_equal(right.latent, policy.plan(picture(2), INSTRUCTION).latent)


def test_bfloat16_plans_close_to_float32(checkpoint, policy):
    half = UnivlaPolicy.from_pretrained(checkpoint, device='cpu', dtype='bfloat16')
    got, wanted = (p.plan(picture(), INSTRUCTION).visual for p in (half, policy))
    assert np.abs(got - wanted).mean() < 0.05 * np.abs(wanted).mean()


def test_every_attention_plans_the_same(checkpoint, policy):
    """The official mask is one short, which eager attention cannot take."""
    eager = UnivlaPolicy.from_pretrained(checkpoint, device='cpu', attention='eager')
    got, wanted = (p.plan(picture(), INSTRUCTION) for p in (eager, policy))
    np.testing.assert_array_equal(got.codes, wanted.codes)
    np.testing.assert_allclose(got.latent, wanted.latent, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_the_gpu_plans_like_the_cpu(checkpoint, policy):
    gpu = UnivlaPolicy.from_pretrained(checkpoint, device='cuda', dtype='float32')
    got, wanted = (p.plan(picture(), INSTRUCTION) for p in (gpu, policy))
    np.testing.assert_allclose(got.visual, wanted.visual, atol=1e-2)


def test_an_instruction_that_does_not_fit_is_refused(policy):
    with pytest.raises(ObservationError, match='say it shorter'):
        policy.plan(picture(), 'up and down ' * 1000)


def test_separate_statistics_win_over_those_in_the_configuration(broken):
    statistics = {'mine': {'action': {'q01': [0.0], 'q99': [1.0]}}}
    (broken / 'dataset_statistics.json').write_text(json.dumps(statistics))
    assert list(reloaded(broken).norm_stats) == ['mine']
    (broken / 'dataset_statistics.json').unlink()
    assert list(reloaded(broken).norm_stats) == ['cart']


def test_released_configurations_count_as_trained(broken, policy):
    assert policy.trained is False
    config = json.loads((broken / 'config.json').read_text())
    del config['trained']
    (broken / 'config.json').write_text(json.dumps(config))
    assert reloaded(broken).trained is True


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('model_type', 'llava', 'model_type'),
        ('arch_specifier', 'no-align+gelu-mlp', 'only fused-gelu-mlp'),
        ('timm_model_ids', ['vit_tiny'], 'timm_model_ids'),
        ('text_config', {'model_type': 'mistral'}, 'mistral'),
        ('text_config', {'rope_scaling': {'type': 'linear'}}, 'rope_scaling'),
    ],
)
def test_another_architecture_is_refused(broken, key, value, message):
    config = json.loads((broken / 'config.json').read_text())
    (broken / 'config.json').write_text(json.dumps(config | {key: value}))
    with pytest.raises(CheckpointError, match=message):
        reloaded(broken)


def test_a_released_configuration_means_the_full_sizes():
    """It says little more than the vocabulary; timm names and old defaults say the rest."""
    released = {
        'model_type': 'openvla',
        'arch_specifier': 'no-align+fused-gelu-mlp',
        'text_config': {'model_type': 'llama', 'vocab_size': 32064, 'pad_token_id': 32000},
    }
    config = UnivlaConfig.from_mapping(released, 'here')
    with torch.device('meta'):
        network = UnivlaNetwork(config)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes['projector.fc1.weight'] == (8704, 2176)
    assert shapes['language_model.lm_head.weight'] == (32064, 4096)
    assert shapes['vision_backbone.featurizer.reg_token'] == (1, 4, 1024)
    assert shapes['vision_backbone.fused_featurizer.blocks.25.mlp.fc1.weight'] == (4304, 1152)
    assert network.is_unused('vision_backbone.fused_featurizer.blocks.26.mlp.fc1.weight')


def test_policies_load_by_name(checkpoint):
    loaded = load_policy(
        'univla', checkpoint, device='cpu', preprocessing='bridge', temperature=0.5
    )
    assert loaded.name == 'univla'
    with pytest.raises(ConfigError, match=r"unknown policy 'univa'; known are univla"):
        load_policy('univa', checkpoint)
    with pytest.raises(ConfigError, match='no option colour'):
        load_policy('univla', checkpoint, colour='red')
    with pytest.raises(ConfigError, match='unknown preprocessing'):
        load_policy('univla', checkpoint, device='cpu', preprocessing='kitchen')
