"""A clock that was set is noticed; one that merely runs is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_core.clock_watch import ClockWatch


@pytest.mark.parametrize('jump', [-100.0, -0.3, 2.0, 1000.0])
def test_a_jump_is_told_once_with_its_size(jump):
    watch = ClockWatch()
    assert watch.jump(50.0, 1.0) == 0.0
    assert watch.jump(50.01 + jump, 1.01) == pytest.approx(jump, abs=0.02)
    assert watch.jump(50.02 + jump, 1.02) == 0.0


@given(st.floats(0.0, 10.0), st.lists(st.floats(0.001, 0.05), min_size=2, max_size=30))
def test_no_rate_of_time_is_a_jump(rate, steps):
    """Simulated time may stand still or run ten times as fast."""
    watch, now, steady = ClockWatch(), 100.0, 5.0
    for step in steps:
        now, steady = now + rate * step, steady + step
        assert watch.jump(now, steady) == 0.0


def test_a_process_that_stood_still_saw_no_jump():
    watch = ClockWatch()
    watch.jump(50.0, 1.0)
    assert watch.jump(60.0, 11.0) == 0.0


def test_a_forgotten_reading_is_compared_with_nothing():
    watch = ClockWatch()
    watch.jump(50.0, 1.0)
    watch.forget()
    assert watch.jump(0.0, 1.1) == 0.0
