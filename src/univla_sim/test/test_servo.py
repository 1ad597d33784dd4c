"""Hand-worked numbers of servo profiles, trajectories and the command timeout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_core.errors import ActionError
from univla_core.errors import ShapeError
from univla_sim.servo import CommandTimeout
from univla_sim.servo import JointTrajectoryInterpolator
from univla_sim.servo import TimeProfile


def test_a_motion_takes_its_time_whatever_its_length():
    """T = 2 s, ramps 0.5 s: cruise = way / 1.5 s, so 3 rad cruise at 2 rad/s."""
    profile = TimeProfile(np.zeros(2), 2000.0, 500.0)
    profile.set_goal(np.array([3.0, 0.3]))
    # Ramp: 2 rad/s² · (0.5 s)² / 2 · (2 / 0.5 / 2) = 0.5 · 2 · 0.5 = 0.5 rad.
    assert profile.advance(0.5) == pytest.approx([0.5, 0.05])
    assert profile.velocities == pytest.approx([2.0, 0.2])
    assert profile.advance(0.5) == pytest.approx([1.5, 0.15])  # half-way at half-time
    assert profile.advance(0.5) == pytest.approx([2.5, 0.25])
    assert profile.advance(0.25) == pytest.approx([2.875, 0.2875])  # 2.5 + 0.5 − 0.125
    assert profile.advance(0.25) == pytest.approx([3.0, 0.3])
    assert profile.advance(9.0) == pytest.approx([3.0, 0.3])


def test_streamed_goals_lag_by_the_profile_time():
    """Goals that run at 0.2 rad/s are followed 2 − 0.3 / 2 = 1.85 s late: 0.37 rad."""
    profile, goal = TimeProfile(np.zeros(1)), 0.0
    for _ in range(2000):
        goal += 0.2 * 0.01
        profile.set_goal(np.array([goal]))
        profile.advance(0.01)
    assert goal - profile.setpoints[0] == pytest.approx(0.37, rel=0.01)
    assert profile.velocities[0] == pytest.approx(0.2, rel=0.01)


def test_zero_profile_jumps():
    profile = TimeProfile(np.zeros(1), 0.0, 0.0)
    profile.set_goal(np.array([0.7]))
    assert profile.advance(0.0) == pytest.approx([0.7])


@given(st.floats(10.0, 3000.0), st.floats(1.0, 2000.0), st.floats(0.0, 3.0), st.floats(-3.0, 3.0))
def test_a_new_goal_moves_neither_setpoint_nor_velocity(velocity_ms, ramp_ms, when, goal):
    profile = TimeProfile(np.zeros(1), velocity_ms, ramp_ms)
    profile.set_goal(np.array([1.0]))
    before = profile.advance(when).copy()
    speed = profile.velocities.copy()
    profile.set_goal(np.array([goal]))
    assert profile.setpoints == pytest.approx(before)
    assert profile.velocities == pytest.approx(speed, abs=1e-9)
    assert profile.advance(1e-3 * velocity_ms + 1e-9) == pytest.approx([goal])


def test_profile_refuses_what_is_no_time_or_no_goal():
    profile = TimeProfile(np.zeros(2))
    with pytest.raises(ActionError, match='not negative'):
        profile.set_profile(-1.0, 0.0)
    with pytest.raises(ShapeError, match='expected'):
        profile.set_goal(np.zeros(3))
    with pytest.raises(ActionError, match='not finite'):
        profile.set_goal(np.array([0.0, np.nan]))


def test_straight_segments_without_velocities():
    controller = JointTrajectoryInterpolator(np.array([1.0]))
    controller.set_trajectory([1.0, 3.0], np.array([[2.0], [0.0]]))
    assert controller.advance(0.25) == pytest.approx([1.25])
    assert controller.advance(0.75) == pytest.approx([2.0])
    assert controller.advance(1.0) == pytest.approx([1.0])
    assert controller.velocities == pytest.approx([-1.0])
    assert controller.advance(5.0) == pytest.approx([0.0])
    assert controller.finished


def test_cubic_segments_with_velocities():
    """From rest to rest over 1 rad in 2 s: 3s² − 2s³, so 0.15625 at a quarter, 0.5 half-way."""
    controller = JointTrajectoryInterpolator(np.zeros(1))
    controller.set_trajectory([2.0], np.ones((1, 1)), np.zeros((1, 1)))
    assert controller.advance(0.5) == pytest.approx([0.15625])
    assert controller.advance(0.5) == pytest.approx([0.5])
    assert controller.velocities == pytest.approx([0.75])  # 6 s (1 − s) / 2 s


def test_a_new_trajectory_replaces_the_old_from_where_it_is():
    controller = JointTrajectoryInterpolator(np.zeros(1))
    controller.set_trajectory([1.0], np.array([[1.0]]))
    controller.advance(0.5)
    controller.set_trajectory([1.0], np.array([[0.0]]))
    assert controller.setpoints == pytest.approx([0.5])
    assert controller.advance(0.5) == pytest.approx([0.25])


def test_cubic_start_keeps_the_present_velocity():
    """Running at 1 rad/s: set-point after a short time h must be near h."""
    controller = JointTrajectoryInterpolator(np.zeros(1))
    controller.set_trajectory([1.0], np.array([[1.0]]))
    controller.advance(0.5)
    controller.set_trajectory([1.0], np.array([[0.0]]), np.zeros((1, 1)))
    assert controller.velocities == pytest.approx([1.0])
    assert controller.advance(0.001) == pytest.approx([0.501], abs=1e-5)


def test_a_point_at_time_zero_is_jumped_to():
    controller = JointTrajectoryInterpolator(np.zeros(1))
    controller.set_trajectory([0.0], np.array([[0.4]]))
    assert controller.setpoints == pytest.approx([0.4])
    controller.set_trajectory([0.0, 1.0], np.array([[0.6], [1.6]]))
    assert controller.advance(0.5) == pytest.approx([1.1])


def test_trajectories_that_run_backwards_are_refused():
    controller = JointTrajectoryInterpolator(np.zeros(1))
    with pytest.raises(ActionError, match='must increase'):
        controller.set_trajectory([1.0, 0.5], np.zeros((2, 1)))
    with pytest.raises(ActionError, match='not finite'):
        controller.set_trajectory([1.0], np.array([[np.inf]]))
    with pytest.raises(ShapeError, match='expected'):
        controller.set_trajectory([1.0], np.zeros((1, 2)))
    with pytest.raises(ShapeError, match='one time per point'):
        controller.set_trajectory([], np.zeros((0, 1)))


def test_a_silent_commander_stops_the_base():
    timeout = CommandTimeout(2, 0.5)
    assert timeout.value(0.0) == pytest.approx([0.0, 0.0])
    timeout.update(np.array([0.2, 0.1]), 10.0)
    assert timeout.value(10.49) == pytest.approx([0.2, 0.1])
    assert timeout.value(10.5) == pytest.approx([0.0, 0.0])
    with pytest.raises(ActionError, match='not finite'):
        timeout.update(np.array([np.nan, 0.0]), 11.0)
