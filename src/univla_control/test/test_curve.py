"""Curves pass through their knots, without overshoot, and fades close gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from univla_control.curve import Fade
from univla_control.curve import KnotCurve
from univla_control.curve import fade_duration
from univla_core.embodiment import load_embodiment

TIMES = np.arange(6) * 0.2


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-3.0, 3.0), min_size=6, max_size=6))
def test_curve_meets_its_knots_and_stays_between_them(values):
    """Monotone pieces cannot overshoot a row, so a row inside the limits keeps them."""
    curve = KnotCurve(TIMES, np.array(values)[:, None])
    for left in range(5):
        piece = [curve.sample(t)[0][0] for t in np.linspace(TIMES[left], TIMES[left + 1], 21)]
        ends = sorted(values[left : left + 2])
        assert piece[0] == pytest.approx(values[left], abs=1e-9)
        assert ends[0] - 1e-9 <= min(piece)
        assert max(piece) <= ends[1] + 1e-9


def test_curve_is_smooth_and_ends_at_rest():
    """Values and rates agree from both sides of every knot; the last rate is zero."""
    curve = KnotCurve(TIMES, np.sin(3.0 * TIMES)[:, None])
    for knot in TIMES[1:-1]:
        before, after = curve.sample(knot - 1e-9), curve.sample(knot + 1e-9)
        assert before[0] == pytest.approx(after[0], abs=1e-6)
        assert before[1] == pytest.approx(after[1], abs=1e-6)
    assert curve.sample(TIMES[-1] - 1e-9)[1] == pytest.approx(0.0, abs=1e-6)
    assert curve.sample(9.0)[0] == pytest.approx(np.sin(3.0))


def test_straight_rows_give_constant_speed():
    """0.1 rad in 0.2 s is 0.5 rad/s all along, except where the motion ends."""
    curve = KnotCurve(TIMES, (0.5 * TIMES)[:, None])
    rates = [curve.sample(t)[1][0] for t in np.linspace(0.0, 0.79, 30)]
    assert rates == pytest.approx([0.5] * 30)


def test_fade_starts_at_the_gap_and_ends_in_nothing():
    """Value, rate and second derivative at both ends."""
    gap = tuple(np.array([value]) for value in (0.3, -0.5, 2.0))
    fade = Fade(1.0, 0.4, gap)
    assert np.allclose(fade.sample(1.0), gap)
    assert np.allclose(fade.sample(1.4 - 1e-7), 0.0, atol=1e-4)
    assert not np.any(fade.sample(1.5))
    middle, later = fade.sample(1.2), fade.sample(1.2 + 1e-6)
    assert (later[0] - middle[0]) / 1e-6 == pytest.approx(middle[1], abs=1e-3)
    assert (later[1] - middle[1]) / 1e-6 == pytest.approx(middle[2], abs=1e-2)


def test_wide_gap_takes_longer_than_the_shortest_seam():
    """A WidowX joint, 45 rad/s^3: 0.5 rad from rest takes (60 * 0.5 / 45)^(1/3) = 0.87 s."""
    limits = load_embodiment('widowx').limits
    gap = np.zeros(6)
    gap[2] = 0.5
    still = np.zeros(6)
    assert fade_duration((gap, still, still), limits, 0.15, 2.0) == pytest.approx(0.8736, abs=1e-3)
    assert fade_duration((gap, still, still), limits, 0.15, 0.45) == 0.45
    assert fade_duration((still, still, still), limits, 0.15, 0.45) == 0.15
