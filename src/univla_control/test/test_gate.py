"""The last look at a command finds what a broken limiter would let through."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.gate import OutputGate
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names

from univla_control import Command

PERIOD = 1.0 / 60.0


def command(robot, values, opening=None, **changes):
    """A command with joint angles, or the twist of a base."""
    values = np.asarray(values, dtype=float)
    arm = robot.kind == 'arm'
    return Command(
        time=0.0,
        positions=values if arm else np.zeros(0),
        velocities=np.zeros_like(values) if arm else values,
        accelerations=np.zeros_like(values),
        gripper_opening=opening,
        twist=None if arm else tuple(values),
        source='policy',
        limit_use=0.0,
        chunk_sequence=0,
        chunk_step=-1,
        **changes,
    )


def look(robot, stream, measured=None, **changes):
    """What the gate says about the last command of a stream; the others must pass."""
    gate = OutputGate(robot, PERIOD)
    for values in stream[:-1]:
        assert gate.check(command(robot, values), robot.maker_limits, measured) is None
    return gate.check(command(robot, stream[-1], **changes), robot.maker_limits, measured)


def start(robot):
    """Where a stream may begin."""
    return robot.home if robot.kind == 'arm' else np.zeros(2)


@pytest.mark.parametrize('name', robot_names())
@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_nothing_that_is_not_finite_passes(name, bad):
    """Not even in one axis."""
    robot = load_embodiment(name)
    values = start(robot).copy()
    values[-1] = bad
    assert 'finite' in look(robot, [values])


@pytest.mark.parametrize('name', robot_names())
def test_a_step_too_far_is_named(name):
    """1 % more than the maker's velocity (arm) or acceleration (base) allows in one period."""
    robot = load_embodiment(name)
    limits = robot.maker_limits
    most = limits.velocity if robot.kind == 'arm' else limits.acceleration
    for share, passes in ((0.99, True), (1.01, False)):
        stream = [start(robot), start(robot)]
        stream[1] = stream[1] + share * np.eye(len(most))[0] * most[0] * PERIOD
        wrong = look(robot, stream)
        assert (wrong is None) is passes, wrong
        assert passes or robot.axis_names[0] in wrong


def test_acceleration_and_jerk_are_looked_at():
    """WidowX: 5 rad/s² and 50 rad/s³ are 1.39 mrad/period² and 0.23 mrad/period³."""
    robot = load_embodiment('widowx')
    ways = {'acceleration': [0.0, 0.0, 1.5e-3], 'jerk': [0.0, 0.0, 0.0, 0.3e-3]}
    for name, way in ways.items():
        wrong = look(robot, [robot.home + w for w in way])
        assert wrong is not None and wrong.startswith(name)
    assert look(robot, [robot.home + w for w in (0.0, 0.0, 0.0, 0.2e-3)]) is None


def test_outside_the_range_only_the_way_back_passes():
    """A folded arm may lie past the end; it may come back, not go on."""
    robot = load_embodiment('widowx')
    past = robot.home.copy()
    past[1] = robot.maker_limits.upper[1] + 0.05
    inwards = np.array([0.0, 1e-4, 0.0, 0.0, 0.0, 0.0])
    assert look(robot, [past, past - inwards]) is None
    assert 'shoulder' in look(robot, [past, past + 2.0 * inwards])
    assert 'past its end' in look(robot, [robot.home, past])


def test_the_first_command_and_a_new_start_are_where_the_arm_is():
    """A jump is fine only onto the measured joints."""
    robot = load_embodiment('airbot')
    assert 'first command' in look(robot, [robot.home + 0.2], measured=robot.home)
    elsewhere = robot.home + 0.3
    gate = OutputGate(robot, PERIOD)
    limits = robot.maker_limits
    assert gate.check(command(robot, robot.home), limits, robot.home) is None
    assert gate.check(command(robot, elsewhere), limits, elsewhere) is not None
    gate.reset()
    assert gate.check(command(robot, elsewhere), limits, elsewhere) is None


def test_the_fr3_is_slower_near_its_ends():
    """At 2.5 rad joint 1 may do sqrt(12 (2.7501 - 2.5)) - 0.3 = 1.43 rad/s, not 2.62."""
    robot = load_embodiment('franka')
    near = robot.home.copy()
    near[0] = 2.5
    step = np.eye(7)[0] * PERIOD
    assert look(robot, [near, near - 2.0 * step]) is None
    assert 'near its end' in look(robot, [near, near + 1.6 * step])
    assert look(robot, [near, near + 1.3 * step]) is None


def test_the_gripper_keeps_its_rate():
    """The AIRBOT finger closes in 0.36 s: 4.6 % of the way in one period."""
    robot = load_embodiment('airbot')
    gate = OutputGate(robot, PERIOD)
    limits = robot.maker_limits
    for opening, fine in ((1.0, True), (0.96, True), (0.8, False), (1.2, False)):
        wrong = gate.check(command(robot, robot.home, opening), limits, None)
        assert (wrong is None) is fine, wrong
