"""A camera is found again from noisy places of a hand, and what cannot be fitted says so."""

import numpy as np
import pytest
from univla_core.errors import TrainingError
from univla_training.camera_fit import fit_camera
from univla_training.camera_fit import project

PLACE = np.array([1.0, -0.4, 0.6])


def pinhole(place=PLACE, look_at=(0.3, 0.0, 0.05), across=1.4, down=1.9):
    ahead = np.asarray(look_at) - place
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(ahead, right), ahead])
    inner = np.array([[across, 0.0, 0.5], [0.0, down, 0.5], [0.0, 0.0, 1.0]])
    return inner @ np.column_stack([turn, -turn @ place])


def hands(rng, count=120):
    return rng.uniform([0.15, -0.2, 0.02], [0.4, 0.2, 0.16], (count, 3))


@pytest.mark.parametrize(('across', 'down'), [(0.9, 0.9), (1.4, 1.9), (2.1, 2.8)])
def test_a_camera_is_found_again(across, down):
    """Not its focal lengths to the last digit, but what it shows and about where it stands."""
    rng = np.random.default_rng(0)
    points, others = hands(rng), hands(rng, 300)
    camera = pinhole(across=across, down=down)
    found = fit_camera(project(camera, points), points)
    np.testing.assert_allclose(project(found, others), project(camera, others), atol=0.004)
    place = -np.linalg.solve(found[:, :3], found[:, 3])
    np.testing.assert_allclose(place, PLACE, atol=0.12)


def test_noise_and_gross_errors_hardly_move_what_it_shows():
    """A policy that points 1 % beside the hand, and at something else in one of ten frames."""
    rng = np.random.default_rng(1)
    points, others = hands(rng), hands(rng, 300)
    places = project(pinhole(), points) + rng.normal(0.0, 0.01, (120, 2))
    places[::10] = rng.uniform(0.0, 1.0, (12, 2))
    found = fit_camera(places, points)
    off = np.abs(project(found, others) - project(pinhole(), others))
    assert off.max() < 0.02
    assert off.mean() < 0.006


def test_values_that_are_not_numbers_are_left_out():
    points = hands(np.random.default_rng(2))
    places = project(pinhole(), points)
    places[3], points[7] = np.nan, np.inf
    assert np.isfinite(fit_camera(places, points)).all()


@pytest.mark.parametrize('count', [0, 5])
def test_too_few_frames_say_what_to_do(count):
    with pytest.raises(TrainingError, match=rf'at least 12 frames.*here are {count}.*head: query'):
        fit_camera(np.zeros((count, 2)), np.zeros((count, 3)))


def test_a_hand_that_stood_still_is_no_calibration():
    with pytest.raises(TrainingError, match=r'camera|hand'):
        fit_camera(np.full((30, 2), 0.5), np.full((30, 3), 0.2))
