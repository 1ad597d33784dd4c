"""The kernel's joystick events, as `/dev/input/js*` gives them."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_core.errors import ConfigError
from univla_ros.teleop.gamepad import Gamepad
from univla_ros.teleop.joy_mapping import JoyReader
from univla_ros.teleop.joy_mapping import load_joy_mapping
from univla_ros.teleop.js_event import JoystickState

AXIS, BUTTON, INIT = 0x02, 0x01, 0x80


def event(kind: int, number: int, value: int) -> bytes:
    return struct.pack('<IhBB', 1234, value, kind, number)


def test_an_event_of_eight_bytes_worked_out_by_hand():
    """Time 0, value -32767 (0x8001), axis, number 1: the stick is pushed fully forward."""
    state = JoystickState()
    assert state.feed(bytes([0, 0, 0, 0, 0x01, 0x80, 0x02, 0x01])) == 1
    assert state.axes == [0.0, 1.0]


def test_left_and_up_are_positive():
    """The kernel counts right and down as positive, Joy the other way."""
    state = JoystickState()
    state.feed(event(AXIS, 0, 32767) + event(AXIS, 1, -32768))
    assert state.axes == [-1.0, 1.0]


def test_init_events_tell_how_many_there_are():
    state = JoystickState()
    state.feed(event(INIT | AXIS, 7, 0) + event(INIT | BUTTON, 10, 0))
    assert state.axes == [0.0] * 8 and state.buttons == [0] * 11


def test_buttons_are_pressed_and_released():
    state = JoystickState()
    state.feed(event(BUTTON, 2, 1))
    assert state.buttons == [0, 0, 1]
    state.feed(event(BUTTON, 2, 0))
    assert state.buttons == [0, 0, 0]


@given(st.binary(max_size=400), st.lists(st.integers(1, 40), max_size=20))
def test_pieces_of_any_length_give_the_same_state(data, cuts):
    """A read may end in the middle of an event."""
    whole, pieces = JoystickState(), JoystickState()
    whole.feed(data)
    rest = data
    for cut in cuts:
        pieces.feed(rest[:cut])
        rest = rest[cut:]
    pieces.feed(rest)
    assert (pieces.axes, pieces.buttons) == (whole.axes, whole.buttons)
    assert all(-1.0 <= value <= 1.0 for value in whole.axes)
    assert set(whole.buttons) <= {0, 1}
    assert len(whole.axes) <= 64 and len(whole.buttons) <= 64


@pytest.fixture
def device(tmp_path):
    """A named pipe in place of the device, and its writing end."""
    path = tmp_path / 'js0'
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    yield path, writer
    os.close(writer)


def test_a_gamepad_is_read_without_waiting(device):
    path, kernel = device
    gamepad = Gamepad(path)
    gamepad.poll()
    assert gamepad.axes == [] and gamepad.problem == ''
    os.write(kernel, event(AXIS, 0, -32767) + event(BUTTON, 1, 1))
    gamepad.poll()
    assert gamepad.axes == [1.0] and gamepad.buttons == [0, 1]
    gamepad.close()


def test_a_gamepad_that_is_gone_holds_nothing(tmp_path):
    """Unplugged with the dead-man held: nobody holds it any more."""
    path = tmp_path / 'js0'
    path.write_bytes(event(AXIS, 0, -32767) + event(BUTTON, 4, 1))  # ends after two events
    gamepad = Gamepad(path)
    gamepad.poll()
    assert 'is gone' in gamepad.problem
    assert gamepad.axes == [0.0] and gamepad.buttons == [0] * 5
    gamepad.close()


def test_no_gamepad_is_told_with_what_there_is(tmp_path):
    with pytest.raises(ConfigError, match=r'js7: No such file.*found .*Plug it in'):
        Gamepad(tmp_path / 'js7')


def test_the_xbox_mapping_reads_what_the_kernel_tells():
    """From kernel events to motion: LB and RB held, left stick forward, right trigger pulled."""
    state = JoystickState()
    rest = [event(INIT | AXIS, i, -32767 if i in (2, 5) else 0) for i in range(8)]
    state.feed(b''.join(rest + [event(INIT | BUTTON, i, 0) for i in range(11)]))
    reader = JoyReader(load_joy_mapping('xbox'), 'arm')
    assert not reader.read(state.axes, state.buttons).deadman
    state.feed(event(BUTTON, 4, 1) + event(BUTTON, 5, 1))
    assert not reader.read(state.axes, state.buttons).twist.any()
    state.feed(event(AXIS, 1, -32767) + event(AXIS, 5, 32767))
    asked = reader.read(state.axes, state.buttons)
    assert asked.deadman and list(asked.twist) == [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
