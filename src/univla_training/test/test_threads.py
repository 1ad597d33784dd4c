"""Threads of torch: as many as are asked for, else as many as cores are idle."""

import os

import pytest
import torch
from univla_training.threads import idle_cores
from univla_training.threads import torch_threads

from univla_training import threads


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(('idle', 'wanted'), [(0.1, 1), (1.2, 1), (1.9, 2), (16.0, 2)])
def test_no_more_threads_than_idle_cores_and_never_none(monkeypatch, idle, wanted):
    monkeypatch.setattr(threads, 'idle_cores', lambda: idle)
    with torch_threads(0):
        assert torch.get_num_threads() == wanted
    assert torch.get_num_threads() == 2


def test_who_asks_is_obeyed(monkeypatch):
    monkeypatch.setattr(threads, 'idle_cores', lambda: 0.0)
    with torch_threads(2):
        assert torch.get_num_threads() == 2
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    with torch_threads(0):
        assert torch.get_num_threads() == 2


def test_idle_cores_are_counted_from_what_the_kernel_says(monkeypatch):
    """user nice system idle iowait irq softirq steal: of 20 ticks, 12 idle and 3 waiting."""
    looks = iter([(100, 400), (115, 420)])
    monkeypatch.setattr(threads, '_idle_ticks', lambda: next(looks))
    cores = len(os.sched_getaffinity(0))
    assert idle_cores(0.0) == pytest.approx(0.75 * cores)
