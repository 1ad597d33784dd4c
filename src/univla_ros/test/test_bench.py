"""The bench: its arithmetic worked out by hand, and a live graph that is really broken."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_ros.bench import spoil
from univla_ros.bench import timing
from univla_ros.bench.clean_run import CleanRun
from univla_ros.bench.judgement import Trial
from univla_ros.bench.judgement import judge
from univla_ros.bench.judgement import relapse
from univla_ros.bench.judgement import reported
from univla_ros.bench.live_graph import GraphOptions
from univla_ros.bench.live_graph import own_domain
from univla_ros.bench.memory import growth
from univla_ros.bench.memory import resident_bytes
from univla_ros.bench.repeater import Repeater
from univla_ros.bench.run_safety import document
from univla_ros.bench.safety import FAULTS
from univla_ros.bench.safety import faults_named
from univla_ros.bench.safety_report import draw
from univla_ros.bench.safety_report import markdown
from univla_ros.bench.soak import Record
from univla_ros.bench.soak_report import Stop
from univla_ros.bench.soak_report import soak_rows
from univla_ros.bench.timing import Said
from univla_ros.bench.verdict import broken_row
from univla_ros.bench.verdict import clean_row
from univla_ros.bench.verdict import fault_row
from univla_ros.bench.watch import wait_until
from univla_ros.command_recorder import CommandRecorder
from univla_ros.conversions import tensor_from_msg
from univla_ros.conversions import tensor_to_msg

from univla_msgs.msg import ActionChunk
from univla_msgs.msg import LatentAction

PERIOD = 1.0 / 60.0
NAN = math.nan


def record(times, values):
    return CommandRecorder(list(times), [np.array(value, float) for value in values])


# --- times ----------------------------------------------------------------------------------


def test_a_missing_message_was_due_one_period_after_the_last():
    """Pictures at 0, 0.1, 0.2, then none: the fault began at 0.3."""
    assert timing.next_due([0.0, 0.1, 0.2]) == pytest.approx(0.3)
    assert math.isnan(timing.next_due([0.0]))


def test_a_new_source_counts_from_its_command():
    """State before command, command before state, and a source that says nothing any more."""
    said = Said(time=1.0, source='hold')
    later = record([0.98, 1.002, 1.019], [[0.0]] * 3)
    assert timing.confirmed(said, later, PERIOD) == 1.002
    earlier = record([0.98, 0.9995, 1.016], [[0.0]] * 3)
    assert timing.confirmed(said, earlier, PERIOD) == 1.0
    assert timing.confirmed(said, record([0.98], [[0.0]]), PERIOD) == 1.0


def test_first_rest_passes_and_final_rest_lasts():
    """Slow at 2 s, fast again at 3 s, at rest from 5 s on."""
    times, speeds = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.array([0.5, 0.0, 0.4, 0.2, 0.01, 0.0])
    assert timing.first_rest(times, speeds, 1.5, 0.02) == 2.0
    assert timing.final_rest(times, speeds, 1.5, 0.02) == 5.0
    assert math.isnan(timing.final_rest(times[:4], speeds[:4], 0.0, 0.02))


def test_speed_of_commands_is_a_share_of_the_limit():
    """One joint moves by a tenth of what its limit allows in a period; a base says its speed."""
    arm = load_embodiment('widowx')
    step = np.zeros(arm.axis_count)
    step[1] = 0.1 * arm.limits.velocity[1] / arm.control_rate_hz
    commands = record([0.0, PERIOD], [arm.home, arm.home + step])
    assert timing.speeds_of(arm, commands) == pytest.approx([0.0, 0.1])
    base = load_embodiment('mobile_base')
    twist = record([0.0], [0.5 * base.limits.velocity])
    assert timing.speeds_of(base, twist) == pytest.approx([0.5])


def test_speed_of_a_measured_arm_is_taken_over_a_while():
    """Half its speed, told every 5 ms with a jitter of 2 ms."""
    arm = load_embodiment('widowx')
    times = np.arange(40) * 0.005
    values = [arm.home + 0.5 * arm.limits.velocity * t for t in times]
    jitter = np.where(np.arange(40) % 2, 0.001, -0.001)
    speeds = timing.measured_speeds(arm, record(times + jitter, values))
    assert max(speeds.values) == pytest.approx(0.5, rel=0.12)
    assert len(speeds.values) >= 6


def test_commands_are_judged_piece_by_piece():
    """A new stream after a silence starts elsewhere: no speed follows from the difference."""
    arm = load_embodiment('widowx')
    moved = arm.home + 0.1
    times = [0.0, PERIOD, 2.0 * PERIOD, 1.0, 1.0 + PERIOD, 1.0 + 2.0 * PERIOD]
    commands = record(times, [arm.home] * 3 + [moved] * 3)
    assert [len(piece.times) for piece in timing.streams(commands, PERIOD)] == [3, 3]
    assert timing.limit_use(arm, commands)[0] <= 1.0
    jump = record(np.arange(6) * PERIOD, [arm.home] * 3 + [moved] * 3)
    assert timing.limit_use(arm, jump)[0] > 5.0
    lost = record(np.arange(3) * PERIOD, [arm.home, arm.home * NAN, arm.home])
    assert timing.limit_use(arm, lost)[0] == math.inf


def test_share_of_time_counts_until_the_next_state():
    """Policy 0..6, hold 6..7, policy 7..10: a tenth of the time in hold."""
    states = [
        Said(time=0.0, source='policy'),
        Said(time=6.0, source='hold'),
        Said(time=7.0, source='policy'),
    ]
    assert timing.share_of_time(states, 10.0, 'hold') == pytest.approx(0.1)
    assert timing.share_of_time([], 10.0, 'hold') == 0.0


def test_a_repeater_tells_when_its_next_word_was_due():
    words = []
    repeater = Repeater(lambda: words.append(time.time()), 100.0)
    time.sleep(0.2)
    due = repeater.stop()
    assert len(words) >= 5
    assert due == pytest.approx(words[-1] + 0.01, abs=0.005)
    said = len(words)
    time.sleep(0.05)
    assert len(words) == said


# --- verdicts -------------------------------------------------------------------------------


def trial(**changes):
    """An arm that was safe 60 ms after the fault, with nothing wrong."""
    fields = {
        'at': 0.0,
        'began': 0.02,
        'safe': 0.08,
        'time_to_safe': 0.06,
        'from_injection': 0.08,
        'reaction': 0.06,
        'detected': 'bad_chunk',
        'reason': 'NaN',
        'limit_use': 0.8,
        'limit': 'velocity waist',
        'measured_use': 0.7,
        'recovery': 0.3,
    }
    return Trial(**{**fields, **changes})


def test_a_trial_is_judged_by_time_name_and_limits():
    assert judge(trial(), ('bad_chunk',), 0.1) == ()
    assert judge(trial(detected='source hold'), (), 0.1) == ()
    late = judge(trial(time_to_safe=0.12), ('bad_chunk',), 0.1)
    assert late == ('safe after 120 ms, limit 100 ms',)
    assert judge(trial(time_to_safe=NAN), ('bad_chunk',), 0.1) == ('never safe',)
    assert 'reported bad_chunk' in judge(trial(), ('bad_latent',), 0.1)[0]
    assert 'moved at 140 %' in judge(trial(measured_use=1.4), ('bad_chunk',), 0.1)[0]
    assert judge(trial(limit_use=1.2), ('bad_chunk',), 0.1) == (
        '120 % of the limit on velocity waist',
    )


def test_the_expected_name_counts_wherever_it_comes():
    """An earlier fault that did not stop the policy is not the answer."""
    states = [
        Said(time=1.0, source='policy', fault='unreachable'),
        Said(time=1.1, source='hold', fault='no_chunk'),
        Said(time=1.2, source='hold', fault='policy_silent'),
    ]
    assert reported(states, ('policy_silent',)).time == 1.2
    assert reported(states, ('estop',)).fault == 'no_chunk'
    assert reported(states[:1], ('estop',)).fault == ''


def test_a_policy_that_comes_back_too_early_is_told():
    states = [Said(time=1.0, source='hold'), Said(time=1.3, source='policy')]
    assert 'back 300 ms later' in relapse(states, 1.0, healed=2.0)[0]
    assert relapse(states, 1.0, healed=1.2) == []


def test_a_command_that_was_not_heard_is_no_jerk():
    """From rest with a jerk of 50 m/s³: a = 1, 2, 3, 4 ticks of it; the second is not heard."""
    base = load_embodiment('mobile_base')
    tick = 50.0 * 0.9 * PERIOD**2  # gain in speed for each tick of jerk [m/s]
    speeds = np.cumsum(np.array([0.0, 0.0, 1.0, 2.0, 3.0, 3.0]) * tick)
    times = PERIOD * np.arange(len(speeds))
    values = [np.array([speed, 0.0]) for speed in speeds]
    whole = CommandRecorder(times.tolist(), values)
    assert timing.limit_use(base, whole)[0] == pytest.approx(1.0, abs=0.05)
    del values[3]
    lossy = CommandRecorder(np.delete(times, 3).tolist(), values)
    assert timing.limit_use(base, lossy)[0] <= 1.05


def test_a_stop_for_another_reason_just_before_is_not_the_one_to_time():
    """Holding at 1.00, policy at 1.02, holding from 1.07 on; policy again at 2.0, too late."""
    sources = {1.0: 'hold', 1.02: 'policy', 1.07: 'hold', 2.0: 'policy', 2.1: 'hold'}
    states = [Said(time=at, source=source) for at, source in sources.items()]

    def holds(said):
        return said.source == 'hold'

    assert timing.settled_said(states, 0.9, deadline=1.1, condition=holds).time == 1.07
    assert timing.settled_said(states, 0.9, deadline=1.01, condition=holds).time == 1.0
    assert timing.settled_said(states[:2], 0.9, deadline=1.1, condition=holds).time == 1.0
    assert timing.settled_said([], 0.9, deadline=1.1, condition=holds) is None


def test_a_row_holds_median_and_worst_of_its_trials():
    trials = [trial(time_to_safe=0.04), trial(time_to_safe=0.05), trial(time_to_safe=0.09)]
    row = fault_row('widowx', 'nan_chunk', trials, 0.1, discarded=2)
    assert row['ok']
    assert (row['time_to_safe_ms'], row['time_to_safe_max_ms']) == (50.0, 90.0)
    assert row['repeats'] == 3
    assert row['discarded_trials'] == 2
    assert row['detected'] == 'bad_chunk'


def test_a_robot_that_was_never_safe_has_no_time():
    """Neither median nor worst may look like a number, and JSON holds no NaN."""
    never = trial(time_to_safe=NAN, from_injection=NAN, reaction=NAN, problems=('never safe',))
    row = fault_row('widowx', 'nan_chunk', [trial(), never], 0.1)
    assert not row['ok']
    assert row['time_to_safe_max_ms'] is None
    text = json.dumps(document('bench safety', [row]), allow_nan=False)
    assert json.loads(text)['ok'] is False


def clean(**changes):
    """Twenty seconds of which one percent was held."""
    fields = {
        'begin': 0.0,
        'end': 20.0,
        'held': 0.01,
        'faults': (),
        'limit_use': 0.9,
        'limit': '',
        'load': 0.5,
    }
    return clean_row('widowx', CleanRun(**{**fields, **changes}), 0.0)


def test_a_clean_run_may_hold_a_twentieth_of_its_time():
    assert clean(held=0.05)['ok']
    assert not clean(limit_use=1.1)['ok']
    row = clean(held=0.06, faults=('stale_camera',))
    assert not row['ok']
    assert 'held 6.0 % of the time' in row['problems'][0]
    assert 'stale_camera' in row['problems'][0]


# --- reports --------------------------------------------------------------------------------


def rows():
    return [
        clean(),
        fault_row('widowx', 'nan_chunk', [trial()], 0.1),
        fault_row('mobile_base', 'nan_chunk', [trial(time_to_safe=0.31)], 0.5),
        broken_row('mobile_base', 'estop', 'nobody offers estop'),
    ]


def test_markdown_has_one_line_a_fault_and_one_column_a_robot():
    lines = markdown(rows()).splitlines()
    assert lines[0] == '| fault | reported as | widowx | mobile_base |'
    assert lines[2] == '| clean_run | – | 1.0 % held | – |'
    assert lines[3] == '| nan_chunk | bad_chunk | 60 / 60 | 310 / 310 |'
    assert lines[4] == '| estop | – | – | – ✗ |'


def test_the_picture_is_drawn(tmp_path):
    draw(tmp_path / 'safety.png', rows())
    assert (tmp_path / 'safety.png').stat().st_size > 5_000
    draw(tmp_path / 'empty.png', rows()[:1])


# --- the matrix -----------------------------------------------------------------------------


def test_the_matrix_holds_what_was_promised():
    """Every fault that docs/safety.md names, once."""
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    promised = """nan_latent nan_chunk exploding_chunk out_of_range_codes camera_stall
        camera_freeze camera_black joint_stall joint_order policy_hang policy_kill decoder_kill
        controller_kill clock_jump_back clock_jump_forward instruction_change estop
        deadman_release teleop_takeover hand_back second_publisher network_silence"""
    assert set(promised.split()) <= set(names)


@pytest.mark.parametrize('robot', robot_names())
def test_arms_have_a_tenth_of_a_second_and_bases_half_of_one(robot):
    embodiment = load_embodiment(robot)
    limits = {fault.limit_s(embodiment) for fault in FAULTS if fault.name != 'controller_kill'}
    assert limits == ({0.1} if embodiment.kind == 'arm' else {0.5})


def test_faults_are_chosen_by_name():
    assert faults_named('all') == FAULTS
    assert [f.name for f in faults_named('estop, nan_chunk')] == ['nan_chunk', 'estop']
    with pytest.raises(ConfigError, match=r'unknown fault nan_chink; known are nan_latent'):
        faults_named('nan_chink')


def test_spoilt_messages_are_wrong_in_one_way_only():
    """A latent of NaN keeps its codes; wild codes keep the latent; a chunk keeps its size."""
    latent = LatentAction(codes=[1, 2], latent=tensor_to_msg(np.ones((2, 3), np.float32)))
    spoil.nan_latent(latent)
    assert np.isnan(tensor_from_msg(latent.latent)).all()
    assert list(latent.codes) == [1, 2]
    spoil.codes_out_of_range(latent)
    assert list(latent.codes) == [10_001, 10_002]
    chunk = ActionChunk(horizon=3, names=['x', 'y'], data=[0.0, 1.0, 0.0, -1.0, 0.0, 1.0])
    spoil.exploding_chunk(chunk)
    # Ten times as much each step, and never less than 0.1 to begin with.
    assert list(chunk.data) == pytest.approx([1.0, 10.0, -10.0, -100.0, 100.0, 1000.0])
    spoil.nan_chunk(chunk)
    assert np.isnan(chunk.data).sum() == 1
    assert len(chunk.data) == 6


def test_a_graph_in_settable_time_leaves_the_clock_to_the_bench(tmp_path):
    """All nodes follow /clock and none publishes it."""
    nodes = GraphOptions(robots=('widowx',), log_directory=tmp_path, settable_clock=True).nodes()
    assert all(node.parameters['use_sim_time'] for node in nodes)
    assert not any(node.parameters.get('publish_clock') for node in nodes)


def test_faults_stay_in_a_domain_of_their_own(monkeypatch):
    """A user whose robots run in domain 7 must not have their graph broken."""
    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    monkeypatch.setenv('UNIVLA_BENCH_DOMAIN', '42')
    assert own_domain() == 42
    assert os.environ['ROS_DOMAIN_ID'] == '42'
    monkeypatch.delenv('UNIVLA_BENCH_DOMAIN')
    assert 1 <= own_domain() <= 100


# --- the soak -------------------------------------------------------------------------------


def test_growth_is_not_bent_by_a_peak():
    """From 100 to 110 over the run: a tenth, whatever one sample says."""
    times = np.arange(11.0)
    values = 100.0 + times
    assert growth(times, values) == pytest.approx(0.1)
    values[5] = 500.0
    assert growth(times, values) == pytest.approx(0.1, abs=0.01)
    assert growth([0.0, 1.0], [1.0, 2.0]) == 0.0


def test_memory_of_a_process_is_read_until_it_ends():
    command = [sys.executable, '-c', 'input()']
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert wait_until(lambda: (resident_bytes(process.pid) or 0) > 1_000_000, 10.0)
    process.communicate(b'\n')
    assert resident_bytes(process.pid) is None


def test_a_soak_fails_by_leak_exception_missed_stop_or_ended_process(tmp_path):
    """Each row for itself; a good run has only good rows."""
    log = tmp_path / 'node.log'
    log.write_text('all is well\n')
    times = [5.0 * i for i in range(100)]

    def soaked(**changes):
        fields = {
            'times': times,
            'memory': {'/r/node': [1e8] * 100},
            'stops': [Stop(30.0, 'r', 'estop', 0.03, ())],
        }
        return {
            row['name']: row['ok'] for row in soak_rows(Record(**{**fields, **changes}), [log])
        }

    good = soaked()
    assert list(good) == ['stops', 'exceptions', 'processes', 'memory /r/node']
    assert all(good.values())
    # 5 % from the second minute on.
    leak = [1e8 * (1.0 + 0.05 * t / times[-1] / (1.0 - 120.0 / times[-1])) for t in times]
    assert not soaked(memory={'/r/node': leak})['memory /r/node']
    assert not soaked(stops=[Stop(30.0, 'r', 'estop', NAN, ('never safe',))])['stops']
    assert not soaked(stops=[])['stops']
    assert not soaked(ended=['/r/node'])['processes']
    log.write_text('Traceback (most recent call last):\n')
    assert not soaked()['exceptions']


# --- alive ----------------------------------------------------------------------------------


def cli(*words):
    command = [sys.executable, '-m', 'univla_ros.cli', 'bench', *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.slow
def test_a_live_robot_stops_whatever_happens_to_it(tmp_path):
    """Real nodes: a chunk of NaN, silent joints, an emergency stop, and a killed policy.

    Times are compared with several times their limits, as other work may share the machine; the
    bench itself measures them.
    """
    path = tmp_path / 'safety.json'
    names = ['nan_chunk', 'joint_stall', 'policy_kill', 'estop']
    done = cli('safety', '--robot', 'widowx', '--faults', ','.join(names), '--repeats', '1',
               '--output', str(tmp_path), '--json', str(path))  # fmt: skip
    assert path.is_file(), done.stdout + done.stderr
    document = json.loads(path.read_text())
    assert document['command'] == 'bench safety'
    found = {row['name']: row for row in document['results']}
    assert sorted(found) == sorted(names)
    busy = os.getloadavg()[0] > 2.0 * (os.cpu_count() or 1)
    if busy and not all(row['detected'] for row in found.values()):
        pytest.skip('other work leaves this machine no time for a live robot')
    expected = {fault.name: fault.expected for fault in FAULTS}
    for name, row in found.items():
        assert row['detected'] in expected[name], row
        assert row['time_to_safe_max_ms'] <= 5.0 * row['limit_ms'], row
        assert row['limit_use'] <= 1.0 + 2e-3, row
    assert (tmp_path / 'safety.png').is_file()
    assert document['ok'] == (done.returncode == 0)


@pytest.mark.parametrize(
    ('words', 'complaint'),
    [
        (('safety', '--robot', 'r2d2'), "unknown robot 'r2d2'"),
        (('safety', '--faults', 'flood'), 'unknown fault flood; known are nan_latent'),
        (('soak', '--minutes', '0'), '--minutes must be more than 0'),
    ],
)
def test_what_does_not_exist_is_said_in_one_sentence(words, complaint):
    done = cli(*words)
    assert done.returncode == 1
    assert complaint in ' '.join(done.stderr.split())
    assert 'Traceback' not in done.stderr
