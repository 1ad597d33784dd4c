"""What `bench record` says about a recording."""

from __future__ import annotations

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_data.episode_writer import EpisodeWriter
from univla_data.message_types import message
from univla_data.messages import header_to_msg
from univla_data.provenance import Provenance
from univla_ros.bench.record_report import Measured
from univla_ros.bench.record_report import missing_numbers
from univla_ros.bench.record_report import record_rows

from univla_data import topics

NAME = '/franka/joint_states'


def bag(path, numbers):
    """Joint states that carry these numbers."""
    known = Provenance(robot='franka', details={'topics': {}})
    with EpisodeWriter(path, load_embodiment('franka'), known) as writer:
        for number in numbers:
            msg = message(topics.JOINT_STATES.kind, header=header_to_msg(1.0, str(number)))
            writer.write(topics.JOINT_STATES, 1.0 + 0.01 * number, msg)
        return writer.close(None)


@pytest.mark.parametrize('numbers, missing', [((3, 4, 5), 0), ((3, 5, 9), 4)])
def test_missing_numbers_are_counted(tmp_path, numbers, missing):
    """3 5 9 leave out 4, 6, 7 and 8."""
    assert missing_numbers(bag(tmp_path / 'e', numbers), [NAME]) == {NAME: missing}


def rows(tmp_path, recording_ms, baseline_ms, drops=0, rate_hz=200.0):
    facts = {'drops': drops, 'rate_hz': rate_hz, 'expected_hz': 200.0}
    measured = Measured(
        path=bag(tmp_path / 'e', (1, 2)),
        details={'topics': {NAME: facts}},
        duration_s=2.0,
        period_s=0.01,
        recording=0.01 + 0.001 * np.array(recording_ms),
        baseline=0.01 + 0.001 * np.array(baseline_ms),
        cpu_s=0.5,
        memory=2**20,
        stall_s=0.0,
        load=0.5,
    )
    return {row['name']: row for row in record_rows(measured, [NAME])}


def test_jitter_is_a_ratio_to_not_recording(tmp_path):
    """Twice as much is too much, unless it is less than half a millisecond more."""
    found = rows(tmp_path, [2.0, -2.0] * 50, [1.0, -1.0] * 50)
    jitter = found['control jitter, median']
    assert jitter['ratio'] == pytest.approx(2.0) and not jitter['ok']
    assert found['recorder, of one core']['value'] == 0.25


def test_small_jitter_may_double(tmp_path):
    assert rows(tmp_path, [0.2] * 50, [0.1] * 50)['control jitter, median']['ok']


def test_losses_and_slow_topics_fail(tmp_path):
    found = rows(tmp_path, [0.1] * 9, [0.1] * 9, drops=1, rate_hz=180.0)
    assert not found['lost messages, as the recorder says']['ok'] and not found[NAME]['ok']
    assert found['lost messages, by their numbers']['ok']
