"""Where the joints were a moment ago."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.joint_history import JointHistory


@pytest.fixture
def history():
    """Joint at 10 t between t = 1 s and t = 3 s, every 0.1 s, of which 1 s is kept."""
    history = JointHistory(1.0)
    for time in np.arange(1.0, 3.01, 0.1):
        history.add(float(time), np.array([10.0 * time]))
    return history


def test_between_two_entries_it_is_linear(history):
    """At 2.55 s the joint was at 25.5."""
    assert history.at(2.55) == pytest.approx([25.5])


def test_newest_entry_stands_for_later_times(history):
    """The observation may be newer than the last joint state by a few milliseconds."""
    assert history.at(9.0) == pytest.approx([30.0])


def test_forgotten_times_are_not_invented(history):
    """Entries older than the span are gone, and no other takes their place."""
    assert history.at(1.5) is None
    history.reset()
    assert history.at(2.9) is None
