"""The FR3's bound on a stop, against dense samples of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from univla_control.braking import brake_phases
from univla_control.braking import sample_stops
from univla_control.velocity_curve import VelocityCurve
from univla_core.embodiment import load_embodiment

LIMITS = load_embodiment('franka').limits


def curve(axis: int) -> VelocityCurve:
    return VelocityCurve.of(LIMITS.velocity_bound, axis, 1.0)


def samples(axis, p, v, a):
    """Positions, velocities of the quickest stop and what the curve allows there."""
    phases = brake_phases(v, a, LIMITS.acceleration[axis], LIMITS.jerk[axis])
    times = np.linspace(0.0, sum(duration for duration, _ in phases), 4000)
    places, speeds = sample_stops([(p, v, a)], [phases], times)
    bound = LIMITS.velocity_bound
    up = bound.share * np.maximum(
        0.0,
        np.sqrt(bound.gain[axis] * np.maximum(0.0, bound.upper_end[axis] - places))
        - bound.offset[axis],
    )
    down = bound.share * np.maximum(
        0.0,
        np.sqrt(bound.gain[axis] * np.maximum(0.0, places - bound.lower_end[axis]))
        - bound.offset[axis],
    )
    return phases, np.minimum(up - speeds, speeds + down).min()


@settings(max_examples=300, deadline=None)
@given(
    axis=st.integers(0, 6),
    place=st.floats(0.0, 1.0),
    speed=st.floats(-1.0, 1.0),
    push=st.floats(-1.0, 1.0),
)
def test_a_stop_that_keeps_the_curve_is_under_it_everywhere(axis, place, speed, push):
    """Also the other way round, but for 20 ms of the tops, where the jerk is bounded by boxes."""
    p = LIMITS.lower[axis] + place * (LIMITS.upper[axis] - LIMITS.lower[axis])
    v, a = speed * LIMITS.velocity[axis], push * LIMITS.acceleration[axis]
    phases, room = samples(axis, p, v, a)
    keeps = curve(axis).keeps(p, v, a, phases)
    if keeps:
        assert room >= -1e-6
    elif room > 0.1:
        raise AssertionError(f'{room:.3f} rad/s of room were refused')


@settings(max_examples=100, deadline=None)
@given(axis=st.integers(0, 6), place=st.floats(0.0, 1.0), speed=st.floats(-1.0, 1.0))
def test_what_is_left_of_a_stop_keeps_the_curve_too(axis, place, speed):
    """The induction of the limiter: a judged stop stays judged while it is run."""
    p = LIMITS.lower[axis] + place * (LIMITS.upper[axis] - LIMITS.lower[axis])
    v = speed * LIMITS.velocity[axis]
    phases, _ = samples(axis, p, v, 0.0)
    if not curve(axis).keeps(p, v, 0.0, phases):
        return
    total = sum(duration for duration, _ in phases)
    for share in (0.2, 0.5, 0.9):
        left, rest, state = share * total, [], (p, v, 0.0)
        for duration, jerk in phases:
            done = min(left, duration)
            places, speeds = sample_stops([state], [((done, jerk),)], np.array([done]))
            state = (float(places[0, 0]), float(speeds[0, 0]), state[2] + jerk * done)
            left -= done
            rest.append((duration - done, jerk))
        assert curve(axis).keeps(*state, tuple(rest))


def test_the_curve_by_hand():
    """Joint 1 at 2.4 rad: 0.9 · (√(12 · 0.3501) − 0.3) = 1.5747."""
    joint = curve(0)
    assert abs(joint.up(2.4) - 1.5747) < 1e-4
    assert joint.down(-2.4) == joint.up(2.4)
    assert joint.allows(-2.4, 2.4, 1.57)
    assert not joint.allows(-2.4, 2.4, 1.58)
