"""Who is in control: policy, person, hold, emergency stop; and what ends a motion."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.teleop import JointAsk
from univla_control.teleop import TwistAsk
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.fault import Fault

from univla_control import Mode
from univla_control import check_commands

PERIOD = 1.0 / 60.0
ARMS = [name for name in robot_names() if name != 'mobile_base']


def going(drive, name='widowx', **config):
    """A robot that its policy moves."""
    robot = drive(name, **config)
    robot.tick(3)
    again(robot)
    robot.tick(12)
    assert robot.commands[-1].source == 'policy'
    return robot


def again(robot):
    """One more chunk that keeps the robot moving."""
    if robot.embodiment.kind == 'base':
        return robot.send(np.tile([0.2, 0.5], (8, 1)), 'base_twist')
    rows = np.tile(robot.joints, (8, 1))
    rows[:, 0] += np.linspace(0.05, 0.4, 8)
    return robot.send(rows)


def wish(robot, share=0.5):
    """What a person asks for through `teleop/twist`."""
    if robot.embodiment.kind == 'base':
        return TwistAsk(share * robot.embodiment.limits.velocity)
    return TwistAsk(share * np.array([0.1, 0.0, 0.1, 0.0, 0.2, 0.0]))


def dexterous(name):
    """Joint angles (n,) from which the hand can turn every way; WidowX's home is singular."""
    home = load_embodiment(name).home
    side = -1.0 if name == 'airbot' else 1.0  # away from the limits
    return home + side * np.array([0.2, 0.1, 0.1, 0.6, 0.4, 0.2, 0.1])[: len(home)]


def steer(robot, ticks, ask=None, source='twist'):
    """A person who asks at 30 Hz for so many ticks."""
    for count in range(ticks):
        if count % 2 == 0:
            robot.controller.teleop.on_twist(robot.time, ask or wish(robot), source)
        robot.tick()


def assert_smooth(robot):
    """No step in position or velocity beyond the limits, jerk included."""
    report = check_commands(robot.embodiment, robot.stream, PERIOD)
    assert report.ok, str(report)
    order = 3 if robot.embodiment.kind == 'arm' else 2
    jerk = np.abs(np.diff(robot.stream, order, axis=0)) / PERIOD**order
    assert (jerk <= robot.embodiment.limits.jerk * (1.0 + 1e-5)).all()


# --- the chain --------------------------------------------------------------------------------


@pytest.mark.parametrize('node', ['policy', 'decoder'])
def test_a_silent_node_stops_the_robot_within_a_tenth_of_a_second(drive, node):
    """80 ms of silence and one tick, although the chunk at hand would last longer."""
    robot = going(drive)
    begin, robot.chain_alive = robot.time, False
    other = {'policy': 'decoder', 'decoder': 'policy'}[node]
    while robot.commands[-1].source == 'policy':
        robot.controller.watch.heartbeats.hear(other, robot.time, Fault())
        robot.tick()
    assert robot.time - begin <= 0.1
    assert robot.controller.status().fault == f'{node}_silent'
    robot.chain_alive = True
    robot.tick()
    assert robot.commands[-1].source == 'policy', 'it goes on with the chunk when they are back'


def test_what_a_node_says_is_wrong_is_the_fault(drive):
    """The camera is named by whoever looks through it."""
    robot = going(drive)
    robot.chain_alive = False
    for fault in (Fault('stale_camera', 'camera primary is silent'), Fault()):
        robot.controller.watch.heartbeats.hear('policy', robot.time, fault)
        robot.controller.watch.heartbeats.hear('decoder', robot.time, Fault())
        source = 'hold' if fault.name else 'policy'
        assert robot.tick().source == source
        status = robot.controller.status()
        assert (status.fault, status.fault_reason) == (fault.name, fault.reason)


def test_nobody_is_trusted_before_the_first_heartbeat(drive):
    """Chunks of unknown origin do not move the robot, unless heartbeats are switched off."""
    for timeout, source in ((0.08, 'hold'), (0.0, 'policy')):
        robot = drive('widowx', heartbeat_timeout_s=timeout)
        robot.chain_alive = False
        robot.tick(3)
        again(robot)
        assert robot.tick().source == source


def test_a_late_tick_is_not_held_against_the_others(drive):
    """The machine stood still for 60 ms: nobody could have been heard in that time."""
    robot = going(drive)
    robot.chain_alive = robot.alive = False
    robot.tick(2)
    robot.time += 0.06
    assert robot.tick().source == 'policy'
    robot.tick(4)
    assert robot.commands[-1].source == 'hold'


def test_a_clock_that_leaps_forward_voids_all_stamps(drive):
    """Half a second and more is no late tick; it holds until joint states carry the new time."""
    robot = going(drive)
    robot.alive = False
    robot.time += 5.0
    assert robot.tick().source == 'hold'
    assert robot.controller.status().fault == 'clock_jump'
    robot.alive = True
    robot.tick(3)
    assert again(robot) is None
    assert robot.tick().source == 'policy'
    assert_smooth(robot)


def test_a_clock_jump_that_the_joint_states_tell_first_is_named(drive):
    """The state that shows the new time also ends the fault; one tick tells it all the same."""
    robot = going(drive)
    robot.time -= 2.0
    robot.controller.watch.last_time = robot.time
    assert robot.tick().source == 'hold'
    assert robot.controller.status().fault == 'clock_jump'
    robot.tick()
    assert robot.controller.status().fault == ''


def test_a_bad_joint_state_stops_at_once_and_a_good_one_goes_on(drive):
    """What the driver says about the robot is not believed any more."""
    robot = going(drive)
    robot.alive = False
    robot.controller.watch.on_bad_joint_state('joint elbow jumped by 2 rad')
    assert robot.tick().source == 'hold'
    assert robot.controller.status().fault == 'bad_joint_state'
    robot.alive = True
    assert robot.tick().source == 'policy'


# --- teleoperation ----------------------------------------------------------------------------


@pytest.mark.parametrize('name', robot_names())
def test_a_person_takes_over_and_hands_back_without_a_jump(drive, name):
    """In mode POLICY a living input comes first, as in a multiplexer; then the policy goes on."""
    robot = going(drive, name)
    steer(robot, 40)
    status = robot.controller.status()
    assert (status.mode, status.source, status.teleop_input) == (Mode.POLICY, 'teleop', 'twist')
    again(robot)
    robot.tick(8)
    assert robot.commands[-1].source == 'policy'
    robot.tick(60)
    assert_smooth(robot)


def test_letting_go_holds_until_asked_if_the_lab_wants_so(drive):
    """`hand_back: hold`: after a correction the robot waits for a decision."""
    robot = going(drive, hand_back='hold')
    steer(robot, 10)
    again(robot)
    robot.tick(10)
    assert (robot.controller.mode, robot.commands[-1].source) == (Mode.HOLD, 'hold')


@pytest.mark.parametrize('name', robot_names())
def test_letting_go_in_mode_teleop_stops_within_a_tenth_of_a_second(drive, name):
    """The timeout of an input and one tick; a base stands still within half a second."""
    robot = drive(name)
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    steer(robot, 61)
    assert robot.commands[-1].source == 'teleop'
    last_word = robot.time - PERIOD
    while robot.commands[-1].source == 'teleop':
        robot.tick()
    assert robot.time - last_word <= 0.1 + 2.0 * PERIOD
    assert robot.controller.status().fault == 'no_teleop'
    while not robot.controller.at_rest:
        robot.tick()
    if robot.embodiment.kind == 'base':
        assert robot.time - last_word <= 0.5
    assert_smooth(robot)


def test_a_released_button_needs_no_timeout(drive):
    """A dead-man button says that it is let go; the next command holds."""
    robot = drive('widowx')
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    steer(robot, 20, source='joy')
    robot.controller.teleop.release('joy')
    assert robot.tick().source == 'hold'


@pytest.mark.parametrize('name', ARMS)
@pytest.mark.parametrize('axis', range(6))
@pytest.mark.parametrize('tool', [False, True])
def test_a_twist_moves_the_hand_that_way(drive, name, axis, tool):
    """2 cm/s or 0.1 rad/s for a second, along the axes of the base or of the tool."""
    robot = drive(name, start=dexterous(name))
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    twist = np.zeros(6)
    twist[axis] = 0.02 if axis < 3 else 0.1
    chain = robot.embodiment.chain
    start = chain.forward(robot.joints)
    steer(robot, 60, TwistAsk(twist, tool))
    stop = chain.forward(robot.joints)
    frame = start[:3, :3] if tool else np.eye(3)
    moved = frame.T @ (stop[:3, 3] - start[:3, 3])
    turned = frame.T @ (stop[:3, :3] @ start[:3, :3].T) @ frame
    turn = 0.5 * np.array(
        [turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]]
    )
    reached = np.concatenate([moved, turn])
    # Setting out and catching up take their share of the second.
    assert 0.8 * twist[axis] < reached[axis] < 1.05 * twist[axis]
    others = np.delete(reached, axis)
    assert np.abs(others[: 2 if axis < 3 else 3]).max() < 2e-3
    assert np.abs(others[2 if axis < 3 else 3 :]).max() < 1e-2


def test_a_leader_arm_elsewhere_is_approached_slowly(drive):
    """0.8 rad away: at most the catch-up share of the velocity limit, then it leads closely."""
    robot = drive('widowx')
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    leader = robot.embodiment.home.copy()
    leader[0] += 0.8

    def lead(ticks):
        for _ in range(ticks):
            ask = JointAsk(np.array([robot.time]), leader[None])
            assert robot.controller.teleop.on_joints(robot.time, ask) is None
            robot.tick()

    lead(150)
    speed = np.abs(np.diff(robot.stream, axis=0)).max() / PERIOD
    share = robot.config.catch_up_share
    assert speed <= 1.25 * share * robot.embodiment.limits.velocity[0]
    assert robot.joints == pytest.approx(leader, abs=5e-3)
    for count in range(60):
        leader[0] = robot.embodiment.home[0] + 0.8 - 0.3 * np.sin(count / 30.0)
        lead(1)
    assert robot.joints[0] == pytest.approx(leader[0], abs=0.08)
    assert_smooth(robot)


def test_only_held_input_moves_and_the_first_of_the_list_counts(drive):
    """A gamepad comes before a keyboard; an input that is not listed is refused."""
    robot = drive('widowx', teleop_inputs=['joy', 'twist'])
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    teleop = robot.controller.teleop
    for source in ('twist', 'joy'):
        assert teleop.on_twist(robot.time, wish(robot), source) is None
    robot.tick()
    assert robot.controller.status().teleop_input == 'joy'
    assert 'not listened to' in teleop.on_code(robot.time)


@pytest.mark.parametrize(
    'twist', [np.full(6, np.nan), np.zeros(3), np.array([np.inf, 0, 0, 0, 0, 0])]
)
def test_a_bad_twist_counts_as_letting_go(drive, twist):
    """Nobody knows what was meant, so the robot holds; the reason is told."""
    robot = drive('widowx')
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    steer(robot, 10)
    assert robot.controller.teleop.on_twist(robot.time, TwistAsk(twist)) is not None
    assert robot.tick().source == 'hold'
    assert robot.controller.teleop.dropped == 1


def test_a_clock_set_back_ends_every_hold_on_an_input(drive):
    """Else the last wish would live until the clock has caught up. Found by hostile sequences."""
    robot = drive('widowx')
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    steer(robot, 20)
    robot.time -= 5.0
    robot.tick(6)
    assert robot.commands[-1].source == 'hold'
    assert robot.controller.status().fault == 'no_teleop'


def test_a_person_bridges_a_fault_of_the_policy(drive):
    """Policy gone: the person moves on, the fault stays named; without a person it holds."""
    robot = going(drive)
    robot.chain_alive = False
    steer(robot, 30)
    status = robot.controller.status()
    assert (status.source, status.fault) == ('teleop', 'policy_silent')
    robot.tick(12)
    assert robot.commands[-1].source == 'hold'


def test_a_latent_code_moves_while_it_is_held(drive):
    """Its chunk comes by way of policy and decoder; the person's hold on it is the switch."""
    robot = drive('widowx')
    robot.tick(3)
    robot.controller.set_mode(Mode.TELEOP, robot.time)
    rows = np.tile(robot.embodiment.home, (8, 1))
    rows[:, 0] += 0.2
    assert robot.send(rows, source='teleop').startswith('mode:')
    teleop = robot.controller.teleop
    for count in range(24):
        if count % 2 == 0:
            teleop.on_code(robot.time)
        if count % 6 == 0:
            assert robot.send(rows, source='teleop') is None
        robot.tick()
    assert robot.commands[-1].source == 'teleop'
    assert robot.send(rows).startswith('mode:'), 'the policy has no say here'
    robot.tick(9)
    assert robot.commands[-1].source == 'hold'


# --- emergency stop ---------------------------------------------------------------------------


@pytest.mark.parametrize('name', robot_names())
def test_the_emergency_stop_is_latched_until_reset(drive, name):
    """Nothing else ends it, not even a new activation; the reset leads to HOLD."""
    robot = going(drive, name)
    controller = robot.controller
    controller.set_mode(Mode.ESTOP, robot.time, 'hand in the way')
    assert robot.tick().source == 'hold'
    status = controller.status()
    assert (status.fault, status.estop_reason) == ('estop', 'hand in the way')
    assert 'reset_estop' in controller.set_mode(Mode.POLICY, robot.time)
    steer(robot, 30)
    assert robot.commands[-1].source == 'hold'
    assert controller.at_rest or robot.embodiment.kind == 'arm'
    controller.deactivate(robot.time)
    controller.activate(robot.time)
    assert controller.mode is Mode.ESTOP
    assert controller.reset_estop() is None
    assert controller.mode is Mode.HOLD
    assert controller.set_mode(Mode.POLICY, robot.time) is None
    assert controller.reset_estop() is not None, 'there is nothing to reset'


# --- hold -------------------------------------------------------------------------------------


def test_a_hold_passes_to_the_measured_joints(drive):
    """An arm that something blocks does not go on pushing: it rests where it is."""
    robot = drive('widowx')
    robot.tick(3)
    robot.controller.set_mode(Mode.HOLD, robot.time)
    blocked = robot.embodiment.home.copy()
    blocked[1] += 0.1
    for _ in range(120):
        robot.time += PERIOD
        robot.controller.on_joint_state(robot.time, blocked)
        robot.commands.append(robot.controller.step(robot.time))
    assert robot.commands[-1].positions == pytest.approx(blocked, abs=2e-3)
    assert robot.controller.at_rest
    assert robot.controller.status().gave_way == 1
    assert_smooth(robot)


def test_joints_that_jump_stop_the_robot_until_a_person_has_looked(drive):
    """Moved behind the driver's back, or mixed up? Nothing is built on it without a decision."""
    robot = going(drive)
    robot.controller.on_jump(robot.time, robot.joints + 1e-3)
    assert robot.tick().source == 'policy', 'only the clock jumped'
    elsewhere = robot.embodiment.home + 0.4
    robot.controller.on_jump(robot.time, elsewhere)
    robot.alive = False
    for _ in range(90):
        robot.time += PERIOD
        robot.controller.on_joint_state(robot.time, elsewhere)
        robot.commands.append(robot.controller.step(robot.time))
    status = robot.controller.status()
    assert (status.mode, status.source) == (Mode.ESTOP, 'hold')
    assert 'jumped by' in status.estop_reason
    assert np.abs(robot.commands[-1].positions - elsewhere).max() > 0.2, 'it is not followed'
    assert_smooth(robot)
    assert robot.controller.reset_estop() is None
    robot.controller.on_joint_state(robot.time + 0.001, elsewhere)
    taken_up = robot.controller.step(robot.time + PERIOD)
    assert np.array_equal(taken_up.positions, elsewhere)
