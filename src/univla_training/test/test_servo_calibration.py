"""Where named things stood is known afterwards: where fingers closed, or rested open."""

import numpy as np
import pytest
from univla_training.camera_fit import Sightings
from univla_training.servo_calibration import things_met

FLOOR = 0.02


def met(*openings):
    """Episodes of one opening a frame, hands at x = 0, 1, 2 … and y = the episode's number."""
    episodes = np.repeat(np.arange(len(openings)), [len(each) for each in openings])
    frames = np.concatenate([np.arange(len(each)) for each in openings])
    points = np.column_stack([frames, episodes, np.full(len(frames), 0.3)]).astype(float)
    named = 0.01 * np.column_stack([frames, episodes])
    hand = Sightings(places=np.zeros((len(frames), 2)), points=points, episodes=episodes)
    return things_met(hand, named, np.concatenate(openings).astype(float), FLOOR)


def test_fingers_that_close_have_the_thing_between_them():
    """From the last time on, as an earlier one missed; afterwards it goes with the hand."""
    found = met([1, 1, 0, 1, 1, 0.3, 0.3])
    assert len(found) == 5
    np.testing.assert_array_equal(found.points, np.tile([4.0, 0.0, FLOOR], (5, 1)))
    np.testing.assert_allclose(found.places[:, 0], [0.0, 0.01, 0.02, 0.03, 0.04])


def test_open_fingers_that_rest_are_over_the_thing():
    found = met([1, 1, 0, 0], [1, 1, 1])
    np.testing.assert_array_equal(found.points[2:], np.tile([2.0, 1.0, FLOOR], (3, 1)))
    np.testing.assert_array_equal(found.episodes, [0, 0, 1, 1, 1])


@pytest.mark.parametrize('opening', [0.0, 0.05])
def test_a_fist_tells_nothing(opening):
    assert len(met([opening] * 5, [opening] * 3)) == 0
    assert len(met([1, 0, 0], [0, 0, 0])) == 1


def test_fingers_that_never_move_are_open_or_shut_by_how_they_are():
    assert len(met([1.0, 0.98, 0.97], [1.0, 1.0, 1.0])) == 6
