"""Who drove decides what is imitated, and how much it counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from univla_core.errors import TrainingError
from univla_training.corrections import corrections
from univla_training.corrections import drivers
from univla_training.corrections import run_lengths
from univla_training.demonstrations import demonstrations
from univla_training.frame_store import FrameStore

TASKS = ((0, 'pick'), (1, 'pick'), (2, 'reach'))


def driven(store: FrameStore, *drove: tuple[tuple[str, int], ...]) -> FrameStore:
    """The store with who drove its first episodes, of 5 frames each."""
    rows = list(store.episodes)
    for number, runs in enumerate(drove):
        rows[number] = dataclasses.replace(rows[number], drivers=runs)
    return FrameStore(rows, store.arrays)


def test_who_drove_is_kept_in_runs(store):
    sources = np.array(['policy', 'policy', 'teleop', 'policy', 'hold'])
    runs = run_lengths(sources)
    assert runs == [['policy', 2], ['teleop', 1], ['policy', 1], ['hold', 1]]
    row = dataclasses.replace(store.episodes[0], drivers=tuple(map(tuple, runs)))
    assert drivers(row).tolist() == sources.tolist()


def test_a_chunk_is_a_correction_if_the_person_drove_all_of_it(store):
    """Chunks of 2 rows: frame 1 ends in the correction, frame 3 in the policy's hands again."""
    corrected = driven(store, (('policy', 2), ('teleop', 2), ('policy', 1)))
    mended, mistaken = corrections(corrected, np.arange(10), 2)
    assert np.flatnonzero(mended).tolist() == [2]
    assert np.flatnonzero(mistaken).tolist() == [0, 1, 3, 4]


def test_an_episode_that_one_of_them_drove_alone_is_like_any_other(store):
    alone = driven(store, (('policy', 5),), (('teleop', 5),), (('expert', 3), ('kick', 2)))
    assert not np.any(corrections(alone, np.arange(15), 4))


def test_corrections_are_drawn_so_many_times_as_often_as_demonstrations(store):
    """Frames 5 to 14 are demonstrations (weight 1), 2 to 4 of episode 0 corrections (3)."""
    corrected = driven(store, (('policy', 2), ('teleop', 3)))
    shown = demonstrations(corrected, 'widowx', 'eef_delta', correction_weight=3.0)
    assert shown.rows.tolist() == [2, 3, 4, *range(5, 15)] and shown.corrections == 3
    assert shown.shares[0] == pytest.approx(3.0 * shown.shares[-1])
    assert shown.shares.sum() == pytest.approx(1.0)


def test_a_task_is_drawn_by_the_square_root_of_its_frames(store):
    """Two episodes of one task and one of another: shares of sqrt(10) to sqrt(5)."""
    rows = [dataclasses.replace(store.episodes[number], task=task) for number, task in TASKS]
    shown = demonstrations(FrameStore(rows, store.arrays), 'widowx', 'eef_delta')
    long, short = shown.shares[:10].sum(), shown.shares[10:].sum()
    assert shown.rows.tolist() == list(range(15))
    assert long / short == pytest.approx(np.sqrt(2.0)) and long + short == pytest.approx(1.0)


def test_what_was_corrected_is_imitated_only_if_asked_for(store):
    corrected = driven(store, (('policy', 2), ('teleop', 3)))
    asked = demonstrations(corrected, 'widowx', 'eef_delta', imitate_policy=True)
    assert asked.rows.tolist() == list(range(15))


def test_an_episode_with_nothing_but_mistakes_is_refused(store):
    mistaken = driven(store, (('teleop', 1), ('policy', 4)))
    alone = mistaken.only(where=lambda row: row.path == 'episode_0')
    with pytest.raises(TrainingError, match='a person had to correct'):
        demonstrations(alone, 'widowx', 'eef_delta')
