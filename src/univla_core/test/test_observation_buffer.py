"""The rules of a complete observation."""

import re

import numpy as np
import pytest
from univla_core.camera_watch import CameraRules
from univla_core.embodiment import Camera
from univla_core.errors import ObservationError
from univla_core.observation_buffer import ObservationBuffer

RNG = np.random.default_rng(0)


def picture():
    return RNG.integers(0, 255, (48, 64, 3), dtype=np.uint8)


def camera(name, rate_hz=15.0):
    return Camera(name=name, width=64, height=48, rate_hz=rate_hz, simulation={})


@pytest.fixture
def buffer():
    return ObservationBuffer({n: camera(n) for n in ('primary', 'wrist')}, CameraRules())


def test_complete_observation_has_the_oldest_stamp(buffer):
    """Latency is counted from the oldest picture, not the luckiest."""
    buffer.add('primary', 10.00, picture(), now=10.0)
    buffer.add('wrist', 10.05, picture(), now=10.06)
    assert buffer.fault(now=10.1) is None
    observation = buffer.observation('reach', now=10.1)
    assert observation.stamp == 10.00
    assert set(observation.images) == {'primary', 'wrist'}


def test_missing_camera_is_named(buffer):
    """Nothing is filled in for a camera that never spoke."""
    buffer.add('primary', 10.0, picture(), now=10.0)
    assert buffer.fault(now=10.0).name == 'missing_camera'
    with pytest.raises(ObservationError, match='camera wrist'):
        buffer.observation('reach', now=10.0)


def test_one_stalled_camera_stops_the_observation(buffer):
    """A stall of one camera is found although the other goes on."""
    buffer.add('wrist', 10.0, picture(), now=10.0)
    buffer.add('primary', 10.3, picture(), now=10.3)
    assert buffer.fault(now=10.3).name == 'stale_camera'
    with pytest.raises(ObservationError, match=r'no picture from camera wrist for 0\.30 s'):
        buffer.observation('reach', now=10.3)


def test_every_camera_at_fault_is_named(buffer):
    buffer.add('primary', 10.0, np.zeros((48, 64, 3), np.uint8), now=10.0)
    fault = buffer.fault(now=10.0)
    assert fault.name == 'black_camera'
    assert 'camera primary is black' in fault.reason
    assert 'no picture from camera wrist' in fault.reason


def test_skewed_cameras_are_refused(buffer):
    """Both come in time, but their stamps tell of moments 0.15 s apart."""
    buffer.add('wrist', 9.85, picture(), now=10.0)
    buffer.add('primary', 10.0, picture(), now=10.0)
    assert buffer.fault(now=10.0).name == 'camera_skew'
    with pytest.raises(ObservationError, match=r'camera wrist is 0\.15 s behind the others'):
        buffer.observation('reach', now=10.0)


def test_a_slower_camera_may_lie_behind_by_its_own_period():
    """Beside 30 Hz, a 5 Hz camera is 0.2 s behind just before its next picture."""
    cameras = {'fast': camera('fast', 30.0), 'slow': camera('slow', 5.0)}
    buffer = ObservationBuffer(cameras, CameraRules())
    buffer.add('slow', 10.0, picture(), now=10.0)
    buffer.add('fast', 10.2, picture(), now=10.2)
    assert buffer.fault(now=10.2) is None


def test_empty_instruction_is_refused(buffer):
    """A robot without a task does not move, unless a person picks its codes."""
    for name in buffer.watches:
        buffer.add(name, 10.0, picture(), now=10.0)
    with pytest.raises(ObservationError, match='instruction is empty'):
        buffer.observation('  ', now=10.0)
    assert buffer.observation('', now=10.0, needs_instruction=False).instruction == ''


@pytest.mark.parametrize('jump', [-5.0, 5.0])
def test_a_clock_that_jumps_forgets_old_pictures(buffer, jump):
    """Pictures from the old time line must not look fresh; the new ones end the fault."""
    buffer.tick(10.0, 1.0)
    for name in buffer.watches:
        buffer.add(name, 10.0, picture(), now=10.0)
    buffer.tick(10.01 + jump, 1.01)
    now = 10.02 + jump
    assert buffer.fault(now).name == 'clock_jump'
    with pytest.raises(ObservationError, match=re.escape(f'clock jumped by {jump:+.2f} s')):
        buffer.observation('reach', now)
    buffer.add('primary', now, picture(), now)
    assert buffer.fault(now).name == 'clock_jump'
    buffer.add('wrist', now, picture(), now)
    assert buffer.fault(now) is None


def test_a_fresh_start_remembers_no_picture(buffer):
    for name in buffer.watches:
        buffer.add(name, 10.0, picture(), now=10.0)
    buffer.forget()
    assert buffer.fault(now=10.0).name == 'missing_camera'
