"""Speed caps, walls and tightening of the end effector's bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from univla_control.envelope import Envelope
from univla_control.limiter import JointLimiter
from univla_control.limiter import look_ahead
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names

PERIOD = 1.0 / 60.0
ARMS = [name for name in robot_names() if load_embodiment(name).kind == 'arm']


class Arm:
    """An arm behind a limiter with an envelope; remembers its commands."""

    def __init__(self, name, start=None, **limits):
        self.robot = load_embodiment(name)
        self.limits = replace(self.robot.cartesian, **limits)
        self.envelope = Envelope(self.robot.chain, self.limits)
        self.limiter = JointLimiter(
            self.robot.limits, look_ahead(self.robot.limits), self.envelope
        )
        self.limiter.reset(self.robot.home if start is None else np.asarray(start, float))
        self.commands, self.reasons = [self.limiter.positions], []

    def go(self, target, ticks):
        still = np.zeros(len(target))
        for _ in range(ticks):
            self.limiter.follow(PERIOD, np.asarray(target, float), still, still)
            self.commands.append(self.limiter.positions)
            self.reasons.append(self.limiter.held_back)
        return self

    @property
    def places(self):
        """Positions of the end effector in every command (T, 3) [m]."""
        return np.array([self.robot.chain.forward(q)[:3, 3] for q in self.commands])

    @property
    def speeds(self):
        """Mean speed of the end effector between two commands (T - 1,) [m/s]."""
        return np.linalg.norm(np.diff(self.places, axis=0), axis=1) / PERIOD

    def turned(self, **joints):
        """Home, with some joints elsewhere: `turned(j0=0.5)`."""
        target = self.robot.home.copy()
        for name, angle in joints.items():
            target[int(name[1:])] = angle
        return target


@pytest.mark.parametrize('name', ARMS)
def test_a_motion_that_asks_for_too_much_runs_near_the_cap(name):
    """The waist through 1.2 rad at 0.15 m/s: never above the cap, on average 80 % of it."""
    arm = Arm(name, ee_speed=0.15)
    arm.limiter.reset(arm.turned(j0=-0.6))
    arm.commands = [arm.limiter.positions]
    arm.go(arm.turned(j0=0.6), 400)
    speeds = arm.speeds
    assert speeds.max() <= 0.15
    assert arm.commands[-1] == pytest.approx(arm.turned(j0=0.6), abs=1e-3)
    moving = speeds[speeds > 0.01]
    assert moving.mean() >= 0.8 * 0.15
    # No stop and go: in the middle of the way the speed hardly changes.
    middle = moving[len(moving) // 4 : len(moving) // 2]
    assert middle.std() < 0.1 * 0.15
    assert 'ee_speed' in arm.reasons


@pytest.mark.parametrize('name', ARMS)
def test_the_hand_turns_no_faster_than_its_cap(name):
    arm = Arm(name, ee_rotation=0.5)
    last = arm.robot.axis_count - 1
    arm.go(arm.turned(**{f'j{last}': arm.robot.home[last] - 0.8}), 300)
    turns = np.array([arm.robot.chain.forward(q)[:3, :3] for q in arm.commands])
    angles = np.arccos(
        np.clip((np.einsum('kij,kij->k', turns[1:], turns[:-1]) - 1.0) / 2.0, -1.0, 1.0)
    )
    assert angles.max() / PERIOD <= 0.5 + 1e-6
    assert angles.sum() == pytest.approx(0.8, abs=0.02)
    assert 'ee_rotation' in arm.reasons


@pytest.mark.parametrize('name', ARMS)
def test_the_hand_stops_at_a_wall_and_comes_back(name):
    """A wall 5 cm to the left; pushed against it and called back."""
    arm = Arm(name)
    wall = arm.places[0, 1] + 0.05
    upper = np.array([*arm.limits.workspace_upper])
    upper[1] = wall
    arm.envelope.set_limits(replace(arm.limits, workspace_upper=upper))
    side = 1.0 if arm.robot.chain.jacobian(arm.robot.home)[1, 0] > 0.0 else -1.0
    arm.go(arm.turned(j0=side * 0.8), 200)
    assert arm.places[:, 1].max() <= wall
    assert arm.places[-1, 1] > wall - 0.01, 'as near as it gets'
    assert arm.reasons[-1] == 'workspace'
    arm.go(arm.robot.home, 200)
    assert arm.commands[-1] == pytest.approx(arm.robot.home, abs=1e-3)
    assert arm.reasons[-1] == ''


def test_along_a_wall_the_arm_goes_on():
    """The waist pushes against the wall; the wrist, which does not, still turns."""
    arm = Arm('franka')
    upper = np.array([*arm.limits.workspace_upper])
    upper[1] = 0.05
    arm.envelope.set_limits(replace(arm.limits, workspace_upper=upper))
    arm.go(arm.turned(j0=0.8), 120)
    arm.go(arm.turned(j0=0.8, j6=0.0), 240)
    assert arm.places[:, 1].max() <= 0.05
    assert arm.commands[-1][6] == pytest.approx(0.0, abs=0.05)


def test_a_hand_found_outside_comes_in_and_never_goes_farther():
    arm = Arm('widowx', start=[2.4, 0.4, 0.0, 0.0, 0.0, 0.0])
    outside = arm.limits.workspace_lower - arm.places[0]
    assert outside.max() > 0.0
    arm.go([2.4, 0.8, -0.4, 0.0, 0.0, 0.0], 60)  # stretches farther out
    arm.go(arm.robot.home, 400)
    worse = arm.limits.workspace_lower - arm.places
    assert (worse.max(axis=0) <= np.maximum(outside, 0.0) + 1e-9).all()
    assert arm.commands[-1] == pytest.approx(arm.robot.home, abs=1e-3)
    inside = (worse <= 0.0).all(axis=1)
    assert inside[np.argmax(inside) :].all(), 'once inside, it stays'


@pytest.mark.parametrize('name', ARMS)
def test_a_cap_that_is_tightened_in_motion_is_kept_soon(name):
    """The hand never speeds up above the new cap, and is below it within half a second."""
    arm = Arm(name)
    arm.limiter.reset(arm.turned(j0=-0.8))
    arm.commands = [arm.limiter.positions]
    arm.go(arm.turned(j0=0.8), 20)
    arm.envelope.set_limits(replace(arm.limits, ee_speed=0.1))
    arm.go(arm.turned(j0=0.8), 120)
    after = arm.speeds[20:]
    assert after[0] > 0.1, 'it was faster before'
    above = after > 0.1 + 1e-9
    assert above.sum() <= 30
    assert not above[int(np.argmin(above)) :].any(), 'once below, it stays'


@pytest.mark.parametrize('name', ARMS)
def test_a_box_that_is_tightened_in_motion_is_left_no_farther_than_the_stop(name):
    """The hand on its way out stops as quickly as it may, then comes back in when asked."""
    arm = Arm(name)
    arm.go(arm.turned(j0=0.8), 15)
    place = arm.places[-1]
    speed = arm.speeds[-1]
    lower, upper = arm.limits.workspace_lower.copy(), arm.limits.workspace_upper.copy()
    lower[1] = max(lower[1], place[1] - 1e-3)
    upper[1] = min(upper[1], place[1] + 1e-3)
    arm.envelope.set_limits(replace(arm.limits, workspace_lower=lower, workspace_upper=upper))
    arm.go(arm.turned(j0=0.8), 120)
    assert np.abs(arm.places[-1, 1] - place[1]) <= 0.5 * speed + 0.01
    assert arm.limiter.held_back == 'workspace'
    assert np.abs(np.diff(arm.places[-20:], axis=0)).max() < 1e-4


def test_the_speed_in_use_is_named():
    arm = Arm('franka', ee_speed=0.1)
    arm.limiter.reset(arm.turned(j0=-0.6))
    arm.go(arm.turned(j0=0.6), 60)
    share, name = arm.limiter.largest_use()
    assert name == 'ee_speed'
    assert 0.8 < share <= 1.0
