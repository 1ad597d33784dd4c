"""A camera is found again from noisy places of a hand, and what cannot be fitted says so."""

import numpy as np
import pytest
from univla_core.errors import TrainingError
from univla_training.camera_fit import CameraFit
from univla_training.camera_fit import Sightings
from univla_training.camera_fit import fit_camera
from univla_training.camera_fit import project

PLACE = np.array([1.0, -0.4, 0.6])
ASPECT = 4.0 / 3.0


def pinhole(place=PLACE, look_at=(0.3, 0.0, 0.05), focal=1.3, aspect=ASPECT):
    ahead = np.asarray(look_at) - place
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(ahead, right), ahead])
    inner = np.array([[focal, 0.0, 0.5], [0.0, focal * aspect, 0.5], [0.0, 0.0, 1.0]])
    return inner @ np.column_stack([turn, -turn @ place])


def hands(rng, count=120):
    return rng.uniform([0.15, -0.2, 0.02], [0.4, 0.2, 0.16], (count, 3))


def sightings(places, points, episodes=None, hand=True):
    told = np.zeros(len(points), dtype=int) if episodes is None else episodes
    whose = np.full(len(points), hand)
    return Sightings(
        places=np.asarray(places), points=np.asarray(points), episodes=told, hand=whose
    )


@pytest.mark.parametrize(('focal', 'aspect'), [(0.9, 1.0), (1.4, ASPECT), (1.8, 16.0 / 9.0)])
def test_a_camera_is_found_again(focal, aspect):
    """Not its focal length to the last digit, but what it shows and about where it stands."""
    rng = np.random.default_rng(0)
    points, others = hands(rng), hands(rng, 300)
    camera = pinhole(focal=focal, aspect=aspect)
    found = fit_camera(sightings(project(camera, points), points), aspect).camera
    np.testing.assert_allclose(project(found, others), project(camera, others), atol=0.002)
    np.testing.assert_allclose(CameraFit(found, np.zeros(2)).place, PLACE, atol=0.08)


def test_noise_and_gross_errors_hardly_move_what_it_shows():
    """A policy that points 1 % beside the hand, and at something else in one of ten frames."""
    rng = np.random.default_rng(1)
    points, others = hands(rng), hands(rng, 300)
    places = project(pinhole(), points) + rng.normal(0.0, 0.01, (120, 2))
    places[::10] = rng.uniform(0.0, 1.0, (12, 2))
    found = fit_camera(sightings(places, points), ASPECT).camera
    off = np.abs(project(found, others) - project(pinhole(), others))
    assert off.max() < 0.02
    assert off.mean() < 0.006


def test_an_episode_that_is_seen_beside_the_others_does_not_turn_the_camera():
    """Eight episodes, each in its own corner of the table, each shown a bit beside its place."""
    rng = np.random.default_rng(3)
    episodes = np.repeat(np.arange(8), 20)
    middles = rng.uniform([0.2, -0.15, 0.05], [0.35, 0.15, 0.1], (8, 3))
    points = middles[episodes] + rng.normal(0.0, 0.03, (160, 3))
    beside = rng.normal(0.0, 0.015, (8, 2))
    beside -= beside.mean(axis=0)
    places = project(pinhole(), points) + beside[episodes]
    others = hands(rng, 300)
    one, apart = (
        np.abs(project(fit.camera, others) - project(pinhole(), others)).mean()
        for fit in (
            fit_camera(sightings(places, points), ASPECT),
            fit_camera(sightings(places, points, episodes), ASPECT),
        )
    )
    assert apart < 0.5 * one


def test_a_hand_that_is_taken_for_its_wrist_turns_no_camera_that_sees_things():
    """As of a body that a policy never saw: it points at the hand, but at another point of it."""
    rng = np.random.default_rng(4)
    points, others = hands(rng), hands(rng, 300)
    things = hands(rng) * np.array([1.0, 1.0, 0.0]) + np.array([0.0, 0.0, 0.02])
    wrists = project(pinhole(), points) + np.array([0.01, -0.07])
    fit = fit_camera(
        sightings(wrists, points) + sightings(project(pinhole(), things), things, hand=False),
        ASPECT,
    )
    np.testing.assert_allclose(project(fit.camera, others), project(pinhole(), others), atol=0.006)
    np.testing.assert_allclose(fit.hand_beside, [0.01, -0.07], atol=0.006)


def test_values_that_are_not_numbers_are_left_out():
    points = hands(np.random.default_rng(2))
    places = project(pinhole(), points)
    places[3], points[7] = np.nan, np.inf
    assert np.isfinite(fit_camera(sightings(places, points), ASPECT).camera).all()


@pytest.mark.parametrize('count', [0, 5])
def test_too_few_frames_say_what_to_do(count):
    with pytest.raises(TrainingError, match=rf'at least 12 frames.*here are {count}.*head: query'):
        fit_camera(sightings(np.zeros((count, 2)), np.zeros((count, 3))), ASPECT)


def test_a_hand_that_stood_still_is_no_calibration():
    with pytest.raises(TrainingError, match=r'camera|hand'):
        fit_camera(sightings(np.full((30, 2), 0.5), np.full((30, 3), 0.2)), ASPECT)


def test_things_do_not_stand_in_for_a_hand():
    points = hands(np.random.default_rng(5))
    places = project(pinhole(), points)
    few = sightings(places[:5], points[:5]) + sightings(places, points, hand=False)
    with pytest.raises(TrainingError, match='here are 5'):
        fit_camera(few, ASPECT)
