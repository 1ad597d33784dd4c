"""The limiters: live limits, the FR3's bound, and what they say about themselves."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.axis_limiter import AxisLimiter
from univla_control.limiter import JointLimiter
from univla_control.limiter import TwistLimiter
from univla_control.limiter import look_ahead
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names

PERIOD = 1.0 / 60.0
ARMS = [name for name in robot_names() if load_embodiment(name).kind == 'arm']


def limiter_of(name):
    robot = load_embodiment(name)
    limiter = JointLimiter(robot.limits, look_ahead(robot.limits), names=robot.axis_names)
    limiter.reset(robot.home)
    return robot, limiter


def go(limiter, target, ticks):
    """Commands (ticks + 1, n) on the way to a posture."""
    still, commands = np.zeros_like(target), [limiter.positions]
    for _ in range(ticks):
        limiter.follow(PERIOD, target, still, still)
        commands.append(limiter.positions)
    return np.array(commands)


def rates(commands):
    """Largest velocity, acceleration and jerk of each axis."""
    return [np.abs(np.diff(commands, k, axis=0)).max(axis=0) / PERIOD**k for k in (1, 2, 3)]


@pytest.mark.parametrize('name', ARMS)
def test_tighter_limits_hold_after_a_stop_at_most(name):
    """The arm slows down under the old limits and goes on under the new ones."""
    robot, limiter = limiter_of(name)
    target = 0.5 * (robot.limits.lower + robot.limits.upper)
    before = go(limiter, target, 12)
    tight = robot.limits.scaled(0.5).slowed(0.5)
    limiter.set_limits(tight)
    waiting = []
    while limiter.limits is not tight:
        waiting.append(go(limiter, target, 1)[-1])
        assert limiter.limits is tight or limiter.held_back == 'new limits'
        assert len(waiting) < 60
    assert waiting, 'it was too fast for the new limits'
    after = go(limiter, target, 400)
    pairs = zip(rates(after), (tight.velocity, tight.acceleration, tight.jerk), strict=True)
    for rate, most in pairs:
        assert (rate <= most * (1.0 + 1e-6)).all()
    whole = np.vstack([before, *waiting, after[1:]])
    old = robot.limits
    pairs = zip(rates(whole), (old.velocity, old.acceleration, old.jerk), strict=True)
    for rate, most in pairs:
        assert (rate <= most * (1.0 + 1e-6)).all()
    assert after[-1] == pytest.approx(target, abs=1e-3)


@pytest.mark.parametrize('name', ARMS)
def test_looser_limits_hold_at_once(name):
    robot, limiter = limiter_of(name)
    limiter.set_limits(robot.limits.slowed(0.1))
    target = robot.home + 0.3
    go(limiter, target, 20)
    limiter.set_limits(robot.limits)
    assert limiter.limits is robot.limits


def test_a_joint_beyond_a_new_end_moves_inwards_only():
    robot, limiter = limiter_of('widowx')
    outside = robot.home.copy()
    outside[0] = 1.5
    limiter.reset(outside)
    tight = robot.limits.scaled(0.4)  # the waist within ±1.13 rad
    limiter.set_limits(tight)
    assert limiter.limits is tight
    asked = outside.copy()
    asked[0] = 2.5
    inwards = go(limiter, asked, 200)[:, 0]
    assert (np.diff(inwards[inwards > tight.upper[0] + 1e-9]) <= 0.0).all()
    assert inwards[-1] == pytest.approx(tight.upper[0], abs=1e-3)
    go(limiter, robot.home, 100)
    assert go(limiter, asked, 200)[:, 0].max() <= tight.upper[0] + 1e-9


@pytest.mark.parametrize('axis', range(7))
@pytest.mark.parametrize('side', [-1.0, 1.0])
def test_every_joint_of_the_fr3_slows_down_towards_its_end(axis, side):
    """The bound by the maker's curve, between commands and at them; and the end is reached."""
    robot, limiter = limiter_of('franka')
    start = 0.5 * (robot.limits.lower + robot.limits.upper)
    limiter.reset(start)
    target = start.copy()
    target[axis] = robot.limits.upper[axis] if side > 0 else robot.limits.lower[axis]
    commands, speeds, still = [limiter.positions], [], np.zeros(7)
    for _ in range(500):
        limiter.follow(PERIOD, target, still, still)
        commands.append(limiter.positions)
        lowest, highest = robot.limits.bounds(limiter.positions)
        speeds.append(limiter.velocities[axis])
        assert lowest[axis] - 1e-6 <= speeds[-1] <= highest[axis] + 1e-6
    assert commands[-1][axis] == pytest.approx(target[axis], abs=1e-3)
    assert np.abs(speeds).max() > 0.8 * min(robot.limits.velocity[axis], 2.0)


def test_the_limit_in_use_is_named():
    """The WidowX's waist at rest, then turning; its elbow at the end of its range."""
    robot, limiter = limiter_of('widowx')
    far = robot.home.copy()
    far[0] = 2.5
    go(limiter, far, 25)
    share, name = limiter.largest_use()
    assert name in ('velocity of waist', 'acceleration of waist')
    assert 0.5 < share <= 1.0
    assert limiter.use() == share
    limiter.reset(np.where(np.arange(6) == 2, robot.limits.upper, robot.home))
    assert limiter.largest_use() == (pytest.approx(1.0), 'position of elbow')


def test_a_base_gets_used_to_tighter_limits():
    """0.2 m/s and turning; then a quarter of everything."""
    robot = load_embodiment('mobile_base')
    limiter = TwistLimiter(robot.limits, robot.axis_names)
    twists = []
    for tick in range(240):
        if tick == 60:
            tight = robot.limits.scaled(0.25)
            limiter.set_limits(tight)
        limiter.follow(PERIOD, np.array([0.2, 0.7]))
        twists.append(limiter.twist)
        if tick == 59:
            assert limiter.largest_use() == (pytest.approx(0.875), 'velocity of angular_z')
        if tick == 62:
            assert limiter.held_back == 'new limits'
    change = np.abs(np.diff(twists, axis=0)) / PERIOD
    assert (change <= robot.limits.acceleration).all()
    assert limiter.limits is tight
    assert (np.abs(twists[100:]) <= tight.velocity * (1.0 + 1e-6)).all()
    assert twists[-1] == pytest.approx(np.minimum([0.2, 0.7], tight.velocity), abs=1e-6)


def test_a_state_that_ruckig_gives_up_on_ends_in_a_stop():
    """Found by the hostile test: `ruckig` raises where the speed will just touch its bound."""
    axis = AxisLimiter(-3.0, 3.0, 0.23090867698012776, 2.5123599627700246, 25.12359962770026, None)
    state = (-0.4637905729174732, 0.1262861869308164, 2.2928120516309023)
    target = (-0.020957126001657278, -0.23090867698012776, 0.0)
    axis.place(state)
    chosen = axis.towards(state, target, 0.15, PERIOD)
    assert chosen is None or axis.viable(chosen)
    assert axis.viable(axis.stopping(state, PERIOD))
