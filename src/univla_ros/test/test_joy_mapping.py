"""Gamepads: what their messages mean, and that nothing moves without the dead-man button."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from univla_core.errors import ConfigError
from univla_ros.teleop.joy_mapping import JoyReader
from univla_ros.teleop.joy_mapping import joy_mapping
from univla_ros.teleop.joy_mapping import joy_mapping_names
from univla_ros.teleop.joy_mapping import load_joy_mapping

XBOX = load_joy_mapping('xbox')
LB, RB, A, B, X, Y, BACK, START = 4, 5, 0, 1, 2, 3, 6, 7
LEFT_X, LEFT_Y, LT, RIGHT_X, RIGHT_Y, RT = range(6)


def axes(**values: float) -> list[float]:
    """Eight axes; triggers rest at 1."""
    result = [0.0] * 8
    result[LT] = result[RT] = 1.0
    for name, value in values.items():
        result[int(name[1:])] = value
    return result


def buttons(*pressed: int) -> list[int]:
    return [int(i in pressed) for i in range(11)]


def reader(kind: str = 'arm') -> JoyReader:
    """A reader that has seen the gamepad at rest."""
    made = JoyReader(XBOX, kind)
    made.read(axes(), buttons())
    return made


@pytest.mark.parametrize('name', joy_mapping_names())
def test_every_file_maps_all_axes_of_both_kinds_and_the_stop(name):
    mapping = load_joy_mapping(name)
    assert set(mapping.motions['arm']) == {'x', 'y', 'z', 'rx', 'ry', 'rz'}
    assert set(mapping.motions['base']) == {'linear', 'angular'}
    assert {'estop', 'reset_estop', 'policy', 'teleop', 'hold'} <= set(mapping.events)


@pytest.mark.parametrize('name', joy_mapping_names())
def test_no_button_has_two_meanings(name):
    """Chords apart, a button that does two things at once surprises the operator."""
    mapping = load_joy_mapping(name)
    used = [mapping.deadman, mapping.turbo, mapping.opens, mapping.closes]
    used += [e.buttons[0] for e in mapping.events.values() if len(e.buttons) == 1]
    assert len(set(used)) == len(used)


def test_the_left_stick_moves_forward_and_left():
    asked = XBOX.read(axes(a1=1.0, a0=1.0), buttons(LB, RB), 'arm')
    assert asked.deadman
    assert np.allclose(asked.twist, [1, 1, 0, 0, 0, 0])


def test_turbo_doubles_the_speed():
    """Normal speed is half of the largest: 0.5; with RB all of it."""
    assert XBOX.read(axes(a1=1.0), buttons(LB), 'arm').twist[0] == 0.5
    assert XBOX.read(axes(a1=1.0), buttons(LB, RB), 'arm').twist[0] == 1.0


def test_a_slow_button_wins_over_turbo():
    mapping = joy_mapping(
        {'deadman': 4, 'turbo': 5, 'slow': 9, 'scale': {'slow': 0.1}, 'arm': {'x': {'axis': 1}}},
        'pad.yaml',
    )
    assert mapping.read(axes(a1=1.0), buttons(LB, RB, 9), 'arm').twist[0] == pytest.approx(0.1)


def test_the_dead_band_leads_on_without_a_step():
    """0.1 is still zero; just beyond it the speed begins at zero: (0.55 - 0.1) / 0.9 = 0.5."""
    held = buttons(LB, RB)
    assert XBOX.read(axes(a1=0.1), held, 'arm').twist[0] == 0.0
    assert XBOX.read(axes(a1=0.55), held, 'arm').twist[0] == pytest.approx(0.5)
    assert XBOX.read(axes(a1=-0.55), held, 'arm').twist[0] == pytest.approx(-0.5)


def test_triggers_lift_and_lower():
    assert XBOX.read(axes(a5=-1.0), buttons(LB, RB), 'arm').twist[2] == 1.0
    assert XBOX.read(axes(a2=-1.0), buttons(LB, RB), 'arm').twist[2] == -1.0


def test_triggers_that_were_never_touched_move_nothing():
    """Drivers report them as 0 until then, which would read as half pressed."""
    untouched = [0.0] * 8
    assert not XBOX.read(untouched, buttons(LB, RB), 'arm').twist.any()
    pad = JoyReader(XBOX, 'arm')
    pad.read(untouched, buttons())
    assert not pad.read(untouched, buttons(LB, RB)).twist.any()


def test_a_touched_trigger_at_zero_is_half_pressed():
    """Half pressed: 0.5, beyond the dead-band (0.5 - 0.1) / 0.9."""
    pad = reader()
    assert pad.read(axes(a5=0.0), buttons(LB, RB)).twist[2] == pytest.approx(0.4 / 0.9)


def test_a_base_gets_two_axes():
    asked = XBOX.read(axes(a1=1.0, a0=-1.0), buttons(LB, RB), 'base')
    assert np.allclose(asked.twist, [1.0, -1.0])


def test_two_buttons_drive_the_gripper():
    assert XBOX.read(axes(), buttons(LB, X), 'arm').gripper == 1.0
    assert XBOX.read(axes(), buttons(LB, A), 'arm').gripper == 0.0
    assert XBOX.read(axes(), buttons(LB, A, X), 'arm').gripper is None
    assert XBOX.read(axes(), buttons(X), 'arm').gripper is None


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(
    st.lists(NUMBERS, max_size=12),
    st.lists(st.integers(0, 1), max_size=12),
    st.sampled_from(joy_mapping_names()),
    st.sampled_from(['arm', 'base']),
)
def test_any_message_gives_shares_and_none_without_the_dead_man(values, pressed, name, kind):
    asked = load_joy_mapping(name).read(values, pressed, kind)
    assert np.isfinite(asked.twist).all()
    assert np.abs(asked.twist).max() <= 1.0
    if not asked.deadman:
        assert not asked.twist.any() and asked.gripper is None
    if asked.problem:
        assert not asked.deadman


@pytest.mark.parametrize(
    'values, pressed, words',
    [
        (axes(a1=math.nan), buttons(LB), 'no number'),
        (axes(a7=math.inf), buttons(LB), 'no number'),
        (axes()[:3], buttons(LB), 'needs 7 and 6'),
        (axes(), buttons(LB)[:3], '3 buttons'),
    ],
)
def test_an_unusable_message_says_why_and_moves_nothing(values, pressed, words):
    asked = XBOX.read(values, pressed, 'arm')
    assert words in asked.problem
    assert not asked.deadman and not asked.twist.any()


def test_after_an_unusable_message_the_dead_man_must_be_pressed_anew():
    pad = reader()
    assert pad.read(axes(a1=1.0), buttons(LB)).deadman
    pad.read(axes(a1=math.nan), buttons(LB))
    assert not pad.read(axes(a1=1.0), buttons(LB)).deadman
    pad.read(axes(a1=1.0), buttons())
    assert pad.read(axes(a1=1.0), buttons(LB)).deadman


def test_a_dead_man_held_from_the_start_does_not_count():
    """A stuck button, or one lying under a book, must not hand over the robot."""
    pad = JoyReader(XBOX, 'arm')
    asked = pad.read(axes(a1=1.0), buttons(LB))
    assert not asked.deadman and not asked.twist.any()


def test_an_event_fires_once_per_press():
    pad = reader()
    seen = [pad.read(axes(), buttons(*p)).events for p in ([Y], [Y], [], [Y])]
    assert seen == [('teleop',), (), (), ('teleop',)]


def test_what_is_held_from_the_start_fires_nothing_but_the_stop():
    assert JoyReader(XBOX, 'arm').read(axes(), buttons(START)).events == ()
    assert JoyReader(XBOX, 'arm').read(axes(), buttons(B)).events == ('estop',)


def test_a_stop_is_heard_without_the_dead_man_and_in_a_broken_message():
    pad = reader()
    assert pad.read(axes(a0=math.nan), buttons(B)).events == ('estop',)
    assert pad.read(axes(a0=math.nan), buttons(B)).events == ()


def test_the_chord_resets_and_never_starts_the_policy():
    """Back and Start together; Start alone would hand over to the policy."""
    pad = reader()
    presses = ([BACK], [BACK, START], [START], [])
    seen = [pad.read(axes(), buttons(*p)).events for p in presses]
    assert seen == [('hold',), ('reset_estop',), (), ()]
    assert reader().read(axes(), buttons(BACK, START)).events == ('reset_estop',)


def test_the_d_pad_starts_and_stops_a_recording():
    pad = reader()
    assert pad.read(axes(a7=1.0), buttons()).events == ('record_start',)
    assert pad.read(axes(a7=-1.0), buttons()).events == ('record_stop',)


@pytest.mark.parametrize(
    'change, words',
    [
        ({'dead_man': 4}, 'unknown key dead_man'),
        ({'deadman': None}, 'deadman is None'),
        ({'turbo': 'RB'}, "turbo is 'RB'"),
        ({'turbo': 4}, 'button 4 is the dead-man button and something else'),
        ({'deadband': 2.0}, r'must lie in \[0, 0.9\]'),
        ({'scale': {'fast': 1.0}}, 'unknown key fast'),
        ({'scale': {'turbo': 3.0}}, r'scale.turbo is 3.0; it must lie in \[0, 1.0\]'),
        ({'arm': {'roll': {'axis': 1}}}, 'unknown key roll'),
        ({'arm': {'x': {'axis': -1}}}, 'arm.x.axis is -1'),
        ({'arm': {'x': {'stick': 1}}}, 'arm.x is .* write {axis: 1}'),
        ({'arm': {'z': {'triggers': [5]}}}, 'write two numbers'),
        ({'arm': {'z': {'triggers': [5, 2], 'released': 0.0, 'pressed': 0.0}}}, 'must differ'),
        ({'arm': [1, 2]}, 'arm is'),
        ({'events': {'stop': 1}}, 'unknown key stop'),
        ({'events': {'estop': []}}, 'names no button'),
        ({'events': {'estop': {'axis': 7, 'side': 2}}}, 'write {axis: 7, side: 1}'),
    ],
)
def test_a_wrong_file_is_refused_with_words(tmp_path, change, words):
    path = tmp_path / 'pad.yaml'
    path.write_text(yaml.safe_dump({'deadman': 4, **change}))
    with pytest.raises(ConfigError, match=words) as caught:
        load_joy_mapping(path)
    assert 'pad.yaml' in str(caught.value)


def test_an_unknown_gamepad_lists_the_known_ones():
    with pytest.raises(ConfigError, match='known are generic, ps5, xbox'):
        load_joy_mapping('nintendo')
