"""Where named things stood is known afterwards: where fingers closed, or rested open."""

import dataclasses

import numpy as np
import pytest
from univla_training.demonstrations import demonstrations
from univla_training.frame_store import FrameStore
from univla_training.servo_calibration import Paths
from univla_training.servo_calibration import questions
from univla_training.servo_calibration import things_met

FLOOR = 0.02


def met(*openings):
    """Episodes of one opening a frame, hands at x = 0, 1, 2 … and y = the episode's number."""
    episodes = np.repeat(np.arange(len(openings)), [len(each) for each in openings])
    inside = np.concatenate([np.arange(len(each)) for each in openings])
    hand = np.column_stack([inside, episodes, np.full(len(inside), 0.3)]).astype(float)
    opening = np.concatenate(openings).astype(float)
    return things_met(Paths(np.arange(len(inside)), episodes, hand, opening), FLOOR)


def known(points):
    return np.isfinite(points).all(axis=1)


def test_fingers_that_close_have_the_thing_between_them():
    """From the last time on, as an earlier one missed; afterwards it goes with the hand."""
    found = met([1, 1, 0, 1, 1, 0.3, 0.3])
    np.testing.assert_array_equal(found[:5], np.tile([4.0, 0.0, FLOOR], (5, 1)))
    assert not known(found)[5:].any()


def test_open_fingers_that_rest_are_over_the_thing():
    found = met([1, 1, 0, 0], [1, 1, 1])
    np.testing.assert_array_equal(found[4:], np.tile([2.0, 1.0, FLOOR], (3, 1)))
    assert known(found).tolist() == [True, True, False, False, True, True, True]


@pytest.mark.parametrize('opening', [0.0, 0.05])
def test_a_fist_tells_nothing(opening):
    assert not known(met([opening] * 5, [opening] * 3)).any()
    assert known(met([1, 0, 0], [0, 0, 0])).sum() == 1


def test_fingers_that_never_move_are_open_or_shut_by_how_they_are():
    assert known(met([1.0, 0.98, 0.97], [1.0, 1.0, 1.0])).all()


def test_every_frame_is_asked_about_with_every_task(arms_store):
    """Instructions are those of the demonstrations, and each goes with its own task."""
    told = [
        dataclasses.replace(row, task='reach' if 'red' in row.instruction else 'pick')
        for row in arms_store.episodes
    ]
    store = FrameStore(told, arms_store.arrays)
    shown = demonstrations(store, 'widowx', 'eef_pose')
    asked = questions(shown, store)
    assert len(asked.rows) == len(asked.instructions) == 2 * len(shown.rows)
    for task in np.unique(shown.tasks):
        about = asked.tasks == task
        np.testing.assert_array_equal(np.sort(asked.rows[about]), np.sort(shown.rows))
        known = set(store.instructions(shown.rows[shown.tasks == task]))
        assert {word for word, own in zip(asked.instructions, about, strict=True) if own} <= known
