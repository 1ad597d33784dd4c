"""UniAct's heads as ordinary decoders: sizes, strictness, several bodies, un-normalisation."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.latent_action import LatentAction
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import normalize
from univla_core.norm_stats import unnormalize
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.declaration import declaration_from_mapping
from univla_decoders.declaration import find_declaration
from univla_decoders.decoder import RobotDecoder
from univla_decoders.heads import HEADS
from univla_decoders.heads import head_config
from univla_decoders.map_block import MapBlockConfig
from univla_decoders.uniact_data import action_targets
from univla_decoders.uniact_data import libero_command
from univla_decoders.uniact_data import masked_huber
from univla_decoders.uniact_heads import attention_heads
from univla_decoders.uniact_heads import head_tensors
from univla_decoders.uniact_heads import positions

CHANNELS = 128
NAMES = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper')
MLP = DecoderDeclaration(
    head='uniact_mlp',
    horizon=4,
    action_dim=7,
    action_space='eef_delta',
    names=NAMES,
    step_duration_s=0.2,
    normalisation='moments',
    unnorm_key='bridge_dataset',
    gripper='open_positive_unit',
    gripper_binary=True,
)
ACT = dataclasses.replace(
    MLP, head='uniact_act', proprioception_dim=9, proprioception_normalisation='moments'
)
STATS = {
    'bridge_dataset': {
        'action_statics': {
            '0min': [-0.1] * 6 + [0.0],
            '100max': [0.1] * 6 + [1.0],
            '1min': [-0.08] * 6 + [0.0],
            '99max': [0.08] * 6 + [1.0],
            'mean': [0.0] * 7,
            'std': [0.005] * 6 + [0.5],
        },
        'proprio_statics': {'mean': [1.0] * 9, 'std': [0.5] * 9},
    }
}


def new_head(declaration):
    torch.manual_seed(1)
    act = declaration.head == 'uniact_act'
    shapes = {
        'head.fc1.weight': (112, CHANNELS + 128),
        'head.fc2.weight': (28, 112),
    }
    if act:
        shapes = {
            'ua_proj.weight': (CHANNELS, 128),
            'model.encoder.layers.0.linear1.weight': (96, CHANNELS),
            'model.decoder.layers.0.linear1.weight': (96, CHANNELS),
            'queries': (1, 4, CHANNELS),
            'action_head.1.weight': (7, CHANNELS),
            'proprio_proj.weight': (CHANNELS, 9),
            'input_pos_emb': (1, 2 * 49 + 2, CHANNELS),
        }
    return HEADS[declaration.head](head_config(shapes, 4, 8, 'new'))


def saved(folder, declaration, domain='bridge_dataset', change=lambda state: None):
    state = new_head(declaration).state_dict()
    state = {f'interpreter.{domain}.{name}': tensor for name, tensor in state.items()}
    change(state)
    save_file(state, folder / 'action_decoder.safetensors')
    (folder / 'dataset_statistics.json').write_text(json.dumps(STATS))
    return RobotDecoder.load(folder, declaration)


def plan(views=2, **changes):
    random = np.random.default_rng(0)
    values = {
        'policy': 'uniact',
        'codebook': '',
        'codes': np.array([3], dtype=np.int32),
        'probabilities': np.ones(1, dtype=np.float32),
        'latent': random.normal(size=(1, 128)).astype(np.float32),
        'visual': random.normal(size=(views * 49, CHANNELS)).astype(np.float32),
        'instruction': 'go',
    }
    return LatentAction(**(values | changes))


def test_one_universal_action_moves_several_bodies(tmp_path):
    """Both heads read the same latent action; the small one only its first view."""
    for name in ('mlp', 'act'):
        (tmp_path / name).mkdir()
    mlp, act = saved(tmp_path / 'mlp', MLP), saved(tmp_path / 'act', ACT)
    both, body = plan(), np.ones(9)
    assert mlp.decode(both).shape == (4, 7)
    assert act.decode(both, body).shape == (4, 7)
    first = dataclasses.replace(both, visual=both.visual[:49])
    np.testing.assert_allclose(mlp.predict(first), mlp.predict(both))
    assert not np.allclose(act.predict(both, body), act.predict(both, 2.0 * body))
    with pytest.raises(ActionError, match='visual'):
        act.predict(first, body)
    with pytest.raises(ActionError, match='latent'):
        mlp.predict(dataclasses.replace(both, latent=both.latent[:, :64]))
    with pytest.raises(ActionError, match='proprioception'):
        act.predict(both)


def test_the_small_head_is_the_mean_of_the_view_beside_the_action(tmp_path):
    decoder, seen = saved(tmp_path, MLP), plan(views=1)
    head = decoder.head.head
    inputs = np.concatenate([seen.visual.mean(axis=0), seen.latent[0]])
    with torch.inference_mode():
        hidden = torch.nn.functional.gelu(head.fc1(torch.from_numpy(inputs)))
        wanted = head.fc2(hidden).reshape(4, 7)  # time-major
    np.testing.assert_allclose(decoder.predict(seen), wanted.numpy(), atol=1e-5)


def test_official_sizes():
    """74 956 parameters of the MLP head, about 21.15 million of the ACT head."""
    pool = MapBlockConfig(input_dim=128, embed_dim=512, hidden_dim=112)
    config = dataclasses.replace(new_head(MLP).config, pool=pool)
    assert sum(p.numel() for p in HEADS['uniact_mlp'](config).parameters()) == 74_956
    config = dataclasses.replace(
        new_head(ACT).config,
        pool=MapBlockConfig(input_dim=128, embed_dim=512, hidden_dim=2048),
        layers=(4, 2),
    )
    with torch.device('meta'):
        size = sum(p.numel() for p in HEADS['uniact_act'](config).parameters() if p.requires_grad)
    assert 21.0e6 < size < 21.3e6
    assert attention_heads(512) == 8


@pytest.mark.parametrize('name', ['uniact_libero', 'uniact_libero_act', 'uniact_bridge'])
def test_shipped_declarations_load_heads_of_their_kind(tmp_path, name):
    """With statistics of the original, under the names of the original."""
    declared = find_declaration(name)
    stats = {**STATS, 'libero-1-rgb': STATS['bridge_dataset']}
    stats['libero-2-rgb'] = STATS['bridge_dataset']
    file = tmp_path / 'released.safetensors'
    state = new_head(declared).state_dict()
    save_file({f'interpreter.{declared.unnorm_key}.{k}': v for k, v in state.items()}, file)
    (tmp_path / 'dataset_statistics.json').write_text(json.dumps(stats))
    decoder = RobotDecoder.load(file, name)
    chunk = decoder.decode(plan(), np.ones(9))
    assert chunk.shape == (4, 7)
    assert set(chunk[:, 6]) <= {0.0, 1.0}


def test_positions_alternate_sine_and_cosine():
    table = positions(3, 4)[0]
    torch.testing.assert_close(table[0], torch.tensor([0.0, 1.0, 0.0, 1.0]))
    angles = torch.tensor([2.0, 0.02])  # base 10000: rates 1 and 1/100
    torch.testing.assert_close(table[2, 0::2], angles.sin())
    torch.testing.assert_close(table[2, 1::2], angles.cos())


@pytest.mark.parametrize(
    'change, word',
    [
        (lambda s: s.pop('interpreter.bridge_dataset.head.fc2.bias'), 'fc2.bias is missing'),
        (
            lambda s: s.update({'interpreter.bridge_dataset.extra': torch.ones(1)}),
            'extra is unexpected',
        ),
        (lambda s: s.update({'stray': torch.ones(1)}), 'stray unexpected'),
        (lambda s: s.clear() or s.update({'vision_backbone.x': torch.ones(1)}), 'no head'),
        (
            lambda s: s.update(
                {'interpreter.bridge_dataset.head.fc2.weight': torch.ones(27, 112)}
            ),
            'horizon 4',
        ),
    ],
)
def test_quirk_a_head_that_does_not_fit_is_refused(tmp_path, change, word):
    """Mended: with the original's strict=False a missing head is a random one."""
    with pytest.raises(CheckpointError, match=word):
        saved(tmp_path, MLP, change=change)


def test_a_training_checkpoint_gives_the_declared_head():
    state = {
        'interpreter.a.w': torch.zeros(1),
        'interpreter.b.w': torch.ones(1),
        'ua_extractor.x': torch.ones(1),
    }
    assert head_tensors(state, 'b', 'file')['w'] == 1.0
    assert head_tensors(state, 'AIR/a', 'file')['w'] == 0.0
    with pytest.raises(CheckpointError, match='a, b'):
        head_tensors(state, '', 'file')
    own = {'latent_action_pool.latents': torch.ones(1)}
    assert head_tensors(own, '', 'file') is own


def test_proprioception_belongs_to_the_transformer_head():
    values = {
        field.name: getattr(ACT, field.name)
        for field in dataclasses.fields(ACT)
        if field.name != 'proprioception_dim'
    }
    with pytest.raises(ConfigError, match='proprioception_dim'):
        declaration_from_mapping(values, 'decoder.yaml')


def test_quirk_actions_are_clipped_to_the_training_data(tmp_path):
    """Mended: the original sends whatever the head says, far outside all it was shown."""
    decoder = saved(tmp_path, MLP)
    wild = np.full((4, 7), 1e6)
    np.testing.assert_allclose(decoder.to_robot_units(wild)[:, :6], 0.1)
    np.testing.assert_allclose(decoder.to_robot_units(-wild)[:, :6], -0.1)
    tame = np.full((4, 7), 2.0)
    np.testing.assert_allclose(decoder.to_robot_units(tame)[:, :6], 0.01)  # 2 · 0.005
    assert set(decoder.to_robot_units(tame)[:, 6]) == {1.0}


STAT = NormStats(
    q01=np.array([-1.0, 0.0]),
    q99=np.array([3.0, 0.0]),
    mean=np.array([1.0, 2.0]),
    std=np.array([0.001, 2.0]),
    minimum=np.array([-2.0, -4.0]),
    maximum=np.array([4.0, 4.0]),
)


@pytest.mark.parametrize(
    'rule, value, wanted',
    [
        ('moments', [1.002, 4.0], [2.0, 1.0]),  # no floor under the deviation of 0.001
        ('min_max', [1.0, 4.0], [0.0, 1.0]),
        ('unit_q99', [1.0, 5.0], [0.5, 0.0]),  # second dimension never moved
        ('unit_q99_margin', [3.0, 0.0], [4.0 / 4.000001, 0.0]),
    ],
)
def test_the_four_rules(rule, value, wanted):
    got = normalize(np.array(value), STAT, rule)
    np.testing.assert_allclose(got, wanted, atol=1e-9)
    moved = STAT.q01 != STAT.q99 if rule == 'unit_q99' else slice(None)
    back = unnormalize(got, STAT, rule)
    np.testing.assert_allclose(back[moved], np.array(value)[moved], atol=1e-9)


def test_quirk_genuine_rows_of_zeros_are_masked_like_those_past_the_end():
    """Copied for training: a closed hand at rest looks like padding."""
    actions = np.array([[1.0, 1.0], [0.0, 0.0], [2.0, 0.0]])
    chunks, mask = action_targets(actions, STAT, 'min_max', horizon=2)
    assert chunks.shape == mask.shape == (3, 2, 2)
    # The second dimension has equal quantiles, so it never counts.
    assert mask[..., 0].tolist() == [[True, False], [False, True], [True, False]]
    assert not mask[..., 1].any()
    # Zeros past the end are normalised like any: (0 - 1) / 3.
    assert chunks[2, 1, 0] == pytest.approx(-1.0 / 3.0)


def test_huber_counts_what_the_mask_leaves():
    """0.05: 0.05² / 2; 1.0: 0.1 · (1 - 0.05)."""
    predicted = torch.tensor([[[0.05, 1.0, 9.0]]])
    loss = masked_huber(predicted, torch.zeros(1, 1, 3), torch.tensor([[[True, True, False]]]))
    assert float(loss) == pytest.approx((0.00125 + 0.095) / 2)
    assert float(masked_huber(predicted, predicted, torch.zeros(1, 1, 3))) == 0.0


def test_liberos_gripper_closes_below_one_half():
    assert libero_command(np.array([0.0, 0.49, 0.5, 1.0])).tolist() == [1.0, 1.0, -1.0, -1.0]
