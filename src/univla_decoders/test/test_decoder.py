import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.norm_stats import NormStats
from univla_decoders.declaration import declaration_from_mapping
from univla_decoders.declaration import find_declaration
from univla_decoders.declaration import read_declaration
from univla_decoders.decoder import RobotDecoder
from univla_decoders.felt import with_position
from univla_decoders.heads import HEADS

KINDS = ('manipulation', 'proprioception', 'navigation')
BODY = np.array([0.1, 0.2, 0.3, 0.4])


def body_of(decoder):
    return BODY if decoder.declaration.proprioception_dim else None


@pytest.mark.parametrize('kind', KINDS)
def test_a_chunk_has_one_row_per_step_and_one_column_per_name(make, plan, kind):
    decoder = RobotDecoder.load(make(kind))
    chunk = decoder.decode(plan(), body_of(decoder))
    assert chunk.dtype == np.float64
    assert chunk.shape == (decoder.horizon, len(decoder.declaration.names))
    assert np.isfinite(chunk).all()


def test_bounded_heads_stay_between_the_quantiles_and_grippers_in_the_unit(make, plan):
    decoder = RobotDecoder.load(make('manipulation'))
    for seed in range(20):
        chunk = decoder.decode(plan(seed=seed))
        assert ((chunk[:, :6] >= -2.0) & (chunk[:, :6] <= 4.0)).all()
        assert ((chunk[:, 6] >= 0.0) & (chunk[:, 6] <= 1.0)).all()


def test_unnormalisation_is_applied_after_prediction(make, plan):
    decoder = RobotDecoder.load(make('manipulation'))
    raw, chunk = decoder.predict(plan()), decoder.decode(plan())
    # quantiles -2 and 4: half of 6 times (a + 1), less 2
    np.testing.assert_allclose(chunk[:, :6], 3.0 * (raw[:, :6] + 1.0) - 2.0)


def test_proprioception_is_normalised_before_and_actions_after(make, plan):
    """The official deployment does neither, though training does both."""
    folder = make('proprioception')
    decoder = RobotDecoder.load(folder)
    raw = decoder.predict(plan(), BODY)
    with torch.no_grad():
        wanted = decoder.head(
            torch.from_numpy(plan().latent)[None],
            torch.from_numpy(plan().visual)[None],
            torch.tensor((BODY - 1.0) / 2.0, dtype=torch.float32)[None],
        )[0]
    np.testing.assert_allclose(raw, wanted, atol=1e-6)
    np.testing.assert_allclose(decoder.decode(plan(), BODY)[:, 0], raw[:, 0] * 2.0 + 1.0)


def test_the_head_is_told_where_the_hand_is(make, plan):
    """Three of its values of proprioception are forward kinematics of the others."""
    decoder = RobotDecoder.load(make('proprioception'))
    arm = load_embodiment('widowx')
    joints = arm.postures['ready']
    place = arm.chain.forward(joints)[:3, 3]
    felt = np.array([*joints, 0.5, *place])
    np.testing.assert_allclose(with_position(np.append(joints, 0.5), arm), felt, atol=1e-12)
    told = with_position(np.tile(np.append(joints, 0.5), (3, 1)), arm)
    np.testing.assert_allclose(told, np.tile(felt, (3, 1)), atol=1e-12)
    declared = replace(
        decoder.declaration, proprioception_dim=10, end_effector_position=True, robot='widowx'
    )
    config = replace(decoder.head.config, proprioception_dim=10)
    head = HEADS['proprioception'](config)
    stats = replace(decoder.stats, proprioception=NormStats(mean=felt - 1.0, std=np.full(10, 2.0)))
    wide = RobotDecoder(head, declared, stats)
    assert wide.declaration.measured_dim == 7
    with torch.no_grad():
        wanted = head(
            torch.from_numpy(plan().latent)[None],
            torch.from_numpy(plan().visual)[None],
            torch.full((1, 10), 0.5),
        )[0]
    raw = wide.predict(plan(), np.append(joints, 0.5))
    np.testing.assert_allclose(raw, wanted, atol=1e-6)
    with pytest.raises(ActionError, match='needs 7 finite values'):
        wide.predict(plan(), felt)
    with pytest.raises(ConfigError, match='end_effector_position needs a robot'):
        replace(declared, robot='').check('here')


def test_dropped_rows_shift_the_start(make, plan):
    whole = RobotDecoder.load(make('manipulation'))
    late = RobotDecoder.load(make('manipulation', drop_first=2))
    assert late.horizon == 3
    assert late.start_offset_s == pytest.approx(0.2)
    np.testing.assert_array_equal(late.decode(plan()), whole.decode(plan())[2:])


def test_scale_and_rotation_lead_to_robot_units(make, plan):
    plain = RobotDecoder.load(make('manipulation'))
    scale = [0.05, 0.05, 0.05, 0.5, 0.5, 0.5, 1.0]
    scaled = RobotDecoder.load(make('manipulation', scale=scale))
    np.testing.assert_allclose(scaled.decode(plan()), plain.decode(plan()) * scale)
    turned = RobotDecoder.load(make('manipulation', rotation='rpy'))
    yaw = np.zeros((1, 7))
    # bounds -2 … 4: the value v leads to 3 (v + 1) - 2; roll, pitch 0 and yaw 0.4 wanted
    yaw[0, 3:6] = (np.array([0.0, 0.0, 0.4]) + 2.0) / 3.0 - 1.0
    np.testing.assert_allclose(turned.to_robot_units(yaw)[0, 3:6], [0.0, 0.0, 0.4], atol=1e-12)


def test_binary_grippers_open_above_one_half(make):
    decoder = RobotDecoder.load(make('manipulation', gripper_binary=True))
    chunk = np.zeros((3, 7))
    chunk[:, 6] = [0.4, 0.6, 1.7]
    assert decoder.to_robot_units(chunk)[:, 6].tolist() == [0.0, 1.0, 1.0]


def test_navigation_takes_the_likeliest_choice(make, plan):
    decoder = RobotDecoder.load(make('navigation'))
    shares = decoder.predict(plan())
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert decoder.to_robot_units(np.eye(4)).tolist() == [[0, 0], [0.25, 0], [0, 0.3], [0, -0.3]]


def test_navigation_pools_every_latent_token_and_others_the_last_four(make, plan):
    six = plan(tokens=6)
    last = replace(six, latent=six.latent[2:])
    for kind, same in (('manipulation', True), ('navigation', False)):
        decoder = RobotDecoder.load(make(kind))
        assert np.array_equal(decoder.predict(six), decoder.predict(last)) is same


def test_navigation_without_visual_tokens(make, plan):
    decoder = RobotDecoder.load(make('navigation', visual=False))
    assert decoder.decode(plan(visual=0)).shape == (5, 2)


def test_another_vocabulary_or_size_is_refused(make, plan):
    decoder = RobotDecoder.load(make('manipulation'))
    with pytest.raises(ActionError, match=r'codebook beef .* trained on c0de'):
        decoder.decode(plan(codebook='beef'))
    with pytest.raises(ActionError, match=r'latent has shape \(4, 12\)'):
        decoder.decode(plan(dim=12))
    with pytest.raises(ActionError, match=r'latent has shape \(3, 10\)'):
        decoder.decode(plan(tokens=3))
    with pytest.raises(ActionError, match=r'visual has shape \(0, 10\)'):
        decoder.decode(plan(visual=0))


def test_missing_or_misshapen_proprioception_is_refused(make, plan):
    decoder = RobotDecoder.load(make('proprioception'))
    for wrong in (None, BODY[:3], np.full(4, np.nan)):
        with pytest.raises(ActionError, match='proprioception'):
            decoder.decode(plan(), wrong)


def test_what_is_not_finite_never_enters(make, plan):
    decoder = RobotDecoder.load(make('manipulation'))
    broken = plan()
    broken.latent[0, 0] = np.inf
    with pytest.raises(ActionError, match='latent holds NaN or infinity'):
        decoder.decode(broken)


def test_what_is_not_finite_never_leaves(make, plan):
    """Finite values may still overflow inside the network."""
    decoder = RobotDecoder.load(make('manipulation'))
    huge = plan()
    huge.latent[:] = 3e38
    with pytest.raises(ActionError, match='not finite'):
        decoder.decode(huge)


def test_a_code_outside_the_declared_vocabulary_is_refused(make, plan):
    decoder = RobotDecoder.load(make('manipulation', num_codes=8))
    good = plan()
    good.codes[:] = 7
    decoder.decode(good)
    good.codes[-1] = 8
    with pytest.raises(ActionError, match='code 8 is outside the codebook'):
        decoder.decode(good)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'horizon': 6}, 'no multiple of the declared horizon 6'),
        (
            {'action_dim': 3, 'names': ['x', 'y', 'gripper']},
            'action_dim of the weights is 7 but 3',
        ),
        ({'num_heads': 3}, '3 attention heads do not divide'),
        ({'unnorm_key': 'kitchen'}, r"'kitchen'; they hold lab"),
    ],
)
def test_a_declaration_that_does_not_fit_the_weights_is_refused(make, change, message):
    with pytest.raises(CheckpointError, match=message):
        RobotDecoder.load(make('manipulation', **change))


def test_the_wrong_head_for_the_robot_is_refused(make):
    folder = make('manipulation')
    declared = read_declaration(make('proprioception') / 'decoder.yaml')
    with pytest.raises(CheckpointError, match="head of the weights is 'manipulation'"):
        RobotDecoder.load(folder, declared)


def test_statistics_of_another_robot_are_refused(make):
    folder = make('manipulation')
    path = folder / 'dataset_statistics.json'
    path.write_text(json.dumps({'lab': {'action': {'q01': [0.0] * 6, 'q99': [1.0] * 6}}}))
    with pytest.raises(CheckpointError, match='have 6 dimensions but 7 are needed'):
        RobotDecoder.load(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match='cannot read dataset statistics'):
        RobotDecoder.load(folder)


def test_weights_load_strictly(make):
    folder = make('manipulation')
    path = folder / 'action_decoder.pt'
    state = torch.load(path, weights_only=True)
    for change, message in (
        (lambda s: s.pop('proj.0.bias'), r'proj\.0\.bias is missing'),
        (lambda s: s.update(extra=torch.ones(1)), 'extra is unexpected'),
        (lambda s: s['proj.0.bias'].fill_(np.nan), r'proj\.0\.bias holds NaN'),
        (lambda s: s.update({'proj.0.bias': torch.ones(3)}), r'proj\.0\.bias has shape \(3,\)'),
    ):
        damaged = {name: value.clone() for name, value in state.items()}
        change(damaged)
        torch.save(damaged, path)
        with pytest.raises(CheckpointError, match=message):
            RobotDecoder.load(folder)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match='truncated'):
        RobotDecoder.load(folder)


def test_released_folders_need_a_declaration_by_object_path_or_name(make, tmp_path):
    folder = make('manipulation')
    declared = (folder / 'decoder.yaml').rename(tmp_path / 'mine.yaml')
    with pytest.raises(CheckpointError, match=r'no decoder\.yaml'):
        RobotDecoder.load(folder)
    for declaration in (declared, str(declared), read_declaration(declared)):
        assert RobotDecoder.load(folder / 'action_decoder.pt', declaration).horizon == 5
    with pytest.raises(ConfigError, match='bridge, calvin, libero, r2r, real_world'):
        RobotDecoder.load(folder, 'kitchen')
    with pytest.raises(CheckpointError, match='holds none of'):
        RobotDecoder.load(tmp_path)


@pytest.mark.parametrize('name', ['libero', 'bridge', 'calvin', 'real_world', 'r2r'])
def test_shipped_declarations_fit_heads_of_the_released_sizes(name):
    """Parameter counts of the released heads pin horizon, dimension and kind."""
    from univla_decoders.heads import HEADS
    from univla_decoders.heads import HeadConfig
    from univla_decoders.map_block import MapBlockConfig

    declared = find_declaration(name)
    with torch.device('meta'):
        head = HEADS[declared.head](
            HeadConfig(
                kind=declared.head,
                horizon=declared.horizon,
                action_dim=declared.action_dim,
                pool=MapBlockConfig(num_heads=declared.num_heads),
                proprioception_dim=declared.proprioception_dim,
            )
        )
    counts = {
        'libero': 12_640_340,
        'calvin': 12_640_340,
        'bridge': 12_633_158,
        'real_world': 12_950_100,
        'r2r': 12_613_648,
    }
    assert sum(p.numel() for p in head.parameters()) == counts[name]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'colour': 'red'}, 'unknown key colour'),
        ({'horizon': 'five'}, 'horizon is'),
        ({'horizon': 0}, 'horizon must be at least 1'),
        ({'names': ['x']}, '1 names for actions of'),
        ({'gripper': 'claw'}, 'open_positive_unit'),
        ({'normalisation': 'minmax'}, 'bounds_q99'),
        ({'action_space': 'dance'}, 'unknown action space'),
        ({'drop_first': 5}, 'leaves nothing'),
        ({'step_duration_s': 0.0}, 'must be positive'),
        ({'proprioception_dim': 3}, 'proprioception head'),
        ({'choices': [[0.0]]}, 'navigation head'),
        ({'scale': [1.0]}, 'one factor per name'),
        ({'gripper': 'none'}, 'last name is .gripper'),
    ],
)
def test_a_contradicting_declaration_is_refused(make, change, message):
    import yaml

    values = yaml.safe_load((make('manipulation') / 'decoder.yaml').read_text())
    with pytest.raises(ConfigError, match=message):
        declaration_from_mapping(values | change, 'here')
