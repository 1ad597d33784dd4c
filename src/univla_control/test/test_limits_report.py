"""The report finds what breaks a limit, where, and by how much."""

from __future__ import annotations

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.errors import ShapeError

from univla_control import check_commands


def test_standing_still_uses_only_position():
    """Nothing moves, so only the distance from the middle of the range counts."""
    arm = load_embodiment('panda')
    report = check_commands(arm, np.tile(arm.home, (5, 1)), 0.02)
    assert report.ok
    assert not report.shares.velocity.any()
    # Joint 4: -2.3562 in the middle 90 % of [-3.0718, -0.0698], 0.7854 of 1.3509 off the middle.
    assert report.shares.position[3] == pytest.approx(0.7854 / 1.3509, abs=1e-3)


def test_the_worst_command_is_named():
    """1 rad in 0.1 s is 10 rad/s: 4.6 times what the maker allows, 10 / 1.9575 of ours."""
    arm = load_embodiment('panda')
    stream = np.tile(arm.home, (5, 1))
    stream[3:, 0] += 1.0
    report = check_commands(arm, stream, 0.1)
    assert not report.ok
    assert report.worst[1] == 'panda_joint1'
    assert report.shares.velocity[0] == pytest.approx(10.0 / (0.9 * 2.175))
    assert report.maker_shares.velocity[0] == pytest.approx(10.0 / 2.175)
    # Second difference: 100 rad/s^2 of 0.9 * 15.
    assert report.shares.acceleration[0] == pytest.approx(100.0 / 13.5)
    assert 'OUTSIDE' in str(report)


def test_nan_is_never_ok():
    """NaN compares false with every limit, so it must be asked for by name."""
    arm = load_embodiment('panda')
    stream = np.tile(arm.home, (5, 1))
    stream[2, 5] = np.nan
    report = check_commands(arm, stream, 0.02)
    assert not report.finite
    assert not report.ok


def test_twists_are_judged_as_velocities():
    """0.25 m/s is more than 90 % of 0.26 m/s; 0.02 m/s per 0.02 s is 1 m/s^2 of 2.25."""
    base = load_embodiment('mobile_base')
    assert not check_commands(base, np.tile([0.25, 0.0], (5, 1)), 0.02).ok
    ramp = np.outer(np.arange(5), [0.02, 0.0])
    report = check_commands(base, ramp, 0.02)
    assert report.ok
    assert report.shares.acceleration[0] == pytest.approx(1.0 / 2.25)


def test_jerk_is_judged_by_third_differences():
    """A step of acceleration 0 to 1 rad/s² in 0.02 s is 50 rad/s³ of the WidowX's 45."""
    arm = load_embodiment('widowx')
    stream = np.tile(arm.home, (6, 1))
    stream[3:, 0] += 0.02**2 * np.array([1.0, 3.0, 6.0])
    report = check_commands(arm, stream, 0.02)
    assert report.shares.jerk[0] == pytest.approx(50.0 / 45.0)
    assert report.worst[:2] == ('jerk', 'waist')
    assert not report.ok


def test_numbers_of_32_bits_are_not_blamed_for_their_rounding():
    """At rest but for the last bit: 2 · 10⁻⁷ rad is a jerk of 0.2 rad/s³ at 60 Hz."""
    arm = load_embodiment('widowx')
    joints = np.float32(arm.home)
    stream = np.array([joints, np.nextafter(joints, np.float32(9)), joints, joints], float)
    assert check_commands(arm, stream, 1.0 / 60.0).ok


def test_the_fr3_must_be_slow_near_the_ends_of_its_joints():
    """Joint 1 at 2.4 rad: 0.9 · (√(12 · 0.3501) − 0.3) = 1.5748 upwards, 2.358 downwards."""
    arm = load_embodiment('franka')
    stream = np.tile(arm.home, (2, 1))
    stream[:, 0] = [2.4, 2.4 + 1.8 / 60.0]
    up = check_commands(arm, stream, 1.0 / 60.0)
    assert up.shares.near_end[0] == pytest.approx(1.8 / 1.5748, abs=1e-3)
    assert up.shares.velocity[0] < 1.0
    assert check_commands(arm, stream[::-1], 1.0 / 60.0).shares.near_end[0] < 0.8


def test_the_end_effector_is_judged():
    """The FR3's waist at 1 rad/s moves a hand 0.3069 m away at that speed, and turns it."""
    arm = load_embodiment('franka')
    stream = np.tile(arm.home, (3, 1))
    stream[:, 0] = np.arange(3) / 60.0
    shares = check_commands(arm, stream, 1.0 / 60.0).shares
    assert shares.ee_speed == pytest.approx(0.3069 / 0.8, abs=1e-4)
    assert shares.ee_rotation == pytest.approx(1.0 / 2.0)
    stream[:, 0] = 2.0 * np.pi / 3.0  # x = -0.153 in [-0.4, 0.85], y = 0.266 in ±0.8, z = 0.487
    assert check_commands(arm, stream, 0.02).shares.workspace == pytest.approx(
        (0.225 + 0.1534) / 0.625, abs=1e-3
    )


def test_an_end_effector_outside_its_box_is_found():
    arm = load_embodiment('widowx')
    joints = np.array([np.pi * 0.8, 0.6, 0.0, 0.0, 0.0, 0.0])
    report = check_commands(arm, np.tile(joints, (2, 1)), 0.02)
    assert report.shares.workspace > 1.0
    assert report.worst[:2] == ('workspace', 'ee_gripper_link')
    assert not report.ok


def test_gripper_rate_counts():
    """Opening at once in 0.02 s is 50/s of the Panda's 0.2 / 0.04 = 5/s."""
    arm = load_embodiment('panda')
    stream = np.tile(arm.home, (2, 1))
    report = check_commands(arm, stream, 0.02, np.array([0.0, 1.0]))
    assert report.gripper == pytest.approx(10.0)
    assert not report.ok


def test_wrong_shape_is_refused():
    """Commands of another robot are a mistake of the caller."""
    with pytest.raises(ShapeError, match='panda'):
        check_commands(load_embodiment('panda'), np.zeros((5, 6)), 0.02)
