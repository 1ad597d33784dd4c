"""The rules by which one camera is believed."""

import numpy as np
import pytest
from univla_core.camera_watch import CameraRules
from univla_core.camera_watch import CameraWatch
from univla_core.embodiment import Camera

# 20 Hz: a period is 50 ms and 1.75 of them are 87.5 ms.
CAMERA = Camera(name='wrist', width=64, height=48, rate_hz=20.0, simulation={})
PERIOD = 0.05
RNG = np.random.default_rng(0)


def picture(mean=120, contrast=40):
    """A picture that no other one equals."""
    noise = RNG.normal(mean, contrast, (48, 64, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def watching(**rules):
    return CameraWatch(CAMERA, CameraRules(**rules))


def seen(watch, count=3, begin=10.0):
    """Let `count` good pictures come in time; the time of the last one."""
    for index in range(count):
        now = begin + index * PERIOD
        assert watch.add(now - 0.01, picture(), now) is None
    return now


def test_a_camera_never_heard_is_missing_and_named():
    fault = watching().fault(10.0)
    assert fault.name == 'missing_camera'
    assert 'camera wrist' in fault.reason and 'camera/wrist/image_raw' in fault.reason


def test_silence_of_more_than_its_own_periods_is_stale():
    watch = watching()
    last = seen(watch)
    assert watch.fault(last + 0.087) is None
    fault = watch.fault(last + 0.089)
    assert fault.name == 'stale_camera'
    assert 'camera wrist for 0.09 s' in fault.reason and '20.0 Hz' in fault.reason
    assert watching(timeout_periods=3.0).timeout_s == pytest.approx(0.15)


def test_the_next_picture_ends_it():
    watch = watching()
    last = seen(watch)
    assert watch.fault(last + 1.0)
    seen(watch, 1, last + 1.0)
    assert watch.fault(last + 1.0) is None


@pytest.mark.parametrize(('max_age_s', 'fault'), [(0.3, 'stale_camera'), (0.0, None)])
def test_a_camera_that_lags_is_stale_by_its_stamp(max_age_s, fault):
    """It comes in time, but what it shows is a second old."""
    watch = watching(max_age_s=max_age_s)
    assert watch.add(9.0, picture(), 10.0) is None
    found = watch.fault(10.0)
    assert (found.name if found else None) == fault
    assert not found or 'newest picture is 1.00 s old, more than 0.3 s' in found.reason


def test_equal_pixels_under_new_stamps_are_frozen_until_they_change():
    watch = watching()
    still = picture()
    assert watch.add(10.0, still, 10.0) is None
    assert watch.add(10.05, still.copy(), 10.05).name == 'frozen_camera'
    assert watch.fault(10.05).name == 'frozen_camera'
    assert watch.add(10.10, picture(), 10.10) is None
    assert watch.fault(10.10) is None
    assert watch.dropped == {'frozen': 1}


def test_one_changed_pixel_is_not_frozen():
    """Also one that the quick comparison of a sample does not look at."""
    watch = watching()
    first = picture()
    second = first.copy()
    second[0, 0, 0] ^= 1
    watch.add(10.0, first, 10.0)
    assert watch.add(10.05, second, 10.05) is None


@pytest.mark.parametrize(('limit', 'refused'), [(0, 0), (2, 4), (4, 2)])
def test_how_many_equal_pictures_freeze_is_a_rule(limit, refused):
    watch = watching(frozen_pictures=limit)
    still = picture()
    faults = [watch.add(10.0 + i * PERIOD, still, 10.0 + i * PERIOD) for i in range(5)]
    assert sum(fault is not None for fault in faults) == refused


def test_a_repetition_under_the_same_stamp_is_no_news():
    """A republished message is neither frozen nor a sign of life."""
    watch = watching()
    image = picture()
    watch.add(10.0, image, 10.0)
    assert watch.add(10.0, image, 10.08) is None
    assert watch.fault(10.09).name == 'stale_camera'
    assert watch.dropped == {'repeated': 1}


@pytest.mark.parametrize(
    ('image', 'words'),
    [
        (np.zeros((48, 64, 3), np.uint8), 'uncover its lens'),
        (picture(2, 2), 'uncover its lens'),  # noise of a covered sensor
        (np.full((48, 64, 3), 255, np.uint8), 'a single colour'),
        (np.tile(np.array([0, 0, 255], np.uint8), (48, 64, 1)), 'a single colour'),
    ],
    ids=['zeros', 'covered', 'white', 'blue'],
)
def test_a_blind_camera_is_black(image, words):
    watch = watching()
    fault = watch.add(10.0, image, 10.0)
    assert fault.name == 'black_camera' and words in fault.reason
    assert watch.frame is None and watch.fault(10.0).name == 'black_camera'
    assert watching(black_level=0.0).add(10.0, image, 10.0) is None


@pytest.mark.parametrize('image', [picture(12, 8), picture(245, 8), picture(128, 3)])
def test_dim_bright_and_plain_scenes_are_not_blind(image):
    assert watching().add(10.0, image, 10.0) is None


@pytest.mark.parametrize(
    ('stamp', 'image', 'name', 'words'),
    [
        (10.0, picture()[:24], 'wrong_camera', '64x24 pictures, expected 64x48'),
        (0.0, picture(), 'wrong_camera', 'without a time stamp'),
        (11.0, picture(), 'wrong_camera', '1.00 s in the future'),
        (9.8, picture(), 'clock_jump', 'ran back by 0.10 s'),
    ],
)
def test_what_cannot_be_believed_is_refused_until_a_good_one(stamp, image, name, words):
    """The newest message decides; a good picture in hand does not excuse a bad one after it."""
    watch = watching()
    watch.add(9.9, picture(), 9.95)
    fault = watch.add(stamp, image, 10.0)
    assert fault.name == name and words in fault.reason and 'camera wrist' in fault.reason
    assert watch.fault(10.0) == fault
    assert sum(watch.dropped.values()) == 1
    assert watch.add(10.02, picture(), 10.03) is None
    assert watch.fault(10.03) is None


def test_a_message_that_is_no_picture_counts_too():
    watch = watching()
    fault = watch.refuse("image encoding 'bayer' is not known", 10.0)
    assert fault.name == 'wrong_camera'
    assert fault.reason == "camera wrist: image encoding 'bayer' is not known"
    assert watch.fault(10.01) == fault


@pytest.mark.parametrize('rate_hz', [5.0, 20.0, 30.0])
def test_the_measured_rate_is_the_real_one_and_fades(rate_hz):
    watch = watching()
    times = 10.0 + np.arange(40) / rate_hz
    for now in times:
        watch.add(now, picture(), now)
    assert watch.rate_hz(times[-1]) == pytest.approx(rate_hz)
    assert watch.rate_hz(times[-1] + 1.0) < rate_hz
    assert watch.rate_hz(times[-1] + 4.0) == 0.0
