"""Durations, rate and hanging of a repeated piece of work."""

import math

import pytest
from univla_core.work_watch import WorkWatch


def test_work_hangs_while_it_takes_longer_than_its_budget():
    watch = WorkWatch(0.2)
    assert not watch.hangs(1e9)
    watch.start(10.0)
    assert not watch.hangs(10.19)
    assert watch.hangs(10.21)
    assert watch.stop(10.3) is False
    assert not watch.hangs(1e9)


def test_a_slow_computer_is_slow_not_hung():
    """Once work is known to take 0.5 s, three times as much is a hang."""
    watch = WorkWatch(0.2)
    for begin in range(3):
        watch.start(float(begin))
        watch.stop(begin + 0.5)
    watch.start(10.0)
    assert not watch.hangs(11.4)
    assert watch.hangs(11.6)


def test_a_timeout_of_its_own_may_be_longer():
    watch = WorkWatch(0.2, 1.0)
    watch.start(10.0)
    assert not watch.hangs(10.9)
    assert watch.stop(10.9) is True


def test_latency_and_rate_are_those_of_the_work_done():
    """Every 0.25 s a piece of 0.1 s, one of them of 0.2 s."""
    watch = WorkWatch(0.5)
    assert math.isnan(watch.latency(0.5))
    for index in range(20):
        watch.start(0.25 * index)
        watch.stop(0.25 * index + (0.2 if index == 10 else 0.1))
    end = 0.25 * 19 + 0.1
    assert watch.count == 20
    assert watch.latency(0.5) == pytest.approx(0.1)
    assert watch.latency(1.0) == pytest.approx(0.2)
    assert watch.rate_hz(end) == pytest.approx(4.0)
    assert watch.rate_hz(end + 10.0) == 0.0
