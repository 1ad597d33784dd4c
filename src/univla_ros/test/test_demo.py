"""The demo: its figures worked out by hand, and the whole graph run for a few seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import av
import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_ros.command_recorder import CommandRecorder
from univla_ros.demo.report import write_video
from univla_ros.demo.run import DemoOptions
from univla_ros.demo.run import _runs
from univla_ros.demo.run import run_demo
from univla_ros.demo.stall_watch import joined
from univla_ros.demo.stall_watch import stalled
from univla_ros.demo.summary import summarize

PERIOD = 1.0 / 60.0


def observed(times, values, **changes):
    """What an observer of the WidowX would hold after such commands."""
    fields = {
        'embodiment': load_embodiment('widowx'),
        'commands': CommandRecorder(list(times), list(values)),
        'stalls': [],
        'plans': [(1, 2, 3, 4)] * 3,
        'plan_times': [0.0, 0.2, 0.4],
        'plan_latencies': [0.010, 0.012, 0.014],
        'chain_latencies': {1: 0.03, 2: 0.05},
        'faults': {},
        'outcome': {'text': 'done'},
    }
    return SimpleNamespace(**{**fields, **changes})


def standing(count):
    return np.tile(load_embodiment('widowx').home, (count, 1))


def test_figures_of_a_steady_stream():
    """Sixty commands a second, three plans 0.2 s apart, chains of 30 and 50 ms."""
    row = summarize(observed(np.arange(61) * PERIOD, standing(61)), {})
    assert row['control_rate_hz'] == pytest.approx(60.0)
    assert row['largest_gap_periods'] == pytest.approx(1.0)
    assert row['plan_rate_hz'] == pytest.approx(5.0)
    assert row['chain_latency_ms']['median'] == pytest.approx(40.0)
    assert row['distinct_plans'] == 1
    assert row['ok'], row['problems']


def test_a_gap_of_three_periods_is_a_problem():
    """Two commands are missing, and the machine did not stand still."""
    times = np.delete(np.arange(300) * PERIOD, [100, 101])
    row = summarize(observed(times, standing(298)), {})
    assert row['largest_gap_periods'] == pytest.approx(3.0)
    assert not row['ok']
    assert 'longest gap' in row['problems'][0]


def test_time_the_machine_stood_still_is_told_apart():
    """The same gap while the cores were taken away: 3 periods, of which 2 were the machine's."""
    times = np.delete(np.arange(300) * PERIOD, [100, 101])
    stalls = [(99.5 * PERIOD, 101.5 * PERIOD)]
    row = summarize(observed(times, standing(298), stalls=stalls), {})
    assert row['largest_gap_periods'] == pytest.approx(3.0)
    assert row['largest_own_gap_periods'] == pytest.approx(1.0)
    assert row['ok'], row['problems']


def test_a_jump_of_one_joint_is_a_problem():
    """0.1 rad in one period is 6 rad/s, twice the maker's limit."""
    values = standing(60)
    values[30:, 0] += 0.1
    row = summarize(observed(np.arange(60) * PERIOD, values), {})
    assert row['limits']['velocity'] == pytest.approx(6.0 / (0.9 * 3.14159), rel=1e-3)
    assert not row['ok']


def test_no_plan_or_no_command_is_a_problem():
    """A robot that never moved did not pass."""
    still = observed(np.arange(60) * PERIOD, standing(60), plans=[], chain_latencies={})
    assert 'no plan' in summarize(still, {})['problems'][0]
    silent = summarize(observed([], []), {})
    assert 'no commands were sent to the driver' in silent['problems']


def test_stalls_of_several_cores_are_joined():
    """Two cores that stall together stall the machine once."""
    stalls = joined([(3.0, 4.0), (1.0, 2.0), (1.5, 2.5)])
    assert stalls == [(1.0, 2.5), (3.0, 4.0)]
    assert stalled(stalls, 2.0, 3.5) == pytest.approx(1.0)


def test_the_video_plays_at_the_speed_of_its_stamps(tmp_path):
    """Ten pictures, 0.1 s apart: the last one is shown at 0.9 s."""
    pictures = [(5.0 + 0.1 * i, np.full((48, 64, 3), 20 * i, np.uint8)) for i in range(10)]
    assert write_video(tmp_path / 'v.mp4', pictures)
    with av.open(str(tmp_path / 'v.mp4')) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert len(times) == 10
    assert times[-1] - times[0] == pytest.approx(0.9, abs=0.02)
    assert not write_video(tmp_path / 'none.mp4', pictures[:1])


@pytest.mark.parametrize('robots', ['widowx', 'mobile_base', 'franka,airbot'])
def test_the_whole_graph_runs_and_keeps_its_limits(tmp_path, robots):
    """Real nodes over real DDS for six seconds: plans, commands, limits, picture, video.

    Five plans a second are wanted; how many of them a busy machine makes is for the bench.
    """
    command = [sys.executable, '-m', 'univla_ros.cli', 'demo', '--robot', robots]
    command += ['--duration', '6', '--output', str(tmp_path), '--json', str(tmp_path / 'o.json')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert (tmp_path / 'o.json').is_file(), done.stdout + done.stderr
    document = json.loads((tmp_path / 'o.json').read_text())
    assert document['command'] == 'demo'
    assert [row['robot'] for row in document['results']] == robots.split(',')
    for row in document['results']:
        assert row['plans'] >= 3
        assert row['chunks_executed'] >= 3
        assert row['limits']['ok'], row['limits']['worst']
        assert row['limits']['largest_of_maker'] <= 1.0
        assert row['control_rate_hz'] >= 50.0
        assert row['outcome']['text']
        for key in ('picture', 'video'):
            assert (tmp_path / row[key].rsplit('/', 1)[-1]).stat().st_size > 10_000


@pytest.mark.parametrize(
    ('words', 'complaint'),
    [
        (['--robot', 'r2d2'], "unknown robot 'r2d2'; known are airbot"),
        (['--checkpoint', 'nowhere'], "no checkpoint 'nowhere'"),
        (['--policy', 'gpt'], "unknown policy 'gpt'; known are uniact, unified_vla, univla"),
        (['--episodes', '0'], '--episodes must be at least 1'),
    ],
)
def test_what_does_not_exist_is_said_in_one_sentence(tmp_path, words, complaint):
    """No traceback, exit status 1, and what would have been possible."""
    command = [sys.executable, '-m', 'univla_ros.cli', 'demo', '--output', str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert complaint in ' '.join(done.stderr.split())
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('robot', ('widowx,franka', 'all'))
def test_one_decoder_does_not_move_several_robots(robot, tmp_path):
    options = DemoOptions(robot=robot, checkpoint='untrained', decoder='mine', output=tmp_path)
    with pytest.raises(ConfigError, match=f'--decoder mine is of one robot, and --robot {robot}'):
        run_demo(options)


@pytest.mark.parametrize('cores, together', ((1, 2), (2, 2), (3, 3), (64, 4)))
def test_as_many_robots_run_together_as_there_are_cores(cores, together, monkeypatch):
    monkeypatch.setattr('os.cpu_count', lambda: cores)
    assert [len(robots) for robots, _ in _runs(DemoOptions(robot='all'))] == [1, 1, 1, 1, together]
