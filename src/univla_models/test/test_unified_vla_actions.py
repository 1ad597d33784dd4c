"""Commands and statistics of the unified VLA, each quirk with what becomes of it here."""

import json

import numpy as np
import pytest
from univla_core.errors import CheckpointError
from univla_core.errors import ShapeError
from univla_models.unified_vla_actions import BinTokenizer
from univla_models.unified_vla_actions import RunningStats
from univla_models.unified_vla_actions import StickyGripper
from univla_models.unified_vla_actions import axis_angle
from univla_models.unified_vla_actions import read_norm_stats
from univla_models.unified_vla_actions import sign_gripper
from univla_models.unified_vla_actions import stats_as_json
from univla_models.unified_vla_actions import widowx_gripper


def test_quantiles_are_lower_edges_of_five_thousand_bins():
    """0 … 999: the tenth smallest is 9, and a bin is 999 / 5000 wide."""
    stats = RunningStats()
    stats.update(np.arange(1000.0)[:, None])
    found = stats.stats()
    assert found.q01[0] == pytest.approx(9.0, abs=0.2)
    assert found.q99[0] == pytest.approx(989.0, abs=0.2)
    assert found.mean[0] == pytest.approx(499.5)
    assert found.std[0] == pytest.approx(np.arange(1000.0).std())


def test_batches_of_a_growing_range_are_approximate():
    """Copied: re-binning moves whole bins, so quantiles of batches differ a little."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(900, 2))
    one, three = RunningStats(), RunningStats()
    one.update(rows)
    for part in (rows[:300] * 0.5, rows[300:600], rows[600:]):
        three.update(part)
    assert np.abs(one.stats().q01 - three.stats().q01).max() < 0.5
    with pytest.raises(ShapeError, match='rows, dim'):
        three.update(rows[:, :1])


def test_statistics_travel_in_the_released_layout(tmp_path):
    stats = RunningStats()
    stats.update(np.arange(20.0).reshape(10, 2))
    path = tmp_path / 'norm_stats.json'
    path.write_text(json.dumps({'norm_stats': {'mine': stats_as_json(stats.stats())}}))
    np.testing.assert_array_equal(read_norm_stats(path)['mine'].q99, stats.stats().q99)
    path.write_text('{}')
    with pytest.raises(CheckpointError, match='normalizer'):
        read_norm_stats(path)


def test_the_two_bin_encoders_disagree_by_one():
    """Copied beside the right one: only `encode` and `decode` belong together."""
    bins, values = BinTokenizer(), np.linspace(-1.0, 0.99, 40)
    width = 2.0 / 255.0
    assert (bins.encode_like_original(values) - bins.encode(values) == 1).all()
    assert np.abs(bins.decode(bins.encode(values)) - values).max() <= width / 2 + 1e-9
    wrong = bins.decode(bins.encode_like_original(values)) - values
    assert wrong[1:].max() <= 0.0


def test_the_google_gripper_repeats_a_change_once_and_misses_what_happens_meanwhile():
    """Copied: +1, -1 is +2, said twice; the change back during the repetition is lost."""
    sticky = StickyGripper()
    assert [sticky.step(value) for value in (0.9, 0.1, 0.9, 0.9, 0.1)] == [0, 2, 2, 0, 2]
    sticky.reset()
    assert sticky.step(0.1) == 0.0


def test_the_widowx_gripper_closes_at_once():
    """Copied: the counter of late closing has the threshold 1, so there is no delay."""
    assert [widowx_gripper(value) for value in (0.51, 0.5, 0.0)] == [1.0, -1.0, -1.0]


def test_signs_and_rotations():
    actions = np.array([[0.0] * 3 + [0.0, 0.0, np.pi / 2] + [0.1], [0.0] * 7])
    np.testing.assert_allclose(axis_angle(actions)[0], [0.0, 0.0, np.pi / 2])
    assert sign_gripper(actions)[:, -1].tolist() == [1.0, -1.0]
