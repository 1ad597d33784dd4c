"""Pairs of pictures of a moving hand, and the same with a shaken camera and a moved distractor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from univla_core.embodiment import load_embodiment
from univla_models.image_processor import ImageProcessor

from univla_training.recorded import picture_processor

#: First seed; evaluation, demonstrations and pointing have others.
FIRST_SEED = 70_000_000


@dataclass(frozen=True, kw_only=True)
class MotionPairs:
    """Scenes of one arm.

    Attributes:
        first: Before the hand moves, uint8, (n, side, side, 3).
        later: After it.
        disturbed: The same, seen by a shaken camera and with another cube moved.
        motion: Of the hand, in the base frame [m], (n, 3).
        instructions: What the hand set out for.
    """

    first: np.ndarray
    later: np.ndarray
    disturbed: np.ndarray
    motion: np.ndarray
    instructions: tuple[str, ...]


def draw_motion_pairs(
    robot: str,
    count: int,
    side: int,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> MotionPairs:
    """Draw random scenes of an arm, and move its hand some way towards a cube.

    The robot is put into place instead of driven there: only pictures count.

    Args:
        robot: An arm.
        count: Scenes.
        side: Of the pictures [px].
        seed: Of everything.
        progress: Told how many were drawn.
    """
    from univla_sim.disturbance import move_hand
    from univla_sim.disturbance import shake_camera
    from univla_sim.disturbance import shove
    from univla_sim.scene import COLORS
    from univla_sim.tasks import instruction_for
    from univla_sim.variation import Variation
    from univla_sim.world import World

    rng = np.random.default_rng([seed, FIRST_SEED])
    world, processor = World(load_embodiment(robot), task='reach'), picture_processor(side)
    pictures = np.empty((3, count, side, side, 3), dtype=np.uint8)
    motion, instructions = np.empty((count, 3)), []
    for number in range(count):
        world.reset(FIRST_SEED + int(rng.integers(10_000_000)), variation=Variation.training())
        named, other = rng.permutation(list(COLORS))[:2]
        instructions.append(instruction_for('reach', str(named)))
        pictures[0, number] = _seen(world, processor)
        motion[number] = move_hand(world, f'{named}_cube', rng)
        pictures[1, number] = _seen(world, processor)
        shake_camera(world, rng)
        shove(world, f'{other}_cube', rng)
        pictures[2, number] = _seen(world, processor)
        if progress is not None:
            progress(1)
    world.close()
    first, later, disturbed = pictures
    return MotionPairs(
        first=first,
        later=later,
        disturbed=disturbed,
        motion=motion,
        instructions=tuple(instructions),
    )


def _seen(world: Any, processor: ImageProcessor) -> np.ndarray:
    return processor.resize(world.render('primary'))
