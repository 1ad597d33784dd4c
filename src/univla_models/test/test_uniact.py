"""UniAct: what is copied from the original, what is mended, and what is refused."""

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
from univla_models.policy import load_policy
from univla_models.uniact_codebook import GumbelCodebook
from univla_models.uniact_codebook import TemperatureSchedule
from univla_models.uniact_codebook import gumbel_noise
from univla_models.uniact_extractor import ExtractorConfig
from univla_models.uniact_extractor import last_attended
from univla_models.uniact_network import UniactNetwork
from univla_models.uniact_options import prepare
from univla_models.uniact_prompt import UniactPrompt
from univla_models.uniact_synthetic import TINY_CHANNELS
from univla_models.uniact_synthetic import byte_tokenizer
from univla_models.uniact_synthetic import write_uniact_checkpoint

PROMPT = '<|im_start|>user <video>\nPick it UP!<|im_end|><|im_start|>assistant\n'
BASE = 'basemodel.safetensors'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_uniact_checkpoint(tmp_path_factory.mktemp('uniact') / 'tiny')


@pytest.fixture
def broken(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / 'broken')


@pytest.fixture(scope='module')
def policy(folder):
    return load_policy('uniact', folder, device='cpu')


def picture(seed=0, side=64):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_plan_is_one_universal_action_and_the_features_of_every_view(policy):
    plan = policy.plan({'primary': picture(), 'wrist': picture(1)}, 'lift the cup')
    plan.check(policy.num_codes)
    assert (plan.policy, plan.codebook) == ('uniact', policy.codebook)
    assert (policy.num_codes, policy.latent_dim, policy.codes_per_plan) == (256, 128, 1)
    assert plan.latent.shape == (1, 128)
    assert plan.visual.shape == (2 * 49, TINY_CHANNELS[-1])
    np.testing.assert_array_equal(plan.latent[0], policy.vector(int(plan.codes[0])).numpy())
    logits = policy.logits(picture(), 'lift the cup')[0]
    assert plan.codes[0] == logits.argmax()
    assert plan.probabilities[0] == pytest.approx(float(torch.softmax(logits, 0).max()))
    assert not policy.trained


def test_only_the_primary_view_chooses_the_action(folder, policy):
    """The heads see all views, the extractor the first or the one that is named."""
    both = {'wrist': picture(1), 'primary': picture()}
    named = load_policy('uniact', folder, device='cpu', camera='primary')
    alone = policy.plan(picture(), 'go')
    plan = named.plan(both, 'go')
    np.testing.assert_array_equal(plan.probabilities, alone.probabilities)
    np.testing.assert_allclose(plan.visual[:49], alone.visual, atol=1e-5)
    with pytest.raises(ObservationError, match='primary'):
        named.plan({'wrist': picture(1)}, 'go')


def test_a_picked_code_leaves_the_extractor_out(policy):
    """Copied from the paper's figure 7: the row of the codebook, with the live picture."""
    plan = policy.plan(picture(), '', codes=[7])
    assert plan.codes.tolist() == [7]
    assert plan.probabilities.tolist() == [1.0]
    np.testing.assert_array_equal(plan.latent[0], policy.vector(7).numpy())
    np.testing.assert_array_equal(plan.visual, policy.plan(picture(), 'go').visual)
    with pytest.raises(ActionError, match='0 to 255'):
        policy.plan(picture(), '', codes=[256])


def test_quirk_noise_at_inference_is_off_unless_asked_for_and_then_seeded(folder, policy):
    """Mended: the original draws noise on every call. Behind a temperature, and repeatable."""
    plans = [policy.plan(picture(), 'go') for _ in range(2)]
    np.testing.assert_array_equal(plans[0].latent, plans[1].latent)
    soft = load_policy('uniact', folder, device='cpu', temperature=1.4, seed=3)
    first, second = soft.plan(picture(), 'go'), soft.plan(picture(), 'go')
    assert not np.array_equal(first.latent, second.latent)
    soft.reset()
    np.testing.assert_array_equal(soft.plan(picture(), 'go').latent, first.latent)
    other = load_policy('uniact', folder, device='cpu', temperature=1.4, seed=4)
    assert not np.array_equal(other.plan(picture(), 'go').latent, first.latent)


def test_a_mixture_weighs_all_actions_by_their_probabilities_without_noise(folder, policy):
    mixing = load_policy('uniact', folder, device='cpu', selection='mixture')
    plan = mixing.plan(picture(), 'go')
    shares = torch.softmax(mixing.logits(picture(), 'go')[0], 0)
    table = mixing.network.universal_actions_codebook.embed.weight.float()
    np.testing.assert_allclose(plan.latent[0], (shares @ table).numpy(), atol=1e-5)
    firm = policy.plan(picture(), 'go')
    np.testing.assert_array_equal(plan.codes, firm.codes)
    np.testing.assert_allclose(plan.probabilities, firm.probabilities, rtol=1e-5)
    np.testing.assert_array_equal(mixing.plan(picture(), 'go').latent, plan.latent)


def test_quirk_frame_statistics_are_copied_but_do_not_seep_into_training(folder, policy):
    """Copied: batch norms on the frame at hand. Mended: running statistics stay as they were."""
    frame = load_policy('uniact', folder, device='cpu', batch_norm='frame')
    before = frame.network.vision_backbone.bn1.running_mean.clone()
    plans = [frame.plan(picture(seed), 'go') for seed in (0, 1, 0)]
    np.testing.assert_array_equal(plans[0].visual, plans[2].visual)
    assert not np.allclose(plans[0].visual, policy.plan(picture(), 'go').visual, atol=1e-3)
    assert torch.equal(frame.network.vision_backbone.bn1.running_mean, before)


def test_the_checkpoint_says_how_it_wants_to_be_used(folder, tmp_path):
    """Mended: habits travel with the weights, not with the caller."""
    own = shutil.copytree(folder, tmp_path / 'own')
    settings = {'batch_norm': 'frame', 'preprocessing': 'libero_mlp', 'selection': 'mixture'}
    (own / 'uniact.json').write_text(json.dumps(settings))
    taken = load_policy('uniact', own, device='cpu')
    assert (taken.options.batch_norm, taken.options.preprocessing) == ('frame', 'libero_mlp')
    assert taken.trained and taken.options.selection == 'mixture'
    asked = load_policy('uniact', own, device='cpu', batch_norm='running', preprocessing='none')
    assert (asked.options.batch_norm, asked.options.preprocessing) == ('running', 'none')


def test_soft_selection_becomes_hard_as_the_temperature_falls():
    torch.manual_seed(0)
    book = GumbelCodebook(6, 5, 3)
    logits = book(torch.randn(4, 6))
    hard, soft = book.hard(logits), book.soft(logits, 1e-4, torch.zeros(4, 5))
    torch.testing.assert_close(soft.vector, hard.vector)
    assert torch.equal(soft.index, hard.index)
    assert hard.largest.tolist() == [1.0] * 4
    assert not hard.vector.requires_grad
    assert soft.vector.requires_grad
    flat = book.soft(torch.zeros(1, 5), 1.0, torch.zeros(1, 5))
    torch.testing.assert_close(flat.vector[0], book.embed.weight.mean(dim=0))
    # q = 1/5 everywhere: sum of q log(1) is 0.
    assert float(flat.entropy.detach()) == pytest.approx(0.0, abs=1e-9)


def test_gumbel_noise_has_its_mean_and_spread():
    """Mean: Euler's constant, 0.5772; variance: pi²/6 = 1.645."""
    noise = gumbel_noise((200_000,), torch.Generator().manual_seed(1))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(noise.var()) == pytest.approx(1.645, abs=0.03)


def test_quirk_the_first_temperature_is_on_a_cosine_and_the_others_on_a_line():
    """Copied for training; mended: planning has no schedule, so inference never advances it."""
    schedule = TemperatureSchedule(4, 2.0, 1.0)
    # cosine at step 1 of 4: 1 + (1 + cos 45°) / 2 = 1.8536; then 1 + 1 · (4 - n) / 4.
    assert schedule.step() == pytest.approx(1.853553, abs=1e-6)
    assert [schedule.step() for _ in range(4)] == [1.5, 1.25, 1.0, 1.0]
    resumed = TemperatureSchedule(4, 2.0, 1.0, start=9)
    assert resumed.step() == 1.0


@pytest.mark.parametrize('template', ['current', 'older'])
def test_the_prompt_is_the_official_text_and_the_instruction_stays_as_it_is(template):
    prompt = UniactPrompt(byte_tokenizer(), 5, template)
    older = PROMPT.replace('user ', 'user\n').replace('<|im_end|>', '<|im_end|>\n')
    assert prompt.text('Pick it UP!') == (PROMPT if template == 'current' else older)
    ids = prompt.ids('Pick it UP!')
    assert ids.count(prompt.video_token) == 5
    assert len(ids) == len(prompt.tokenizer.encode(prompt.text('Pick it UP!')).ids) + 4


def test_the_template_of_the_folder_wins(broken):
    jinja = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ': ' }}"
        "{% for c in m['content'] %}{% if c['type'] == 'video' %}<video>{% else %}"
        "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    (broken / 'chat_template.json').write_text(json.dumps({'chat_template': jinja}))
    prompt = UniactPrompt.from_folder(broken, 5)
    assert prompt.text('go') == '<|im_start|>user: <video>go<|im_start|>assistant\n'
    (broken / 'chat_template.json').write_text(json.dumps({'chat_template': '{% for %}'}))
    with pytest.raises(CheckpointError, match='cannot be rendered'):
        UniactPrompt.from_folder(broken, 5).text('go')
    (broken / 'chat_template.json').write_text(json.dumps({'chat_template': 'no picture'}))
    with pytest.raises(CheckpointError, match='0 videos'):
        UniactPrompt.from_folder(broken, 5).text('go')


def test_the_state_is_read_at_the_last_attended_position_on_either_padding(policy):
    keep = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]])
    assert last_attended(keep).tolist() == [1, 3, 3]
    rows, mask = policy.prompt.batch(['go', 'go a little further'])
    pixels = policy.processor(picture())[None].expand(2, -1, -1, -1)
    with torch.inference_mode():
        together = policy.network.logits(pixels, torch.tensor(rows), torch.tensor(mask))
    torch.testing.assert_close(together[:1], policy.logits(picture(), 'go'))


@pytest.mark.parametrize(
    'instruction, word', [('', 'empty'), ('go <video>', '<video>'), ('x' * 600, 'shorter')]
)
def test_instructions_that_would_break_the_prompt_are_refused(policy, instruction, word):
    """Mended: the original reads control tokens inside an instruction as such."""
    with pytest.raises(ObservationError, match=word):
        policy.plan(picture(), instruction)


def test_libero_pictures_are_turned_and_zoomed():
    image = np.zeros((128, 128, 3), dtype=np.uint8)
    image[:64] = 255  # bright above
    turned = prepare(image, 'libero_mlp', first=True)
    assert turned.shape == (384, 384, 3)
    assert turned[:180].max() == 0
    assert turned[200:].min() == 255
    assert prepare(image, 'libero_act', first=True).shape == image.shape
    np.testing.assert_array_equal(prepare(image, 'libero_act', first=False), image[::-1])
    np.testing.assert_array_equal(prepare(image, 'none', first=True), image)


@pytest.mark.parametrize(
    'change, word',
    [
        (lambda s: s.pop('universal_actions_codebook.pre_proj.bias'), 'pre_proj.bias is missing'),
        (lambda s: s.pop('vision_backbone.bn1.weight'), 'vision_backbone.bn1.weight is missing'),
        (
            # As the code of January 2025 had it.
            lambda s: s.update({'universal_actions_codebook.pre_norm.weight': torch.ones(24)}),
            'pre_norm.weight .* unexpected',
        ),
        (lambda s: s.update({'ua_extractor.image_newline': torch.ones(3)}), r'shape \(3,\)'),
        (
            lambda s: s['universal_actions_codebook.embed.weight'][0].fill_(torch.nan),
            'embed.weight .*NaN',
        ),
        (lambda s: s.pop('universal_actions_codebook.embed.weight'), 'cannot size'),
    ],
)
def test_quirk_tensors_that_do_not_fit_are_named(broken, change, word):
    """Mended: the original loads with strict=False, and a wrong file gives a random head."""
    state = load_file(broken / BASE)
    change(state)
    save_file(state, broken / BASE)
    with pytest.raises(CheckpointError, match=word):
        load_policy('uniact', broken, device='cpu')


@pytest.mark.parametrize('name', ['basemodel.pt', 'mp_rank_00_model_states.pt'])
def test_released_and_training_files_load_as_they_are(broken, policy, name):
    """With the language model's output layer and heads, which are not needed here."""
    state = load_file(broken / BASE)
    (broken / BASE).unlink()
    state['ua_extractor.language_model.lm_head.weight'] = torch.zeros(261, 24)
    state['interpreter.libero-1-rgb.head.fc2.bias'] = torch.zeros(28)
    torch.save({'module': state} if name.startswith('mp') else state, broken / name)
    loaded = load_policy('uniact', broken, device='cpu')
    wanted = policy.plan(picture(), 'go')
    np.testing.assert_array_equal(loaded.plan(picture(), 'go').codes, wanted.codes)


@pytest.mark.parametrize('missing', [BASE, 'config.json', 'tokenizer.json'])
def test_a_missing_file_is_named(broken, missing):
    (broken / missing).unlink()
    with pytest.raises(CheckpointError, match=missing):
        load_policy('uniact', broken, device='cpu')


@pytest.mark.parametrize(
    'options', [{'colour': 'red'}, {'preprocessing': 'kitchen'}, {'batch_norm': 'x'},
                {'selection': 'best'}, {'temperature': -1.0}, {'attention': 'none'}]
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(folder, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        load_policy('uniact', folder, device='cpu', **options)


def test_another_architecture_is_refused(broken):
    values = json.loads((broken / 'config.json').read_text())
    values['vision_feature_layer'] = -2
    (broken / 'config.json').write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match='vision_feature_layer is -2'):
        load_policy('uniact', broken, device='cpu')


def test_official_sizes_are_those_of_an_empty_config():
    """197 video tokens, 896 numbers per state, 11 176 512 parameters in the backbone."""
    config = ExtractorConfig.from_mapping({}, 'config.json')
    assert (config.num_video_tokens, config.grid, config.video_token) == (197, 27, 151647)
    with torch.device('meta'):
        network = UniactNetwork(config)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes['universal_actions_codebook.pre_proj.weight'] == (256, 896)
    assert shapes['universal_actions_codebook.embed.weight'] == (256, 128)
    language = 'ua_extractor.language_model.model.'
    assert shapes[f'{language}embed_tokens.weight'] == (152000, 896)
    assert shapes[f'{language}layers.23.self_attn.k_proj.weight'] == (128, 896)
    tower = 'ua_extractor.vision_tower.vision_model.'
    assert shapes[f'{tower}encoder.layers.25.mlp.fc1.weight'] == (4304, 1152)
    assert shapes[f'{tower}post_layernorm.weight'] == (1152,)
    assert not any('26' in name.split('.') for name in shapes)
    assert sum(p.numel() for p in network.vision_backbone.parameters()) == 11_176_512


def test_bfloat16_weights_leave_the_backbone_exact(folder, policy):
    half = load_policy('uniact', folder, device='cpu', dtype='bfloat16')
    plan, wanted = half.plan(picture(), 'go'), policy.plan(picture(), 'go')
    np.testing.assert_array_equal(plan.visual, wanted.visual)
    np.testing.assert_allclose(plan.probabilities, wanted.probabilities, atol=0.05)
