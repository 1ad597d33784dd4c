"""`bench control`: every action space is executed, and a tick that is too long is told."""

from __future__ import annotations

import json

import pytest
from univla_core.embodiment import load_embodiment
from univla_ros.bench import control_step
from univla_ros.bench.control_step import ControlOptions
from univla_ros.bench.control_step import control_row
from univla_ros.bench.control_step import run_control


@pytest.mark.parametrize('robot', ('widowx', 'mobile_base'))
def test_each_action_space_is_executed(robot):
    body = load_embodiment(robot)
    for space in body.action_spaces:
        row = control_row(body, space, seconds=1.0)
        assert (row['robot'], row['action_space'], row['ticks']) == (robot, space, 60)
        assert row['moved'] > 0.0
        assert 0.0 < row['median_ms'] <= row['p99_ms']
        assert row['share_of_period'] == pytest.approx(row['p99_ms'] * 60.0 / 1000.0)


def test_a_tick_that_takes_too_long_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(control_step, 'SHARE', 0.0)
    path = tmp_path / 'control.json'
    options = ControlOptions(robot='mobile_base', seconds=1.0, json_path=path)
    assert run_control(options) == 1
    document = json.loads(path.read_text())
    assert not document['ok'] and [row['ok'] for row in document['results']] == [False]
