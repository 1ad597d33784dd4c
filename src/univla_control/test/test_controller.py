"""How chunks are placed in time, joined, dropped, and what happens without them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import pytest
from univla_control.chunk_intake import BROKEN
from univla_core.embodiment import robot_names
from univla_core.poses import pose
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_pose
from univla_core.poses import vector_from_rotation

from univla_control import Mode
from univla_control import check_commands

PERIOD = 1.0 / 60.0
ARMS = [name for name in robot_names() if name != 'mobile_base']


def steady(robot, offset=0.0, count=8):
    """Rows that ask the first joint to be `offset` [rad] away from home."""
    rows = np.tile(robot.embodiment.home, (count, 1))
    rows[:, 0] += offset
    return rows


def swing(robot, moment):
    """A slow sine of joint 1, joint angles (n,) at a moment [s]."""
    target = robot.embodiment.home.copy()
    target[0] += 0.2 * (1.0 - math.cos(2.0 * math.pi * 0.25 * max(0.0, moment - 1.5)))
    return target


def follow(robot, want, space, seconds=6.0, every=6, age=0.1) -> Iterator[float]:
    """Replan every 0.1 s on an observation of age `age`; yields the time after each tick."""
    for count in range(int(seconds * 60)):
        if count % every == 0:
            stamp = robot.time - age
            rows = [want(stamp + 0.1 * (row + 1)) for row in range(8)]
            assert robot.send(rows, space, age=age) is None
        robot.tick()
        yield robot.time


# --- the first command, hold and recovery ---------------------------------------------------


@pytest.mark.parametrize('name', ARMS)
def test_first_command_is_where_the_robot_is(drive, name):
    """An arm never starts with zeros or with where the last run ended."""
    robot = drive(name)
    robot.joints = robot.embodiment.home + 0.1
    first = robot.tick()
    assert np.array_equal(first.positions, robot.embodiment.home + 0.1)
    assert first.source == 'hold'
    assert not first.velocities.any()


def test_no_command_before_the_first_joint_state(drive):
    """Nobody knows where the robot is, so nobody may command it."""
    robot = drive()
    robot.alive = False
    assert robot.tick(30) is None
    assert robot.controller.status().fault == 'stale_joint_state'


def test_silence_brakes_and_holds(drive):
    """The chunk runs out at 0.8 s, patience after 0.5 s; then the fault is named."""
    robot = drive('widowx')
    robot.tick(2)
    robot.send(steady(robot, 0.3))
    robot.tick(int(0.7 * 60))
    assert robot.commands[-1].source == 'policy'
    robot.tick(60)
    status = robot.controller.status()
    assert (status.source, status.fault) == ('hold', 'no_chunk')
    assert 'policy and decoder' in status.fault_reason
    assert robot.controller.at_rest
    held = robot.commands[-1].positions
    robot.tick(60)
    assert np.array_equal(robot.commands[-1].positions, held)
    assert robot.send(steady(robot, 0.3)) is None
    assert robot.tick().source == 'policy'
    assert robot.controller.status().fault == ''


def test_stale_joint_states_brake_within_the_limits_and_recover(drive):
    """A dead driver connection stops the robot although chunks keep coming."""
    robot = drive('widowx')
    robot.tick(2)
    path = follow(robot, lambda moment: swing(robot, moment), 'joint_position', 8.0)
    for moment in path:
        robot.alive = not 3.5 <= moment < 4.2
        if 4.1 < moment < 4.2:
            status = robot.controller.status()
            assert (status.source, status.fault) == ('hold', 'stale_joint_state')
    assert robot.commands[-1].source == 'policy'
    assert robot.commands[-1].positions == pytest.approx(swing(robot, robot.time), abs=2e-3)


def test_hold_mode_and_idle_mode(drive):
    """HOLD keeps commanding the pose, IDLE is silent."""
    robot = drive()
    robot.tick(2)
    robot.send(steady(robot, 0.3))
    robot.tick(20)
    robot.controller.set_mode(Mode.HOLD, robot.time)
    robot.tick(60)
    assert robot.controller.at_rest
    assert robot.send(steady(robot)).startswith('mode:')
    robot.controller.set_mode(Mode.IDLE, robot.time)
    assert robot.tick(5) is None


def test_deactivation_says_stay_here_last(drive):
    """The last word of an arm is its own pose, of a base zero."""
    arm, base = drive(), drive('mobile_base')
    for robot in (arm, base):
        robot.tick(2)
    base.send(np.full((8, 2), 0.2), 'base_twist')
    base.tick(20)
    assert base.commands[-1].twist[0] > 0.1
    last = arm.controller.deactivate(arm.time)
    assert np.array_equal(last.positions, arm.commands[-1].positions)
    assert not last.velocities.any()
    assert base.controller.deactivate(base.time).twist == (0.0, 0.0)
    assert arm.tick(3) is None


def test_a_held_arm_that_is_moved_by_hand_is_not_pulled_back(drive):
    """The command gives way, inside the limits: the arm is not driven back to the command."""
    robot = drive()
    robot.tick(30)
    moved = robot.embodiment.home.copy()
    moved[3] += 0.5
    for _ in range(150):
        robot.time += PERIOD
        robot.controller.on_joint_state(robot.time, moved)
        robot.commands.append(robot.controller.step(robot.time))
    assert robot.commands[-1].positions == pytest.approx(moved, abs=2e-3)
    assert robot.controller.status().gave_way == 1
    assert check_commands(robot.embodiment, robot.stream, PERIOD).ok


def test_clock_jump_holds_until_joint_states_carry_the_new_time(drive):
    """A simulator was reset, or NTP stepped: old stamps mean nothing any more."""
    robot = drive('widowx')
    robot.tick(2)
    robot.send(steady(robot, 0.5))
    robot.tick(30)
    robot.alive = False
    robot.time -= 0.8
    command = robot.tick()
    assert command.source == 'hold'
    assert robot.controller.status().fault == 'clock_jump'
    assert robot.controller.status().clock_jumps == 1
    robot.alive = True
    robot.tick(60)
    assert robot.send(steady(robot, 0.5)) is None
    assert robot.tick().source == 'policy'


def test_late_tick_never_takes_a_larger_step(drive):
    """After 0.3 s without a tick the robot goes on from where it is, at one period's worth."""
    robot = drive('widowx')
    robot.tick(2)
    robot.send(steady(robot, 1.0, 20))
    robot.tick(30)
    before = robot.commands[-1]
    robot.time += 0.3
    after = robot.tick()
    step = np.abs(after.positions - before.positions)
    assert (step <= robot.embodiment.limits.velocity * PERIOD).all()


# --- time alignment --------------------------------------------------------------------------


@pytest.mark.parametrize('name', ARMS)
@pytest.mark.parametrize('space', ['joint_position', 'eef_pose'])
def test_a_row_is_reached_when_it_is_due(drive, name, space):
    """Row i is due at stamp + (i + 1) · step; a feasible path is followed without lag."""
    robot = drive(name)
    robot.tick(2)
    names = len(robot.embodiment.action_names(space))
    chain = robot.embodiment.chain

    def want(moment):
        target = swing(robot, moment)
        target = target if space == 'joint_position' else vector_from_pose(chain.forward(target))
        return np.concatenate([target, [1.0]])[:names]

    worst = 0.0
    for moment in follow(robot, want, space):
        if moment > 2.0:
            here, there = chain.forward(robot.joints), chain.forward(swing(robot, moment))
            worst = max(worst, float(np.abs(here - there).max()))
    # In m, and in the entries of the rotation. The hand covers up to 3 mm in one period.
    assert worst < 1e-3


@pytest.mark.parametrize('space', ['joint_delta', 'eef_delta'])
def test_a_late_chunk_of_increments_ends_where_a_prompt_one_does(drive, space):
    """Increments count from the pose at the observation, so lateness does not push twice."""
    ends = []
    for lateness in (0, 12):
        robot = drive()
        robot.tick(10)
        rows = np.zeros((10, len(robot.embodiment.action_names(space))))
        rows[:, 1] = 0.01
        first = robot.chunk(rows, space)
        second = robot.chunk(rows, space, stamp=robot.time + 0.3)
        robot.controller.on_chunk(first, robot.time)
        robot.tick(18 + lateness)  # 300 ms, plus 200 ms of delay
        assert robot.controller.on_chunk(second, robot.time) is None
        robot.tick(90)
        ends.append(robot.commands[-1].positions)
    assert ends[0] == pytest.approx(ends[1], abs=1e-3)


def test_increments_add_up(drive):
    """Eight steps of 5 mm along y: 40 mm, and 8 x 0.02 rad about z."""
    robot = drive()
    robot.tick(2)
    start = robot.embodiment.chain.forward(robot.embodiment.home)
    rows = np.zeros((8, 7))
    rows[:, 1], rows[:, 5], rows[:, 6] = 0.005, 0.02, 0.25
    robot.send(rows, 'eef_delta')
    robot.tick(75)
    stop = robot.embodiment.chain.forward(robot.commands[-1].positions)
    assert stop[:3, 3] - start[:3, 3] == pytest.approx([0.0, 0.04, 0.0], abs=2e-4)
    turn = vector_from_rotation(stop[:3, :3] @ start[:3, :3].T)
    assert turn == pytest.approx([0.0, 0.0, 0.16], abs=2e-3)
    assert robot.commands[-1].gripper_opening == 0.25


def test_rows_already_past_are_not_executed(drive):
    """0.45 s late, the robot heads for row 4 and never visits rows 0 to 2."""
    robot = drive()
    robot.tick(60)
    rows = steady(robot)
    rows[:3, 0] -= 1.0
    robot.send(rows, age=0.45)
    command = robot.tick()
    assert command.chunk_step == 4
    robot.tick(60)
    assert robot.stream[:, 0].min() > -0.05


def test_base_rows_hold_until_due_and_end_in_zero(drive):
    """Row 0 until 0.5 s, row 1 until 1 s, then stop; gentle by the limits."""
    robot = drive('mobile_base')
    robot.tick(2)
    robot.send([[0.1, 0.0], [0.2, 0.7]], 'base_twist', step=0.5)
    robot.tick(29)
    assert robot.commands[-1].twist == pytest.approx((0.1, 0.0), abs=1e-6)
    robot.tick(30)
    assert robot.commands[-1].twist == pytest.approx((0.2, 0.7), abs=0.05)
    robot.tick(60)
    assert robot.commands[-1].twist == (0.0, 0.0)


def test_gripper_is_limited_in_rate(drive):
    """The AIRBOT finger moves 0.1 m/s over 0.036 m: 2.78 openings a second."""
    robot = drive('airbot')
    robot.tick(2)
    rows = np.column_stack([steady(robot), np.zeros(8)])
    robot.send(rows)
    robot.tick(6)
    assert robot.commands[-1].gripper_opening == pytest.approx(1.0 - 6 * PERIOD / 0.36, abs=1e-6)
    robot.tick(30)
    assert robot.commands[-1].gripper_opening == 0.0


# --- seams -----------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ARMS)
def test_two_disagreeing_chunks_are_joined_without_a_jump(drive, name):
    """Chunks that contradict each other five times a second, 0.4 rad apart."""
    robot = drive(name)
    robot.tick(2)
    for count in range(15):
        robot.send(steady(robot, 0.2 if count % 2 else -0.2))
        robot.tick(12)
    limits = robot.embodiment.limits
    velocity = np.diff(robot.stream, axis=0) / PERIOD
    assert (np.abs(velocity) <= limits.velocity).all()
    assert (np.abs(np.diff(velocity, axis=0)) / PERIOD <= limits.acceleration * 1.000001).all()


def test_agreeing_chunks_leave_no_seam(drive):
    """Replanning the same path ten times a second is as smooth as planning it once."""
    robot = drive('widowx')
    robot.tick(2)
    want = lambda moment: swing(robot, moment)  # noqa: E731
    for _ in follow(robot, want, 'joint_position', 5.0):
        pass
    settled = robot.stream[90:, 0]
    acceleration = np.diff(settled, 2) / PERIOD**2
    # The swing's own largest acceleration is 0.2 (2 pi 0.25)^2 = 0.49 rad/s^2; the monotone
    # curve through the rows turns a little more sharply at the ends of the swing.
    assert np.abs(acceleration).max() < 0.9


# --- what is dropped -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('reason', 'change'),
    [
        ('other_robot', {'robot': 'panda'}),
        ('not_finite', {'data': np.full((3, 7), np.nan)}),
        ('malformed', {'data': np.zeros((0, 7))}),
        ('malformed', {'step_duration_s': 0.0}),
        ('malformed', {'action_space': 'base_twist'}),
        ('wrong_names', {'names': tuple('abcdefg')}),
        ('wrong_names', {'names': ('a', 'b'), 'data': np.zeros((3, 2))}),
        ('too_long', {'step_duration_s': 60.0}),
        ('exploding', {'data': np.cumsum(np.full((8, 7), 5.0), axis=0)}),
        ('exploding', {'data': np.full((8, 7), 1e6)}),
        ('bad_stamp', {'stamp': -1.0}),
        ('bad_stamp', {'stamp': math.nan}),
        ('from_future', {'stamp': 100.0}),
        ('too_late', {'stamp': 0.1}),
        ('out_of_order', {'stamp': 1.01}),
    ],
)
def test_bad_chunks_are_dropped_and_counted(drive, reason, change):
    """Each drop is told and counted by its reason; what speaks of a broken sender stops."""
    robot = drive()
    robot.tick(6)
    assert robot.send(steady(robot)) is None
    before = robot.tick().chunk_sequence
    answer = robot.controller.on_chunk(robot.chunk(steady(robot), **change), robot.time)
    assert answer.startswith(f'{reason}: ')
    status = robot.controller.status()
    assert status.dropped == {reason: 1}
    assert (status.chunks_received, status.chunks_dropped) == (2, 1)
    command = robot.tick()
    if reason in BROKEN:
        assert (command.source, robot.controller.status().fault) == ('hold', 'bad_chunk')
        assert robot.send(steady(robot)) is None
        assert robot.tick().source == 'policy'
    else:
        assert command.chunk_sequence == before


def test_increments_older_than_the_history_are_dropped(drive):
    """Without the pose at the stamp nobody knows where increments start."""
    robot = drive(history_s=0.5)
    robot.tick(120)
    rows = np.zeros((8, 8))
    answer = robot.send(rows, 'joint_delta', age=0.7, step=0.2)
    assert answer.startswith('before_history: ')


def test_bad_joint_states_are_ignored(drive):
    """NaN and wrong lengths neither raise nor reach a command."""
    robot = drive()
    robot.tick(2)
    controller = robot.controller
    assert 'NaN' in controller.on_joint_state(robot.time, np.full(7, np.nan))
    assert 'angles' in controller.on_joint_state(robot.time, np.zeros(3))
    assert np.isfinite(robot.tick().positions).all()


def test_new_instruction_drops_the_old_plan(drive):
    """The robot stops following what nobody wants any more, and refuses more of it."""
    robot = drive()
    robot.controller.set_instruction('reach', robot.time)
    robot.tick(2)
    assert robot.send(steady(robot, 0.4), instruction='reach') is None
    assert robot.tick(12).source == 'policy'
    robot.controller.set_instruction('lift', robot.time)
    assert robot.tick().source == 'hold'
    assert robot.send(steady(robot), instruction='reach').startswith('old_instruction: ')
    assert robot.send(steady(robot), instruction='lift') is None
    assert robot.tick().source == 'policy'


# --- reports ---------------------------------------------------------------------------------


def test_latencies_and_ages_are_those_of_the_chunk_in_use(drive):
    """Observation 80 ms old on arrival; first used one period later."""
    robot = drive()
    robot.tick(12)
    now = robot.time
    times = {'plan_start': now - 0.07, 'plan_stop': now - 0.02, 'decode_stop': now - 0.01}
    robot.send(steady(robot), age=0.08, **times)
    robot.tick()
    status = robot.controller.status()
    assert status.chain_latency == pytest.approx(0.08 + PERIOD)
    assert status.plan_latency == pytest.approx(0.05)
    assert status.decode_latency == pytest.approx(0.01)
    robot.tick(6)
    status = robot.controller.status()
    assert status.chain_latency == pytest.approx(0.08 + PERIOD)
    assert status.observation_age == pytest.approx(0.08 + 7 * PERIOD)
    assert status.chunk_age == pytest.approx(7 * PERIOD)
    assert status.control_rate == pytest.approx(60.0)


def test_a_pose_out_of_reach_is_reported_and_approached(drive):
    """Two metres up: the arm stretches towards it, says so, and does not thrash."""
    robot = drive()
    robot.tick(2)
    chain = robot.embodiment.chain
    start = chain.forward(robot.embodiment.home)
    target = pose(rotation_from_vector(np.zeros(3)) @ start[:3, :3], [0.5, 0.0, 2.0])
    for _ in range(20):
        robot.send(np.tile(vector_from_pose(target), (8, 1)), 'eef_pose')
        robot.tick(6)
    assert robot.controller.status().fault == 'unreachable'
    assert chain.forward(robot.commands[-1].positions)[2, 3] > start[2, 3] + 0.1
    assert np.abs(np.diff(robot.stream[-30:], axis=0)).max() / PERIOD < 0.05


def test_a_tick_in_cartesian_space_is_quick(drive):
    """Median far below the period; the bound leaves room for a busy test machine."""
    robot = drive()
    robot.tick(2)
    spent = []
    want = lambda moment: np.append(  # noqa: E731
        vector_from_pose(robot.embodiment.chain.forward(swing(robot, moment))), 1.0
    )
    for count in range(180):
        if count % 6 == 0:
            robot.send([want(robot.time + 0.1 * row) for row in range(1, 9)], 'eef_pose')
        robot.time += PERIOD
        robot.controller.on_joint_state(robot.time, robot.joints)
        begin = time.perf_counter()
        robot.joints = robot.controller.step(robot.time).positions
        spent.append(time.perf_counter() - begin)
    assert np.median(spent) < 3e-3
