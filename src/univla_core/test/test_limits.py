"""Limits scale, tighten and bound as worked out by hand."""

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.limits import AxisLimits
from univla_core.limits import CartesianLimits


def test_scaled_limits_keep_the_middle():
    """90 % of [−1, 3] is 1 ± 1.8; unbounded axes stay unbounded."""
    ones = np.ones(2)
    limits = AxisLimits(
        lower=np.array([-1.0, -np.inf]),
        upper=np.array([3.0, np.inf]),
        velocity=2 * ones,
        acceleration=ones,
        jerk=ones,
    ).scaled(0.9)
    assert limits.lower == pytest.approx([-0.8, -np.inf])
    assert limits.upper == pytest.approx([2.8, np.inf])
    assert limits.velocity == pytest.approx([1.8, 1.8])


def test_the_velocity_of_the_fr3_shrinks_towards_the_ends():
    """Joint 1 at 2.4 rad: √(12 · 0.3501) − 0.30 = 1.7497 upwards, downwards still 2.62."""
    maker = load_embodiment('franka').maker_limits
    at = np.array([2.4, 0.0, 0.0, -1.5, 0.0, 2.5, 0.0])
    lowest, highest = maker.bounds(at)
    assert highest[0] == pytest.approx(1.7497, abs=1e-4)
    assert lowest[0] == pytest.approx(-2.62)
    # Joint 2 in its middle: √(5.17 · 1.7918) − 0.20 = 2.8436, so the constant 2.62 holds.
    assert highest[1] == pytest.approx(2.62)
    # At the very end of its range, 2.7437 rad, nothing is left: √(12 · 0.0064) − 0.30 < 0.
    assert maker.bounds(np.array([2.7437, *at[1:]]))[1][0] == 0.0


def test_the_suite_uses_its_share_of_the_shrinking_velocity():
    """90 % of the curve, not the curve of a range of 90 %."""
    robot = load_embodiment('franka')
    at = np.random.default_rng(0).uniform(robot.limits.lower, robot.limits.upper, (200, 7))
    for ours, makers in zip(robot.limits.bounds(at), robot.maker_limits.bounds(at), strict=True):
        assert ours == pytest.approx(0.9 * makers)
    half = robot.limits.slowed(0.5)
    assert half.bounds(at)[1] == pytest.approx(0.5 * robot.limits.bounds(at)[1])
    assert half.acceleration == pytest.approx(robot.limits.acceleration)


def test_the_tighter_of_two_keeps_the_smaller_share_of_the_curve():
    limits = load_embodiment('franka').limits
    at = np.tile(limits.upper - 0.05, (1, 1))
    both = limits.slowed(0.5).tightened(limits)
    assert both.bounds(at)[1] == pytest.approx(0.5 * limits.bounds(at)[1])


def test_without_a_curve_the_velocity_is_the_same_everywhere():
    limits = load_embodiment('panda').limits
    lowest, highest = limits.bounds(np.zeros((4, 7)))
    assert (highest == limits.velocity).all()
    assert (lowest == -limits.velocity).all()


def box(low, high, **other):
    fields = {'ee_speed': 1.0, 'ee_rotation': 2.0, 'clearance': 0.01, **other}
    return CartesianLimits(
        workspace_lower=np.full(3, low), workspace_upper=np.full(3, high), **fields
    )


def test_the_tighter_cartesian_limits_win_one_by_one():
    both = box(-1.0, 0.5).tightened(box(-0.2, 2.0, ee_speed=0.3, clearance=0.002, floor_z=0.1))
    assert both.workspace_lower == pytest.approx([-0.2] * 3)
    assert both.workspace_upper == pytest.approx([0.5] * 3)
    assert (both.ee_speed, both.ee_rotation) == (0.3, 2.0)
    assert (both.clearance, both.floor_z) == (0.01, 0.1)


def test_a_position_is_clipped_to_the_box():
    assert box(-1.0, 0.5).clip(np.array([0.2, 0.9, -3.0])) == pytest.approx([0.2, 0.5, -1.0])
