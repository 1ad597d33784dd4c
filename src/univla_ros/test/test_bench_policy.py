"""`bench policy`: figures by hand, and the ordinary ways to generate on untrained weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from univla_ros.bench.planning import PlanningOptions
from univla_ros.bench.planning import planning_rows
from univla_ros.bench.planning import run_planning

CODES = np.array([1, 2, 3, 4])


def rows(plan_ms=20.0, other=CODES, budget_s=0.1):
    times = {'plan': [plan_ms, plan_ms, 50.0], 'decode': [2.0] * 3, 'slow': [80.0] * 3}
    seconds = {name: 0.001 * np.array(values) for name, values in times.items()}
    found = planning_rows(seconds, {'plan': CODES, 'decode': CODES, 'slow': other}, budget_s)
    return {row['name']: row for row in found}


def test_the_ratio_is_that_of_the_medians():
    found = rows()
    assert found['plan']['median_ms'] == pytest.approx(20.0)
    assert found['slow']['ratio'] == pytest.approx(0.25)
    assert all(row['ok'] for row in found.values())


def test_other_codes_and_a_missed_budget_are_told():
    found = rows(plan_ms=30.0, other=CODES[::-1], budget_s=0.031)
    assert not found['slow']['ok'] and 'not [1 2 3 4]' in found['slow']['problem']
    assert not found['plan']['ok'] and 'take 32 ms' in found['plan']['problem']


def test_every_ordinary_way_says_the_codes_of_the_plan(tmp_path):
    path = tmp_path / 'bench.json'
    options = PlanningOptions(checkpoint='untrained', device='cpu', repeats=1, json_path=path)
    run_planning(options)  # the budget may be missed on a busy machine
    document = json.loads(path.read_text())
    found = {row['name']: row for row in document['results']}
    assert set(found) == {'plan', 'decode', 'official way', 'generate', 'without a cache'}
    assert all(row['ok'] for name, row in found.items() if name != 'plan'), found
    assert document['versions']['torch'] and document['threads'] == 1
