"""Success rates: counted honestly, with the interval that so few scenes allow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from univla_core.errors import ConfigError
from univla_ros.cli import app
from univla_ros.evaluation import episodes
from univla_ros.evaluation.cases import SEED_END
from univla_ros.evaluation.cases import Case
from univla_ros.evaluation.cases import EvalOptions
from univla_ros.evaluation.cases import cases_of
from univla_ros.evaluation.cases import colors_of
from univla_ros.evaluation.cases import seeds_of
from univla_ros.evaluation.checkpoints import checkpoints_for
from univla_ros.evaluation.episodes import EpisodeRecord
from univla_ros.evaluation.episodes import run_job
from univla_ros.evaluation.pictures import write_failures
from univla_ros.evaluation.pool import run_jobs
from univla_ros.evaluation.rows import row_of
from univla_ros.evaluation.run import run_eval
from univla_ros.evaluation.wilson import wilson

CASE = Case(robot='widowx', task='reach', policy='random')


def test_wilson_intervals_worked_by_hand():
    """With z² = 3.8415.

    0 of 10: middle = half = z² / 2 / (10 + z²), so the upper end is 3.8415 / 13.8415 = 0.2775.
    50 of 100: the middle is 0.5, half = 1.95996 / 1.038415 · √(0.0025 + 0.000096) = 0.0962.
    """
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize('episodes', (1, 7, 60))
def test_wilson_holds_the_rate_and_narrows(episodes):
    for successes in range(episodes + 1):
        low, high = wilson(successes, episodes)
        assert 0.0 <= low <= successes / episodes <= high <= 1.0
        wide, narrow = wilson(successes, episodes), wilson(10 * successes, 10 * episodes)
        assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_seeds_of_two_runs_share_no_scene_and_none_is_trained_on():
    first = seeds_of(EvalOptions(episodes=1000, seed=0))
    second = seeds_of(EvalOptions(episodes=1000, seed=1))
    last = seeds_of(EvalOptions(episodes=1000, seed=99))
    assert not set(first) & set(second)
    assert first[0] == 0 and second[0] == 1000
    assert max(last) < SEED_END <= 100_000  # training begins at 1,000,000


@pytest.mark.parametrize(
    'wrong', ({'seed': 100}, {'seed': -1}, {'episodes': 0}, {'episodes': 1001})
)
def test_seeds_outside_are_refused(wrong):
    with pytest.raises(ConfigError, match=r'--seed|--episodes'):
        seeds_of(EvalOptions(**wrong))


def test_colours_take_turns_and_the_wrong_one_is_another():
    pairs = [colors_of(seed) for seed in range(60)]
    assert [own for own, _ in pairs[:3]] == ['red', 'green', 'blue']
    assert all(own != other for own, other in pairs)
    assert len(set(pairs)) == 6  # every pair of different colours
    assert max(pairs.count(pair) for pair in pairs) == 10


@pytest.mark.parametrize(
    'options, words',
    (
        ({'robot': 'robby'}, 'unknown robot.*widowx'),
        ({'task': 'juggle'}, 'unknown task juggle.*reach'),
        ({'policy': 'clever'}, 'unknown policy clever.*expert'),
        ({'shift': 'sideways'}, 'unknown shift sideways.*visual'),
        ({'task': 'drive'}, "'widowx' cannot do drive.*reach"),
        ({'robot': 'mobile_base', 'task': 'pick'}, "'mobile_base' cannot do pick.*drive"),
        ({'robot': 'widowx,franka', 'task': 'reach,drive'}, 'can do drive'),
        ({'policy': 'univla', 'checkpoint': 'no_such'}, "no checkpoint 'no_such'"),
        ({'policy': 'bc', 'checkpoint': 'untrained'}, "none .* untrained is of policy 'bc'"),
        (
            {'policy': 'random,univla', 'checkpoint': 'untrained', 'action_space': 'eef_pose'},
            'eef_pose',
        ),
    ),
)
def test_what_cannot_be_evaluated_is_said_at_once(options, words):
    with pytest.raises(ConfigError, match=words):
        cases_of(EvalOptions(**{'policy': 'random', **options}))


def test_without_a_trained_checkpoint_the_way_to_one_is_told(tmp_path, monkeypatch):
    folders = 'univla_ros.evaluation.checkpoints.checkpoint_folders'
    monkeypatch.setattr(folders, lambda: (tmp_path,))
    with pytest.raises(ConfigError, match=r'no trained checkpoint.*univla train.*--checkpoint'):
        checkpoints_for(['univla'], '')
    for name, extra in (('ours', {}), ('cloned', {'recipe': 'bc'}), ('raw', {'trained': False})):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'config.json').write_text(json.dumps({'trained': True, **extra}))
    found = checkpoints_for(['univla', 'bc', 'random'], '')
    assert {policy: [c.name for c in own] for policy, own in found.items()} == {
        'univla': ['ours'],
        'bc': ['cloned'],
    }
    for name, kind in (('acts', 'llava_onevision'), ('worlds', 'Emu3')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'config.json').write_text(json.dumps({'model_type': kind}))
    others = checkpoints_for(['univla', 'uniact', 'unified_vla'], '')
    assert {policy: own[0].name for policy, own in others.items()} == {
        'univla': 'ours',
        'uniact': 'acts',
        'unified_vla': 'worlds',
    }
    (tmp_path / 'more').mkdir()
    (tmp_path / 'more' / 'config.json').write_text('{}')
    with pytest.raises(ConfigError, match=r'several.*more.*ours.*--checkpoint'):
        checkpoints_for(['univla'], '')


def test_all_robots_are_those_that_can_do_the_task():
    cases = cases_of(EvalOptions(robot='all', task='reach,pick', policy='random'))
    assert {case.robot for case in cases} == {'widowx', 'franka', 'airbot'}
    cases = cases_of(EvalOptions(robot='all', task='drive', policy='random'))
    assert {case.robot for case in cases} == {'mobile_base'}


def test_all_means_every_task_that_fits():
    cases = cases_of(EvalOptions(robot='all', task='all', policy='random,expert'))
    pairs = {(case.robot, case.task) for case in cases}
    assert ('mobile_base', 'drive') in pairs and ('mobile_base', 'reach') not in pairs
    assert len(cases) == 2 * (3 * 4 + 1)


def test_an_episode_that_breaks_is_an_error_and_no_failure(monkeypatch):
    """Half of the episodes fall over: the rate is of those that ran, and the row is not ok."""

    def episode(case, seed, keep_still):
        if seed % 2:
            raise RuntimeError('the table fell over')
        return EpisodeRecord(seed=seed, success=seed == 0, duration_s=2.0)

    monkeypatch.setattr(episodes, '_episode', episode)
    row = row_of(CASE, run_job(CASE, range(8)))
    assert (row['episodes'], row['successes'], row['errors']) == (4, 1, 4)
    assert row['rate'] == 0.25 and not row['ok']
    assert len(row['problems']) == 1 and 'the table fell over' in row['problems'][0]
    assert row['failed_seeds'] == [2, 4, 6]


def test_an_episode_repeats_exactly():
    case = Case(robot='mobile_base', task='drive', policy='random')
    first, again = (run_job(case, [11])[0] for _ in range(2))
    assert not first.error, first.error
    assert (first.text, first.duration_s) == (again.text, again.duration_s)


def test_expert_and_chance_on_three_scenes(tmp_path):
    """The whole way, in this process: the expert gets to the pillar, chance does not."""
    path = tmp_path / 'eval.json'
    options = EvalOptions(
        robot='mobile_base',
        policy='random,expert',
        episodes=3,
        workers=1,
        output=tmp_path / 'out',
        json_path=path,
    )
    assert run_eval(options) == 0
    document = json.loads(path.read_text())
    assert set(document) == {'command', 'ok', 'results', 'versions'}
    assert document['command'] == 'eval' and document['ok']
    chance, expert = document['results']
    assert {
        'robot',
        'task',
        'policy',
        'episodes',
        'successes',
        'rate',
        'ci_low',
        'ci_high',
    } <= set(chance)
    assert (chance['policy'], chance['episodes']) == ('random', 3)
    assert expert['successes'] == 3 and expert['rate'] == 1.0
    assert expert['ci_low'] == pytest.approx(3.0 / (3.0 + 3.8415), abs=1e-4)
    assert chance['successes'] < 3 and expert['failed_seeds'] == []
    for name in ('rates.png', 'failures.png', 'results.json'):
        assert (tmp_path / 'out' / name).stat().st_size > 1000


def test_what_was_measured_survives_an_interruption(tmp_path, monkeypatch):
    """Ctrl-C after the first of two cases: its row is on the disk."""

    def cut_off(cases, seeds, workers, done):
        run_jobs(cases[:1], seeds, workers, done)
        raise KeyboardInterrupt

    monkeypatch.setattr('univla_ros.evaluation.run.run_jobs', cut_off)
    options = {'robot': 'mobile_base', 'policy': 'expert,random', 'episodes': 1, 'workers': 1}
    path = tmp_path / 'eval.json'
    with pytest.raises(KeyboardInterrupt):
        run_eval(EvalOptions(**options, output=tmp_path / 'out', json_path=path))
    assert [row['policy'] for row in json.loads(path.read_text())['results']] == ['expert']


def test_with_a_wrong_instruction_the_expert_goes_to_the_object_named(tmp_path):
    options = EvalOptions(
        robot='mobile_base',
        policy='expert',
        episodes=2,
        workers=1,
        wrong_instruction=True,
        output=tmp_path,
        json_path=tmp_path / 'eval.json',
    )
    assert run_eval(options) == 0
    (row,) = json.loads((tmp_path / 'eval.json').read_text())['results']
    assert row['instruction'] == 'wrong'
    assert (row['successes'], row['original_successes']) == (2, 0)


def test_failures_are_shown_with_their_instruction(tmp_path: Path):
    assert not write_failures(tmp_path / 'none.png', [])
    still = np.zeros((240, 320, 3), dtype=np.uint8)
    record = EpisodeRecord(seed=1, instruction='reach the red cube', text='missed', still=still)
    assert write_failures(tmp_path / 'sheet.png', [(CASE, record)] * 30)
    assert (tmp_path / 'sheet.png').stat().st_size > 1000


def test_the_command_line_takes_it_all(tmp_path):
    words = ['eval', '--robot', 'mobile_base', '--policy', 'random', '--episodes', '1']
    words += ['--workers', '1', '--output', str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert 'mobile_base' in result.output and 'drive' in result.output
