"""Pictures that are changed for training."""

import numpy as np
from univla_training.pixels import moved


def spot(place):
    """A white spot of 3 x 3 px on black, at (column, row)."""
    picture = np.zeros((1, 84, 84, 3), dtype=np.uint8)
    column, row = place
    picture[0, row - 1 : row + 2, column - 1 : column + 2] = 255
    return picture


def centre(picture):
    """Mean (column, row) of what is bright [px]."""
    weights = picture[0, ..., 0].astype(float)
    rows, columns = np.mgrid[:84, :84]
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def test_what_a_picture_shows_moves_by_a_bounded_way_in_every_direction():
    rng = np.random.default_rng(0)
    ways = np.array([centre(moved(spot((42, 42)), rng, 0.03)) - 42.0 for _ in range(200)])
    bound = 0.03 * 84 + 0.05
    assert np.abs(ways).max() <= bound
    assert ways.min(axis=0).max() < -0.7 * bound
    assert ways.max(axis=0).min() > 0.7 * bound
    assert abs(ways.mean()) < 0.3


def test_two_things_go_apart_or_closer_by_the_zoom_alone():
    left, right = spot((20, 42)), spot((64, 42))
    gaps = []
    for seed in range(50):
        one, other = (
            centre(moved(picture, np.random.default_rng(seed), 0.03)) for picture in (left, right)
        )
        gaps.append((other - one)[0] / 44.0)
    assert min(gaps) >= 0.96
    assert max(gaps) <= 1.04
    assert np.ptp(gaps) > 0.03


def test_edges_are_repeated():
    """No black margin comes in that no camera shows."""
    grey = np.full((8, 84, 84, 3), 120, dtype=np.uint8)
    assert (moved(grey, np.random.default_rng(0), 0.1) == 120).all()
