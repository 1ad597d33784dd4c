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
