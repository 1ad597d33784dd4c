"""Chunks of increments, replanned all the time, on an arm that follows with a lag."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.config import ControlConfig
from univla_control.controller import ChunkController
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment

AIRBOT = load_embodiment('airbot')
RATE = 60.0
STEP = -0.015  # [rad] per 0.1 s


def increments(rows, step_s, stamp, number):
    return ActionChunk(
        robot='airbot',
        action_space='joint_delta',
        names=AIRBOT.action_names('joint_delta'),
        data=rows,
        step_duration_s=step_s,
        stamp=stamp,
        sequence=number,
    )


def replanned(follow, seconds=3.0, **config):
    """Commands of joint5 while a chunk of equal increments comes every 0.2 s.

    `follow(commands)` gives the measured joints from all commands so far.
    """
    controller = ChunkController(AIRBOT, ControlConfig(heartbeat_timeout_s=0.0, **config))
    controller.activate(0.0)
    commands = [AIRBOT.home]
    rows = np.zeros((8, 7))
    rows[:, 4], rows[:, 6] = STEP, 1.0
    for tick in range(int(seconds * RATE)):
        time = 10.0 + tick / RATE
        controller.on_joint_state(time, follow(commands), 1.0)
        if tick % 12 == 0:
            chunk = increments(rows, 0.1, time - 0.045, tick // 12 + 1)
            assert controller.on_chunk(chunk, time) is None
        commands.append(controller.step(time).positions)
    return np.array(commands)[:, 4]


def lagging(commands):
    """An arm 80 ms behind its commands."""
    return commands[max(0, len(commands) - 6)]


def test_a_lagging_arm_keeps_the_speed_that_was_asked_for():
    """-0.015 rad per 0.1 s is -0.15 rad/s, without creep and without ripple."""
    speed = np.diff(replanned(lagging)[60:]) * RATE
    assert speed.mean() == pytest.approx(-0.15, rel=0.01)
    assert np.ptp(speed) < 0.01


def test_from_the_measured_joints_the_same_arm_creeps():
    """What the bound of 0 means: each chunk pulls the arm back by its lag."""
    speed = np.diff(replanned(lagging, delta_lag_rad=0.0)[60:]) * RATE
    assert -0.12 < speed.mean() < 0.0


def test_a_blocked_arm_does_not_wind_up():
    """Whatever is asked, the command stays within the bound and one chunk of the joints."""
    home = AIRBOT.home
    path = replanned(lambda commands: home, seconds=6.0, delta_lag_rad=0.1)
    assert np.abs(path - home[4]).max() <= 0.1 + 8 * abs(STEP)


def test_chunks_that_arrive_late_follow_the_one_before_them():
    """Each lifts the joint by 0.01 rad and arrives when the next is being planned: a staircase.

    What is asked of the joints at a chunk's stamp was then still decided by the chunk before the
    last: two rows of chunks would take turns, and rest is a swing at half the planning rate.
    """
    controller = ChunkController(AIRBOT, ControlConfig(heartbeat_timeout_s=0.0))
    controller.activate(0.0)
    commands = [AIRBOT.home]
    for tick in range(int(6.0 * RATE)):
        time = 10.0 + tick / RATE
        controller.on_joint_state(time, lagging(commands), 1.0)
        if tick % 12 == 9:
            number = tick // 12 + 1
            rows = np.zeros((4, 7))
            rows[:, 6] = 1.0
            rows[0, 4] = -0.02 if number == 4 else 0.0
            chunk = increments(rows, 0.2, time - 9 / RATE, number)
            assert controller.on_chunk(chunk, time) is None
        commands.append(controller.step(time).positions)
    path = np.array(commands)[:, 4] - AIRBOT.home[4]
    assert path[-120:] == pytest.approx(-0.02, abs=1e-3)
