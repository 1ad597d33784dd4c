import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_core.errors import ConfigError
from univla_core.errors import ShapeError
from univla_core.temporal_ensembling import TemporalEnsembler
from univla_core.temporal_ensembling import softmax

DECAY = np.exp(-0.1)


def ramp(start, horizon=4):
    """A plan of one dimension whose row i says `start + i`."""
    return (start + np.arange(horizon, dtype=float))[:, None]


def test_the_first_plan_is_taken_as_it_is():
    np.testing.assert_allclose(TemporalEnsembler(4).blend(ramp(0.0), 1), ramp(0.0))


def test_the_newest_plan_weighs_most():
    ensembler = TemporalEnsembler(4)
    ensembler.step(np.zeros((4, 1)))
    # weights 1 for the new plan (says 1) and exp(-0.1) for the old one (says 0)
    assert ensembler.step(np.ones((4, 1))) == pytest.approx(1.0 / (1.0 + DECAY))


def test_plans_that_agree_about_each_moment_are_kept():
    """Row i of a plan speaks of i steps later, so a shifted ramp is the same prediction."""
    ensembler = TemporalEnsembler(4)
    for step in range(6):
        np.testing.assert_allclose(ensembler.blend(ramp(step), 1), ramp(step))


def test_beyond_the_overlap_the_newest_plan_stands_alone():
    ensembler = TemporalEnsembler(4)
    ensembler.blend(np.zeros((4, 1)), 1)
    got = ensembler.blend(np.ones((4, 1)), 3)[:, 0]
    # three steps later only the old plan's last row overlaps, with weight exp(-0.3)
    np.testing.assert_allclose(got, [1.0 / (1.0 + DECAY**3), 1.0, 1.0, 1.0])


def test_between_two_rows_an_older_plan_is_interpolated():
    """Plans that agree about each moment are kept at any rate of planning, too."""
    ensembler = TemporalEnsembler(4)
    for number in range(8):
        np.testing.assert_allclose(ensembler.blend(ramp(0.4 * number), 0.4), ramp(0.4 * number))
    ensembler.reset()
    ensembler.blend(ramp(0.0), 1)
    got = ensembler.blend(np.zeros((4, 1)), 1.5)[:, 0]
    weight = np.exp(-0.15) / (1.0 + np.exp(-0.15))
    np.testing.assert_allclose(got, [1.5 * weight, 2.5 * weight, 0.0, 0.0])


def test_a_plan_is_forgotten_after_the_window_and_by_reset():
    ensembler = TemporalEnsembler(3)
    ensembler.blend(np.zeros((3, 1)), 1)
    np.testing.assert_allclose(ensembler.blend(np.ones((3, 1)), 3), 1.0)
    ensembler.reset()
    np.testing.assert_allclose(ensembler.blend(np.full((3, 1), 5.0), 1), 5.0)


def test_taking_the_last_rows_skips_the_first():
    assert TemporalEnsembler(8, take_last=True).step(ramp(0.0, 12)).tolist() == [4.0]


@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=5, max_size=5), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_the_result_stays_between_the_plans(rows, window):
    ensembler = TemporalEnsembler(window)
    for row in rows:
        action = ensembler.step(np.array(row)[:, None])
        assert np.min(rows) - 1e-9 <= action[0] <= np.max(rows) + 1e-9


def test_misuse_is_refused():
    with pytest.raises(ConfigError, match='at least one step'):
        TemporalEnsembler(0)
    with pytest.raises(ShapeError, match='last 8'):
        TemporalEnsembler(8, take_last=True).step(np.zeros((5, 1)))
    ensembler = TemporalEnsembler(4)
    with pytest.raises(ShapeError, match='horizon, action_dim'):
        ensembler.step(np.zeros(4))
    ensembler.step(np.zeros((4, 7)))
    with pytest.raises(ShapeError, match='from 7 to 2'):
        ensembler.step(np.zeros((4, 2)))


def test_softmax_survives_large_logits():
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0])), [0.5, 0.5])
