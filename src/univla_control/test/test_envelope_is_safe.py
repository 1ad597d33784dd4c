"""Whatever an arm is asked to follow, its end effector keeps its bounds in every command.

The body's clearance, which needs the shapes, is tried in `univla_ros`.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from univla_control.envelope import Envelope
from univla_control.limiter import JointLimiter
from univla_control.limiter import look_ahead
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names

from univla_control import check_commands

PERIOD = 1.0 / 60.0
ARMS = [name for name in robot_names() if load_embodiment(name).kind == 'arm']
SLOW = os.environ.get('UNIVLA_SLOW') == '1'
ROUNDS, TICKS = (50, 2000) if SLOW else (2, 600)


def hostile(robot, limiter, rng, ticks, period=PERIOD):
    """`ticks` commands or more, (T, n), while references jump, run away and contradict."""
    limits, commands = robot.limits, [limiter.positions]
    while len(commands) <= ticks:
        count = len(robot.home)
        goal = [
            rng.uniform(limits.lower, limits.upper),
            limiter.positions + rng.normal(size=count) * 10.0 ** rng.uniform(-3.0, 1.0),
            robot.home,
        ][rng.integers(3)]
        speed = rng.uniform(-1.0, 1.0, count) * limits.velocity * rng.choice([0.0, 0.1, 1.0, 10.0])
        push = rng.uniform(-1.0, 1.0, count) * rng.choice([0.0, 1.0, 100.0])
        for tick in range(int(rng.integers(1, 50))):
            if rng.random() < 0.03:
                limiter.brake(period)
            else:
                limiter.follow(period, goal + speed * tick * period, speed, push)
            commands.append(limiter.positions)
    return np.array(commands)


@pytest.mark.parametrize('name', ARMS)
def test_every_command_keeps_every_bound(name):
    """Joint limits with jerk, the FR3's curve, the hand's speed, rotation and place."""
    robot = load_embodiment(name)
    rng = np.random.default_rng(11)
    for _ in range(ROUNDS):
        envelope = Envelope(robot.chain, robot.cartesian)
        limiter = JointLimiter(robot.limits, look_ahead(robot.limits), envelope)
        limiter.reset(robot.home)
        report = check_commands(robot, hostile(robot, limiter, rng, TICKS), PERIOD)
        assert report.ok, str(report)
        assert report.shares.ee_speed > 0.9, 'the cap is made use of'


@pytest.mark.parametrize('name', ARMS)
def test_limits_that_change_all_the_time_never_loosen_the_loosest(name):
    """Tightened and loosened in motion, all commands stay inside the widest of them."""
    robot = load_embodiment(name)
    rng = np.random.default_rng(12)
    for _ in range(ROUNDS):
        envelope = Envelope(robot.chain, robot.cartesian)
        limiter = JointLimiter(robot.limits, look_ahead(robot.limits), envelope)
        limiter.reset(robot.home)
        pieces = []
        for _ in range(TICKS // 60):
            pieces.append(hostile(robot, limiter, rng, 60)[1:])
            limiter.set_limits(
                robot.limits.scaled(rng.uniform(0.3, 1.0)).slowed(rng.uniform(0.1, 1))
            )
            box = rng.uniform(0.4, 1.0)
            own = robot.cartesian
            envelope.set_limits(
                replace(
                    own,
                    ee_speed=own.ee_speed * rng.uniform(0.1, 1.0),
                    ee_rotation=own.ee_rotation * rng.uniform(0.1, 1.0),
                    workspace_lower=box * own.workspace_lower,
                    workspace_upper=box * own.workspace_upper,
                )
            )
        report = check_commands(robot, np.vstack(pieces), PERIOD)
        assert report.ok, str(report)


@pytest.mark.parametrize('rate_hz', [30.0, 100.0, 250.0])
@pytest.mark.parametrize('name', ['franka', 'widowx'])
def test_other_rates_keep_every_bound(name, rate_hz):
    robot = load_embodiment(name)
    envelope = Envelope(robot.chain, robot.cartesian)
    limiter = JointLimiter(robot.limits, look_ahead(robot.limits), envelope)
    limiter.reset(robot.home)
    rng = np.random.default_rng(13)
    commands = hostile(robot, limiter, rng, TICKS, 1.0 / rate_hz)
    report = check_commands(robot, commands, 1.0 / rate_hz)
    assert report.ok, str(report)
