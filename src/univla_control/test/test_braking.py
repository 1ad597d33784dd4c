"""The quickest stop, by hand and against ruckig's own velocity planner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from ruckig import ControlInterface
from ruckig import InputParameter
from ruckig import OutputParameter
from ruckig import Ruckig
from univla_control.braking import brake_phases
from univla_control.braking import run_phases
from univla_control.braking import stop_extent

STATES = {'v': st.floats(-2.0, 2.0), 'a': st.floats(-5.0, 5.0)}


def test_stop_by_hand():
    """v = 1, a_max = 2, j_max = 4: peak 2 = sqrt(4 * 1), 0.5 s in and 0.5 s out, 0.5 m on."""
    assert brake_phases(1.0, 0.0, 2.0, 4.0) == ((0.5, -4.0), (0.0, 0.0), (0.5, 4.0))
    assert run_phases(0.0, 1.0, 0.0, brake_phases(1.0, 0.0, 2.0, 4.0), 2.0)[0] == pytest.approx(
        0.5
    )


def test_stop_with_capped_acceleration_by_hand():
    """v = 1, a_max = 1, j_max = 4: 0.25 s in, hold (1 - 0.25) / 1 = 0.75 s, 0.25 s out."""
    phases = brake_phases(1.0, 0.0, 1.0, 4.0)
    assert [duration for duration, _ in phases] == pytest.approx([0.25, 0.75, 0.25])
    # By symmetry of the speed about its middle: 1/2 * 1.25 s * 1 m/s.
    assert stop_extent(0.0, 1.0, 0.0, 1.0, 4.0)[:2] == pytest.approx((0.0, 0.625))


@settings(max_examples=150, deadline=None)
@given(**STATES)
def test_stop_agrees_with_ruckig(v, a):
    """Both are time-optimal, so they are the same motion."""
    ask, answer = InputParameter(1), OutputParameter(1)
    ask.control_interface = ControlInterface.Velocity
    ask.current_velocity, ask.current_acceleration = [v], [a]
    ask.max_acceleration, ask.max_jerk = [5.0], [40.0]
    Ruckig(1, 0.1).update(ask, answer)
    phases = brake_phases(v, a, 5.0, 40.0)
    assert sum(duration for duration, _ in phases) == pytest.approx(
        answer.trajectory.duration, abs=1e-6
    )
    end = answer.trajectory.at_time(answer.trajectory.duration)[0][0]
    assert run_phases(0.0, v, a, phases, 10.0)[0] == pytest.approx(end, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(**STATES)
def test_extent_covers_the_whole_stop(v, a):
    """No sample of the stop lies outside, and the ends are met."""
    phases = brake_phases(v, a, 5.0, 40.0)
    path = np.array([run_phases(0.0, v, a, phases, moment) for moment in np.linspace(0, 2, 2001)])
    low, high, speed = stop_extent(0.0, v, a, 5.0, 40.0)
    assert path[:, 0].min() == pytest.approx(low, abs=1e-4)
    assert path[:, 0].max() == pytest.approx(high, abs=1e-4)
    assert low - 1e-9 <= path[:, 0].min()
    assert path[:, 0].max() <= high + 1e-9
    assert np.abs(path[:, 1]).max() <= speed + 1e-9
