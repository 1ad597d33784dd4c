"""Where a robot starts when its scene is varied."""

from __future__ import annotations

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError

from univla_sim.grasp import tool_down
from univla_sim.variation import Variation
from univla_sim.variation import draw_amount
from univla_sim.variation import draw_vector

#: Posture that varied arms start around.
READY = 'ready'

_TRIES = 40
# How far below the height for travelling an arm may start [m].
_BELOW_M = 0.01


def start_joints(
    embodiment: Embodiment, variation: Variation, rng: np.random.Generator
) -> np.ndarray:
    """Joint angles (n,) [rad] of an arm that points down somewhere around its posture `ready`.

    Places that the arm cannot reach are drawn anew. The height is kept inside the arm's
    `simulation.reach`, and not far below `simulation.cruise`, where it touches nothing.

    Raises:
        ConfigError: If the robot has no posture `ready`, or no drawn place can be reached.
    """
    ready = posture(embodiment, READY)
    assert embodiment.chain is not None
    middle = embodiment.chain.forward(ready)[:3, 3]
    cruise_z, _, highest = hand_room(embodiment)
    low, high = cruise_z - _BELOW_M, highest[2]
    for _ in range(_TRIES):
        place = middle.copy()
        place[:2] += draw_vector(rng, variation.start_shift_m, 2)
        place[2] = np.clip(place[2] + draw_amount(rng, variation.start_height_m), low, high)
        joints = pointing_down(embodiment, place)
        if joints is not None:
            return joints
    raise ConfigError(
        f'robot {embodiment.name!r} reaches none of {_TRIES} starting places; '
        'lessen start_shift_m and start_height_m of the variation'
    )


def pointing_down(
    embodiment: Embodiment, place: np.ndarray, yaw: float = 0.0
) -> np.ndarray | None:
    """Joint angles (n,) [rad] of an arm whose hand points down at a place (3,) [m].

    Returns:
        Angles near the posture `ready`, or None where the arm cannot do that.
    """
    assert embodiment.chain is not None
    ready, limits = posture(embodiment, READY), embodiment.limits
    goal = tool_down(embodiment, place, yaw)
    result = embodiment.chain.inverse(
        goal, ready, limits.lower, limits.upper, iterations=60, rest=ready
    )
    near = result.position_error < 1e-3 and result.rotation_error < 0.01
    return result.joints if near else None


def hand_room(embodiment: Embodiment) -> tuple[float, np.ndarray, np.ndarray]:
    """Height [m] at which a hand travels; lower and upper corner [m] of where it can point down.

    Raises:
        ConfigError: If the robot's YAML does not tell them.
    """
    simulation = embodiment.document['simulation']
    try:
        reach = np.array([simulation['reach'][axis] for axis in 'xyz'], dtype=float)
        return float(simulation['cruise']), reach[:, 0], reach[:, 1]
    except KeyError as error:
        raise ConfigError(
            f'robot {embodiment.name!r}: varied starts and experts need the key {error} of '
            'simulation; see docs/simulation.md'
        ) from error


def start_place(variation: Variation, rng: np.random.Generator) -> np.ndarray:
    """Where a base starts: x, y [m] and heading [rad], shape (3,)."""
    shift = draw_vector(rng, variation.start_shift_m, 2)
    return np.append(shift, draw_amount(rng, variation.start_turn_rad))


def posture(embodiment: Embodiment, name: str) -> np.ndarray:
    """Joint angles (n,) [rad] of a named posture.

    Raises:
        ConfigError: If the robot has no such posture; the known ones are listed.
    """
    if name not in embodiment.postures:
        raise ConfigError(
            f'robot {embodiment.name!r} has no posture {name!r}; '
            f'its YAML names {", ".join(embodiment.postures)}'
        )
    return embodiment.postures[name]
