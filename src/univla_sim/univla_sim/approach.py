"""Ways of a hand that points down: over everything at a safe height, then straight down."""

from __future__ import annotations

import numpy as np

#: Longest way of the hand in one step [m].
STEP_M = 0.035
#: Largest change of that way from one step to the next [m]. More would make an arm lag behind
#: whose joints may change their acceleration only slowly.
RAMP_M = 0.012
#: Below this distance sidewards the hand may go all the way down [m].
_AIMED_M = 0.009
# The hand may be this much higher for each metre that it is off to the side.
_STEEPNESS = 6.0
# So much too low, it no longer moves sidewards [m].
_TOO_LOW_M = 0.03
_EASY_M = 0.008
# Share of the way left that one step takes at most.
_LAST_SHARE = 0.7


def funnel_step(hand: np.ndarray, goal: np.ndarray, cruise_z: float) -> np.ndarray:
    """Way (3,) [m] of one step to a goal that may only be entered from above.

    The heights allowed form a funnel above the goal, up to the height for travelling. A hand that
    is lower rises first and then moves sidewards, so it never sweeps over the table.

    Args:
        hand: Where the hand is [m], shape (3,).
        goal: Where it shall be [m], shape (3,).
        cruise_z: Height for travelling [m].
    """
    aside = goal[:2] - hand[:2]
    off = float(np.linalg.norm(aside))
    floor = goal[2] + min(
        _STEEPNESS * max(0.0, off - _AIMED_M), max(0.0, cruise_z - float(goal[2]))
    )
    rise = floor - float(hand[2])
    share = 1.0 - min(max((rise - _EASY_M) / _TOO_LOW_M, 0.0), 1.0)
    way = np.append(share * slowing(aside), slowing(np.array([rise])))
    return bounded(way, STEP_M)


def slowing(way: np.ndarray, longest: float = STEP_M) -> np.ndarray:
    """The part of a way [m] that one step takes, so that the hand comes to rest at its end."""
    left = float(np.linalg.norm(way))
    ramp = 0.8 * RAMP_M
    # n steps that get shorter by `ramp` each, the first of length s, lead s (s + ramp) / 2 ramp.
    stopping = np.sqrt(0.25 * ramp**2 + 2.0 * ramp * left) - 0.5 * ramp
    return bounded(way, min(longest, float(stopping), _LAST_SHARE * left))


def ramped(way: np.ndarray, before: np.ndarray) -> np.ndarray:
    """A way (3,) [m], not too different from that of the step before."""
    return before + bounded(way - before, RAMP_M)


def above(point: np.ndarray, height: float) -> np.ndarray:
    """The point (3,) [m] at a height [m] over another one, under it for a height below 0."""
    return point + np.array([0.0, 0.0, height])


def bounded(way: np.ndarray, longest: float) -> np.ndarray:
    """A vector, shortened to a length where it is longer."""
    length = float(np.linalg.norm(way))
    return way if length <= longest else way * (longest / length)
