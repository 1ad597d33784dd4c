"""Keys: what they ask for and, above all, when they stop asking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_ros.teleop.code_picker import CodePicker
from univla_ros.teleop.key_names import KeyDecoder
from univla_ros.teleop.keys import FIRST_S
from univla_ros.teleop.keys import RELEASE_S
from univla_ros.teleop.keys import KeyState
from univla_ros.teleop.keys import Request
from univla_ros.teleop.keys import Speeds

SPEEDS, LARGEST = Speeds(0.1, 0.5), Speeds(0.25, 1.0)
KEYS = [*'wsadqeoukijlghtcrxfp0123456789+- zZ?', 'escape', 'enter', 'up', 'left', 'backspace']


def arm(**options) -> KeyState:
    return KeyState('arm', SPEEDS, LARGEST, **{'gripper': True, **options})


def base() -> KeyState:
    return KeyState('base', SPEEDS, LARGEST)


@pytest.mark.parametrize(
    'key, twist',
    [
        ('w', [0.1, 0, 0, 0, 0, 0]),
        ('s', [-0.1, 0, 0, 0, 0, 0]),
        ('a', [0, 0.1, 0, 0, 0, 0]),
        ('d', [0, -0.1, 0, 0, 0, 0]),
        ('q', [0, 0, 0.1, 0, 0, 0]),
        ('e', [0, 0, -0.1, 0, 0, 0]),
        ('o', [0, 0, 0, 0.5, 0, 0]),
        ('u', [0, 0, 0, -0.5, 0, 0]),
        ('k', [0, 0, 0, 0, 0.5, 0]),
        ('i', [0, 0, 0, 0, -0.5, 0]),
        ('j', [0, 0, 0, 0, 0, 0.5]),
        ('l', [0, 0, 0, 0, 0, -0.5]),
    ],
)
def test_each_key_moves_one_axis_of_an_arm(key, twist):
    state = arm()
    assert state.press(key, 0.0) is None
    assert np.allclose(state.intent(0.01).twist, twist)


@pytest.mark.parametrize('key, twist', [('w', [0.1, 0]), ('s', [-0.1, 0]), ('a', [0, 0.5])])
def test_a_base_drives_and_turns(key, twist):
    state = base()
    state.press(key, 0.0)
    assert np.allclose(state.intent(0.01).twist, twist)


@pytest.mark.parametrize('key', 'qeoukijlght')
def test_keys_of_an_arm_mean_nothing_to_a_base(key):
    state = base()
    state.press(key, 0.0)
    assert state.intent(0.01).twist is None


def test_nothing_is_published_before_the_first_key():
    assert arm().intent(0.0).twist is None


def test_a_tap_bridges_the_delay_of_the_keyboard_then_says_zero_once():
    """The repetition of a terminal begins after up to 0.5 s; until then the key counts as held."""
    state = arm()
    state.press('w', 0.0)
    assert state.intent(FIRST_S - 0.01).twist[0] == 0.1
    assert not state.intent(FIRST_S).twist.any()
    assert state.intent(FIRST_S + 0.03).twist is None


def test_a_held_key_stops_soon_after_its_last_repetition():
    """Press at 0, repetitions every 33 ms from 0.5 s to 2 s, then nothing."""
    state = arm()
    times = [0.0, *np.arange(0.5, 2.0, 0.033)]
    for time in times:
        state.press('w', time)
        assert state.intent(time + 0.03).twist[0] == 0.1
    assert state.intent(times[-1] + RELEASE_S - 0.01).twist[0] == 0.1
    assert not state.intent(times[-1] + RELEASE_S).twist.any()


def test_the_opposite_key_turns_round_at_once():
    state = arm()
    state.press('w', 0.0)
    state.press('s', 0.1)
    assert state.intent(0.11).twist[0] == -0.1


def test_another_axis_lets_the_first_one_run_out():
    """A terminal repeats one key only: the one before is soon gone, unless tapped again."""
    state = arm()
    state.press('w', 0.0)
    state.press('a', 0.1)
    assert np.allclose(state.intent(0.2).twist[:2], [0.1, 0.1])
    assert np.allclose(state.intent(0.1 + RELEASE_S).twist[:2], [0.0, 0.1])


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.floats(0.0, 0.3)), max_size=40))
def test_whatever_was_typed_ends_with_zero_and_silence(strokes):
    """The dead-man law: FIRST_S after the last key nothing moves any more."""
    state, now = arm(), 0.0
    for key, pause in strokes:
        now += pause
        state.press(key, now)
        intent = state.intent(now)
        assert intent.twist is None or np.isfinite(intent.twist).all()
    last = state.intent(now + FIRST_S + 1e-9)
    assert last.twist is None or not last.twist.any()
    assert last.opening is None and not last.codes
    final = state.intent(now + FIRST_S + 0.04)
    assert final.twist is None and final.opening is None and final.codes is None


@given(st.lists(st.sampled_from(KEYS), max_size=40))
def test_no_key_passes_the_largest_speed(strokes):
    state = arm()
    for key in strokes:
        state.press(key, 0.0)
        twist = state.intent(0.0).twist
        if twist is not None:
            assert np.abs(twist[:3]).max() <= LARGEST.linear
            assert np.abs(twist[3:]).max() <= LARGEST.angular


@pytest.mark.parametrize(
    'key, request_',
    [
        ('0', Request.IDLE),
        ('1', Request.POLICY),
        ('2', Request.TELEOP),
        ('3', Request.HOLD),
        (' ', Request.HOLD),
        ('x', Request.ESTOP),
        ('X', Request.ESTOP),
        ('escape', Request.ESTOP),
        ('r', Request.RESET),
    ],
)
def test_keys_ask_for_modes(key, request_):
    assert arm().press(key, 0.0) is request_


@pytest.mark.parametrize('key', [' ', 'x', 'escape', '0', '3'])
def test_a_stopping_key_also_ends_motion_at_once(key):
    state = arm()
    state.press('w', 0.0)
    assert state.intent(0.05).twist.any()
    state.press(key, 0.1)
    assert not state.intent(0.11).twist.any()
    assert state.intent(0.14).twist is None


@pytest.mark.parametrize('key', [' ', 'x', 'escape'])
def test_a_stopping_key_ends_following_a_code(key):
    state = arm()
    state.press('c', 0.0)
    state.press('f', 0.0)
    assert state.intent(0.05).codes == (0,)
    assert state.press(key, 0.1) in (Request.HOLD, Request.ESTOP)
    assert state.intent(0.11).codes == ()
    assert state.intent(0.14).codes is None


def test_the_gripper_key_keeps_the_arm_still():
    """The operator is in charge while holding it, and the arm is not to move."""
    state = arm()
    state.press('g', 0.0)
    intent = state.intent(0.01)
    assert intent.opening == 1.0 and not intent.twist.any()
    state.press('h', 0.1)
    assert state.intent(0.11).opening == 0.0
    assert state.intent(0.1 + FIRST_S).opening is None


def test_a_robot_without_gripper_ignores_its_keys():
    state = arm(gripper=False)
    state.press('g', 0.0)
    assert state.intent(0.01).opening is None


def test_plus_and_minus_change_both_speeds_between_bounds():
    state = arm()
    state.press('+', 0.0)
    assert state.speeds == Speeds(0.125, 0.625)
    for _ in range(20):
        state.press('+', 0.0)
    assert state.speeds == LARGEST
    for _ in range(40):
        state.press('-', 0.0)
    assert state.speeds == Speeds(pytest.approx(0.005), pytest.approx(0.02))


def test_t_changes_the_frame_and_stops():
    """The same key would suddenly mean another direction."""
    state = arm()
    state.press('w', 0.0)
    assert state.intent(0.05).twist.any()
    state.press('t', 0.1)
    assert state.tool and not state.intent(0.11).twist.any()


def test_in_code_mode_f_follows_the_chosen_code_while_it_is_held():
    state = arm()
    for key in ('c', '1', '2', 'enter'):
        assert state.press(key, 0.0) is None
    assert state.intent(0.0).codes is None
    state.press('f', 1.0)
    assert state.intent(1.5).codes == (12,)
    assert state.intent(1.5).twist is None
    state.press('f', 1.55)
    assert state.intent(1.75).codes == (12,)
    assert state.intent(1.55 + RELEASE_S).codes == ()  # lets go, once
    assert state.intent(1.55 + RELEASE_S + 0.03).codes is None


def test_motion_keys_do_nothing_in_code_mode_but_explain():
    state = arm()
    state.press('c', 0.0)
    state.press('w', 0.0)
    assert state.intent(0.01).twist is None
    assert 'c goes back' in state.note


def test_digits_are_modes_again_after_code_mode():
    state = arm()
    state.press('c', 0.0)
    assert state.press('2', 0.0) is None
    state.press('c', 0.0)
    assert state.press('2', 0.0) is Request.TELEOP


def picked(*keys: str, count: int = 16, positions: int = 4) -> CodePicker:
    picker = CodePicker(count, positions)
    for key in keys:
        picker.press(key)
    return picker


def test_one_entry_stands_for_all_positions():
    assert picked('7', 'enter').message() == (7,)


def test_arrows_go_round_the_vocabulary():
    assert picked('up').message() == (1,)
    assert picked('down').message() == (15,)
    assert picked('1', '5', 'enter', 'up').message() == (0,)


def test_each_position_can_have_its_own_code():
    """p goes to single positions, arrows right and left move between them."""
    picker = picked('p', '3', 'enter', 'right', '5', 'enter', 'left', 'left', 'down')
    assert picker.cursor == 3
    assert picker.message() == (3, 5, 0, 15)
    picker.press('p')
    assert picker.message() == (15,)


def test_a_code_outside_the_vocabulary_is_refused():
    picker = CodePicker(16, 4)
    picker.press('1')
    picker.press('6')
    assert picker.press('enter') == 'no code 16: they run from 0 to 15'
    assert picker.message() == (0,)


def test_typed_digits_can_be_taken_back():
    assert picked('1', '2', 'backspace', 'enter').message() == (1,)
    assert picked('1', 'up', 'enter').message() == (1,)  # the arrow drops what was typed


def test_the_number_of_positions_comes_from_the_policy():
    picker = picked('p', '3', 'enter', 'left')
    assert picker.cursor == 3
    picker.set_positions(2)
    assert len(picker.message()) == 2 and picker.cursor == 1
    picker.set_positions(0)
    assert len(picker.codes) == 2


@given(st.lists(st.sampled_from(KEYS), max_size=40), st.integers(1, 40), st.integers(1, 8))
def test_picked_codes_lie_in_the_vocabulary(strokes, count, positions):
    message = picked(*strokes, count=count, positions=positions).message()
    assert len(message) in (1, positions)
    assert all(0 <= code < count for code in message)


def decoded(*pieces: bytes) -> list[str]:
    decoder = KeyDecoder()
    keys = [key for i, piece in enumerate(pieces) for key in decoder.feed(piece, 0.01 * i)]
    return keys + decoder.flush(10.0)


@pytest.mark.parametrize(
    'pieces, keys',
    [
        ((b'ws',), ['w', 's']),
        ((b'\x1b[A\x1b[B\x1b[C\x1bOD',), ['up', 'down', 'right', 'left']),
        ((b'\x1b[', b'A'), ['up']),
        ((b'\x1b',), ['escape']),
        ((b'\x1b\x1b',), ['escape', 'escape']),
        ((b'\x1bw',), ['escape', 'w']),
        ((b'\x1b[',), ['escape']),
        ((b'\x1b[15~w',), ['w']),
        ((b'\x1b[1;2Aw',), ['w']),
        ((b'\r\n\x7f',), ['enter', 'enter', 'backspace']),
        ((b'\x00\x01\t',), []),
        ((b' ',), [' ']),
    ],
)
def test_bytes_of_a_terminal_become_keys(pieces, keys):
    assert decoded(*pieces) == keys


def test_a_lone_escape_is_known_after_a_moment():
    decoder = KeyDecoder()
    assert decoder.feed(b'\x1b', 0.0) == []
    assert decoder.feed(b'', 0.01) == []  # asking again must not put it off
    assert decoder.flush(0.01) == []
    assert decoder.feed(b'', 0.055) == []
    assert decoder.flush(0.06) == ['escape']
    assert decoder.flush(0.2) == []


@given(st.binary(max_size=60))
def test_any_bytes_are_survived(data):
    decoder = KeyDecoder()
    keys = decoder.feed(data, 0.0) + decoder.flush(1.0)
    assert all(key and key.isprintable() for key in keys)
