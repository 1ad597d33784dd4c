from __future__ import annotations

import dataclasses
import json

import pytest
import yaml
from typer.testing import CliRunner
from univla_core.errors import TrainingError
from univla_training.card import write_card
from univla_training.cli import train
from univla_training.network_sizes import DinoSizes
from univla_training.network_sizes import NetworkSizes
from univla_training.recipe import Recipe
from univla_training.run import open_run
from univla_training.settings import PolicySettings


def test_a_stage_is_there_once_it_is_finished(tmp_path):
    run = open_run(Recipe(), tmp_path)
    with pytest.raises(
        TrainingError, match=r"'lam1' is not there(.|\n)*train lam --stage 1 --out"
    ):
        run.require('lam1', 'weights')
    (run.start('lam1') / 'weights').write_text('w')
    assert not run.done('lam1')
    run.finish('lam1', {'loss': 0.5})
    assert run.done('lam1')
    assert run.require('lam1', 'weights').read_text() == 'w'
    assert run.result('lam1')['provenance']['seed'] == 0
    with pytest.raises(TrainingError, match='other: is missing'):
        run.require('lam1', 'other')


def test_a_fresh_run_forgets_a_stage_when_it_starts(tmp_path):
    run = open_run(Recipe(), tmp_path)
    run.start('policy')
    run.finish('policy', {})
    fresh = open_run(Recipe(), tmp_path, resume=False)
    assert not fresh.done('policy')
    assert list(fresh.start('policy').iterdir()) == []


def test_a_folder_keeps_to_its_network_sizes(tmp_path):
    open_run(Recipe(), tmp_path)
    wider = NetworkSizes(dino=DinoSizes(dim=256))
    with pytest.raises(TrainingError, match='other network sizes'):
        open_run(Recipe(network=wider), tmp_path)


def test_settings_take_seed_and_time_of_the_run(tmp_path):
    run = open_run(Recipe(), tmp_path, seed=7, minutes=2.0)
    settings = run.settings(PolicySettings(seed=100, steps=5))
    assert (settings.seed, settings.minutes, settings.steps) == (107, 2.0, 5)


def test_the_card_tells_where_a_checkpoint_comes_from(tmp_path, store):
    run = open_run(Recipe(name='tiny'), tmp_path, seed=5, commands=('./univla train all',))
    run.store = store  # in place of recorded episodes
    run.start('policy')
    run.finish('policy', {'steps': 12, 'loss': 0.25})
    row = {'robot': 'widowx', 'task': 'reach', 'episodes': 100, 'rate': 0.97, 'ci_low': 0.915}
    results = tmp_path / 'eval.json'
    results.write_text(json.dumps({'results': [row]}))
    card = write_card(tmp_path, run, title='T', results=results, limits=('Only here.',))
    head, text = card.read_text().split('---\n')[1:3]
    assert yaml.safe_load(head)['seed'] == 5
    assert '| widowx | reach | 4 | 20 | 15 |' in text  # of 20 frames 5 are of a failed episode
    assert '| policy | steps 12, loss 0.25 |' in text
    assert '| widowx | reach | 100 | 0.97 | 0.915 |' in text
    assert './univla train all' in text
    assert '- Only here.' in text
    results.write_text('{}')
    with pytest.raises(TrainingError, match='no results of'):
        write_card(tmp_path, run, title='T', results=results)


def test_every_command_takes_the_common_options():
    for command in ('pretrain', 'lam', 'policy', 'decoder', 'bc', 'all'):
        result = CliRunner().invoke(train, [command, '--help'], env={'COLUMNS': '200'})
        assert result.exit_code == 0, result.output
        for option in ('--recipe', '--data', '--out', '--seed', '--minutes', '--fresh'):
            assert option in result.output, (command, option)


def test_training_without_episodes_is_refused_at_once(tmp_path):
    (tmp_path / 'data').mkdir()
    options = ['--data', str(tmp_path / 'data'), '--out', str(tmp_path / 'run')]
    result = CliRunner().invoke(train, ['policy', *options])
    assert isinstance(result.exception, TrainingError)
    assert 'holds 0 recorded episodes' in str(result.exception)


def test_an_unknown_robot_is_refused_at_once(tmp_path):
    options = ['--robot', 'r2d2', '--out', str(tmp_path / 'run')]
    result = CliRunner().invoke(train, ['decoder', *options])
    assert "unknown robot 'r2d2'; known are" in str(result.exception)


def test_provenance_is_json(tmp_path):
    run = open_run(dataclasses.replace(Recipe(), name='x'), tmp_path)
    assert json.loads(json.dumps(run.provenance()))['recipe'] == 'x'
