"""Joints do not jump; robots that were carried elsewhere are believed in the end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_core.jump_watch import JumpWatch

NAMES = ('waist', 'elbow')
VELOCITY = np.array([3.0, 1.0])  # twice of it and 0.1: 0.22 and 0.14 rad in 20 ms
PERIOD = 0.02


def watching():
    watch = JumpWatch(NAMES, VELOCITY)
    assert watch.check(10.0, np.array([0.5, -0.5])) == ('', False)
    return watch


def test_the_first_measurement_is_believed():
    watching()


@pytest.mark.parametrize(
    ('positions', 'joint'),
    [
        ([0.5 + 0.21, -0.5], ''),
        ([0.5 + 0.23, -0.5], 'waist moved by 0.23'),
        ([0.5, -0.5 - 0.13], ''),
        ([0.5, -0.5 - 0.15], 'elbow moved by 0.15'),
        ([-0.5, 0.5], 'mix up the order'),
    ],
)
def test_a_joint_is_as_fast_as_the_maker_says_with_some_slack(positions, joint):
    reason, believed = watching().check(10.0 + PERIOD, np.array(positions))
    assert not believed
    assert joint in reason and bool(joint) == bool(reason)


def test_what_may_happen_in_a_long_silence_is_no_jump():
    assert watching().check(11.0, np.array([3.0, 0.8])) == ('', False)


def test_three_that_agree_are_believed_as_a_jump():
    watch = watching()
    elsewhere = np.array([2.5, 1.0])
    assert watch.check(10.02, elsewhere)[0]
    assert watch.check(10.04, elsewhere + 0.01)[0]
    assert watch.check(10.06, elsewhere + 0.02) == ('', True)
    assert watch.check(10.08, elsewhere + 0.03) == ('', False)


def test_measurements_that_contradict_each_other_are_never_believed():
    watch = watching()
    for index in range(1, 30):
        place = np.array([2.0, 0.5]) * (-1) ** index
        assert watch.check(10.0 + PERIOD * index, place)[0]


def test_good_ones_between_bad_ones_keep_their_word():
    """Two drivers, one of which mixes up the order: only the one that began is heard."""
    watch = watching()
    for index in range(1, 20):
        mixed = index % 2
        place = np.array([-0.5, 0.5]) if mixed else np.array([0.5, -0.5])
        reason, believed = watch.check(10.0 + PERIOD * index, place)
        assert bool(reason) == bool(mixed) and not believed


def test_a_clock_that_was_set_back_is_believed_after_three():
    watch = watching()
    here = np.array([0.5, -0.5])
    assert '5.00 s earlier' in watch.check(5.0, here)[0]
    assert watch.check(5.02, here)[0]
    assert watch.check(5.04, here) == ('', True)


@given(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=50), st.floats(0.002, 0.1))
def test_motion_within_the_makers_velocity_never_jumps(shares, period):
    watch, place = JumpWatch(NAMES, VELOCITY), np.zeros(2)
    for index, share in enumerate(shares):
        place = place + share * VELOCITY * period
        assert watch.check(index * period, place) == ('', False)
