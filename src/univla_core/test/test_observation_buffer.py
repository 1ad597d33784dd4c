"""The rules of a complete observation."""

import numpy as np
import pytest
from univla_core.errors import ObservationError
from univla_core.observation_buffer import ObservationBuffer

PICTURE = np.full((48, 64, 3), 7, dtype=np.uint8)


@pytest.fixture
def buffer():
    return ObservationBuffer({'primary': (64, 48), 'wrist': (64, 48)}, max_age_s=0.2)


def test_complete_observation_has_the_oldest_stamp(buffer):
    """Latency is counted from the oldest picture, not the luckiest."""
    buffer.add('primary', 10.00, PICTURE, now=10.0)
    buffer.add('wrist', 10.05, PICTURE, now=10.06)
    observation = buffer.observation('reach', now=10.1)
    assert observation.stamp == 10.00
    assert set(observation.images) == {'primary', 'wrist'}


def test_missing_camera_is_named(buffer):
    """Nothing is filled in for a camera that never spoke."""
    buffer.add('primary', 10.0, PICTURE, now=10.0)
    with pytest.raises(ObservationError, match='camera wrist'):
        buffer.observation('reach', now=10.0)


def test_one_stalled_camera_stops_the_observation(buffer):
    """A stall of one camera is found although the other goes on."""
    buffer.add('wrist', 10.0, PICTURE, now=10.0)
    buffer.add('primary', 10.3, PICTURE, now=10.3)
    with pytest.raises(ObservationError, match=r'camera wrist: newest picture is 0\.30 s old'):
        buffer.observation('reach', now=10.3)


def test_skewed_cameras_are_refused(buffer):
    """0.15 s apart is two different moments."""
    buffer.add('wrist', 10.0, PICTURE, now=10.0)
    buffer.add('primary', 10.15, PICTURE, now=10.15)
    with pytest.raises(ObservationError, match='behind the others'):
        buffer.observation('reach', now=10.15)


@pytest.mark.parametrize(
    ('stamp', 'image', 'message'),
    [
        (10.0, np.zeros((24, 64, 3), np.uint8), '64x24 pictures, expected 64x48'),
        (0.0, PICTURE, 'without a time stamp'),
        (11.0, PICTURE, 'in the future'),
    ],
)
def test_bad_pictures_are_refused(buffer, stamp, image, message):
    """Wrong size, no stamp, or a clock that runs ahead."""
    with pytest.raises(ObservationError, match=message):
        buffer.add('primary', stamp, image, now=10.0)


def test_empty_instruction_is_refused(buffer):
    """A robot without a task does not move."""
    for camera in buffer.sizes:
        buffer.add(camera, 10.0, PICTURE, now=10.0)
    with pytest.raises(ObservationError, match='instruction is empty'):
        buffer.observation('  ', now=10.0)


def test_clock_that_jumps_back_forgets_old_pictures(buffer):
    """Pictures from the old time line must not look fresh."""
    for camera in buffer.sizes:
        buffer.add(camera, 10.0, PICTURE, now=10.0)
    with pytest.raises(ObservationError, match='jumped backwards'):
        buffer.observation('reach', now=5.0)
    with pytest.raises(ObservationError, match='no picture'):
        buffer.observation('reach', now=10.0)
