import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ShapeError
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import choose_key
from univla_core.norm_stats import norm_stats_from_mapping
from univla_core.norm_stats import normalize
from univla_core.norm_stats import read_dataset_statistics
from univla_core.norm_stats import unnormalize

GRIPPER = 2
BOUNDS = NormStats(
    q01=np.array([-1.0, 0.0, 0.0]),
    q99=np.array([3.0, 0.5, 1.0]),
    mask=np.array([True, True, False]),
)
MOMENTS = NormStats(mean=np.array([1.0, 2.0, 3.0]), std=np.array([2.0, 0.001, 1.0]))


def test_minus_one_zero_and_one_are_low_middle_and_high():
    chunk = np.array([[-1.0, -1.0, 0.3], [0.0, 0.0, 0.3], [1.0, 1.0, 0.3]])
    wanted = [[-1.0, 0.0, 0.3], [1.0, 0.25, 0.3], [3.0, 0.5, 0.3]]
    np.testing.assert_allclose(unnormalize(chunk, BOUNDS, 'bounds_q99'), wanted)


def test_masked_dimension_keeps_its_value():
    """The gripper is binary, so training statistics must not stretch it."""
    chunk = np.full((8, 3), 0.5, dtype=np.float32)
    assert (unnormalize(chunk, BOUNDS, 'bounds_q99')[:, GRIPPER] == 0.5).all()
    assert (normalize(chunk, BOUNDS, 'bounds_q99')[:, GRIPPER] == 0.5).all()


@given(arrays(np.float64, (4, 3), elements=st.floats(-1.0, 1.0)))
def test_the_round_trip_is_the_identity(chunk):
    for stats, rule in ((BOUNDS, 'bounds_q99'), (MOMENTS, 'mean_std'), (BOUNDS, 'none')):
        back = normalize(unnormalize(chunk, stats, rule), stats, rule)
        np.testing.assert_allclose(back, chunk, atol=1e-6)


@given(arrays(np.float64, 3, elements=st.floats(-1e6, 1e6)))
def test_normalised_values_stay_in_bounds(values):
    assert np.abs(normalize(values, BOUNDS, 'bounds_q99')[:GRIPPER]).max() <= 1.0


def test_a_dimension_that_never_moved_becomes_zero():
    still = NormStats(q01=np.array([2.0]), q99=np.array([2.0]))
    assert normalize(np.array([2.0]), still, 'bounds_q99').tolist() == [0.0]
    extremes = NormStats(
        q01=np.array([0.0]), q99=np.array([1.0]), minimum=np.array([5.0]), maximum=np.array([5.0])
    )
    assert normalize(np.array([0.7]), extremes, 'bounds_q99').tolist() == [0.0]


def test_a_tiny_standard_deviation_is_raised_to_one_hundredth():
    # 2 + 1 * max(0.001, 0.01)
    assert unnormalize(np.ones(3), MOMENTS, 'mean_std')[1] == pytest.approx(2.01)


def test_wrong_sizes_rules_and_missing_statistics_are_refused():
    with pytest.raises(ShapeError, match='3 dimensions'):
        unnormalize(np.zeros((8, 7)), BOUNDS, 'bounds_q99')
    with pytest.raises(CheckpointError, match='mean and std'):
        unnormalize(np.zeros(3), BOUNDS, 'mean_std')
    with pytest.raises(ConfigError, match='bounds_q99, mean_std, none'):
        unnormalize(np.zeros(3), BOUNDS, 'minmax')


def test_the_key_may_be_left_out_only_when_there_is_one():
    assert choose_key({'a': 1}, None, 'here') == 'a'
    assert choose_key({'libero_10_no_noops': 1, 'b': 2}, 'libero_10', 'here') == (
        'libero_10_no_noops'
    )
    with pytest.raises(
        CheckpointError, match='here: name an unnorm_key; the statistics hold a, b'
    ):
        choose_key({'a': 1, 'b': 2}, None, 'here')
    with pytest.raises(CheckpointError, match=r"'c'; they hold a, b"):
        choose_key({'a': 1, 'b': 2}, 'c', 'here')


def test_statistics_nested_too_deep_are_flattened():
    stats = norm_stats_from_mapping({'q01': [[0.0, 1.0]], 'q99': [[2.0, 3.0]]}, 'calvin')
    assert stats.q01.tolist() == [0.0, 1.0]
    assert stats.dim == 2


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'q01': [0.0], 'q99': [1.0, 2.0]}, 'different sizes'),
        ({'q01': [1.0], 'q99': [0.0]}, 'q99 lies below'),
        ({'std': [-1.0]}, 'negative'),
        ({'mean': [float('nan')]}, 'NaN'),
        ({'mean': ['x']}, 'not a list of numbers'),
    ],
)
def test_unusable_numbers_are_named(values, message):
    with pytest.raises(CheckpointError, match=message):
        norm_stats_from_mapping(values, 'here')


def test_files_are_read_by_data_set(tmp_path):
    path = tmp_path / 'dataset_statistics.json'
    action = {'q01': [0], 'q99': [1], 'mask': [False]}
    path.write_text(json.dumps({'a': {'action': action, 'proprio': {'mean': [0], 'std': [1]}}}))
    stats = read_dataset_statistics(path)['a']
    assert stats.action.mask.tolist() == [False]
    assert stats.proprioception.dim == 1
    for content in ('[1]', '{', '{"a": {}}'):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=r'dataset_statistics\.json'):
            read_dataset_statistics(path)
    with pytest.raises(CheckpointError, match='cannot read'):
        read_dataset_statistics(tmp_path / 'absent.json')
