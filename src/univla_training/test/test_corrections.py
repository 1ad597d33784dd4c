"""Who drove decides what is imitated, and how much it counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from univla_core.errors import TrainingError
from univla_training.corrections import drivers
from univla_training.corrections import imitation_weights
from univla_training.corrections import run_lengths
from univla_training.demonstrations import demonstrations
from univla_training.frame_store import FrameStore


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


def test_only_what_a_person_did_is_learned_from_an_episode_that_was_corrected(store):
    """Chunks of 2 rows: frame 1 ends in the correction, frame 3 in the policy's hands again."""
    corrected = driven(store, (('policy', 2), ('teleop', 2), ('policy', 1)))
    weights = imitation_weights(corrected, np.arange(10), 2, correction_weight=3.0)
    assert weights.tolist() == [0, 0, 3, 0, 0, 1, 1, 1, 1, 1]
    asked = imitation_weights(
        corrected, np.arange(5), 2, correction_weight=3.0, imitate_policy=True
    )
    assert asked.tolist() == [1, 1, 3, 1, 1]


def test_an_episode_that_one_of_them_drove_alone_counts_as_any_other(store):
    alone = driven(store, (('policy', 5),), (('teleop', 5),), (('expert', 3), ('kick', 2)))
    assert imitation_weights(alone, np.arange(15), 4, correction_weight=3.0).tolist() == [1] * 15


def test_corrections_are_drawn_so_many_times_as_often_as_demonstrations(store):
    """Frames 5 to 14 are demonstrations (weight 1), 2 to 4 of episode 0 corrections (3)."""
    corrected = driven(store, (('policy', 2), ('teleop', 3)))
    shown = demonstrations(corrected, 'widowx', 'eef_delta', correction_weight=3.0)
    assert shown.rows.tolist() == [2, 3, 4, *range(5, 15)]
    assert shown.shares[0] == pytest.approx(3.0 * shown.shares[-1])
    assert shown.shares.sum() == pytest.approx(1.0)


def test_an_episode_with_nothing_but_mistakes_is_refused(store):
    """The person took over in the last frame, and handed back before the chunk was over."""
    first = driven(store, (('policy', 4), ('teleop', 1)))
    only = first.only(where=lambda row: row.path == 'episode_0')
    with pytest.raises(TrainingError, match='a person had to correct'):
        demonstrations(
            FrameStore(
                [dataclasses.replace(only.episodes[0], drivers=(('teleop', 1), ('policy', 4)))],
                store.arrays,
            ),
            'widowx',
            'eef_delta',
        )
