"""A pole that swings above a floor: few looks, and never nearer than told."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.body_clearance import MARGIN
from univla_control.body_clearance import BodyClearance


class Pole:
    """A pole of 1 m whose foot is that high above the floor; joint 0 is its angle to the level."""

    reach = np.array([1.0])

    def __init__(self, foot=0.5) -> None:
        self.foot, self.looks = foot, 0

    def nearest(self, joints):
        self.looks += len(joints)
        heights = self.foot + np.sin(joints[:, 0])
        return np.minimum(heights, 0.3), ['pole and floor'] * len(joints)


def path(*angles):
    return np.array(angles, dtype=float)[:, None]


@pytest.fixture
def pole():
    """A pole that stands level, at a distance of 0.3 m or more, and must keep 0.1 m."""
    body = BodyClearance(Pole(), 0.1)
    body.begin(np.zeros(1))
    return body


def test_one_look_vouches_for_all_that_is_near(pole):
    """0.3 m of room around 0: 0.1 rad of swing moves nothing farther than 0.1 m."""
    assert pole.keeps(path(0.0, 0.02, 0.05, 0.1))
    looks = pole._model.looks
    for angle in np.linspace(0.0, 0.1, 50):
        assert pole.keeps(path(angle, angle + 0.01, angle + 0.05))
        pole.accept()
    assert pole._model.looks == looks


def test_the_end_of_a_stop_counts(pole):
    """The height is 0.5 + sin(q) = 0.102 at q = -0.4096."""
    assert pole.keeps(path(-0.36, -0.37, -0.39, -0.405, -0.409))
    assert not pole.keeps(path(-0.36, -0.37, -0.39, -0.405, -0.412))
    assert pole.pair == 'pole and floor'
    assert pole.gap < 0.1 + MARGIN


def test_a_dip_between_two_samples_is_not_overlooked(pole):
    """Over the lowest point and up again: both ends are high enough, the way is not."""
    ends = -0.5 * np.pi + np.array([-1.2, 1.2])  # 0.5 - cos(1.2) = 0.138 m high
    assert not pole.keeps(path(ends[0], ends[0], ends[1]))


def test_between_neighbouring_samples_the_clearance_itself_holds():
    """Near the lowest point of a foot at 1.1 m: 1.1 - cos(0.070) = 0.10245 m high.

    0.004 rad back: 1.1 - cos(0.066) = 0.10218; (0.10245 + 0.10218 - 0.004) / 2 = 0.1003.
    0.012 rad on: 1.1 - cos(0.082) = 0.10336; (0.10245 + 0.10336 - 0.012) / 2 = 0.0969.
    """
    body = BodyClearance(Pole(1.1), 0.1)
    body.begin(np.zeros(1))
    here = 0.070 - 0.5 * np.pi
    assert body.keeps(path(here, here, here - 0.004))
    assert not body.keeps(path(here, here, here + 0.012))


def test_what_is_too_near_may_only_go_apart():
    """A pole found 0.02 m high rises, stays, but does not sink; and no way back once risen."""
    body = BodyClearance(Pole(), 0.1)
    start = float(np.arcsin(0.02 - 0.5))
    body.begin(np.array([start]))
    assert not body.keeps(path(start, start - 0.001))
    assert body.keeps(path(start, start, start))
    assert body.keeps(path(start, start + 0.002, start + 0.004))
    body.accept()
    assert not body.keeps(path(start + 0.002, start + 0.001, start))


def test_a_larger_clearance_lets_a_way_end_as_planned():
    body = BodyClearance(Pole(), 0.1)
    body.begin(np.array([-0.2]))
    assert body.keeps(path(-0.2, -0.21, -0.25))
    body.accept()
    body.set_clearance(0.28)  # 0.5 + sin(-0.25) = 0.2526 lies ahead
    assert body.needed == pytest.approx(0.5 + np.sin(-0.25))
    assert body.keeps(path(-0.21, -0.22, -0.25))
    assert not body.keeps(path(-0.21, -0.22, -0.26))


def test_axes_that_lead_away_are_harmless(pole):
    low = np.array([-0.4])
    assert pole.harmless(low, np.array([[1.0]])).tolist() == [True]
    assert pole.harmless(low, np.array([[-1.0]])).tolist() == [False]
