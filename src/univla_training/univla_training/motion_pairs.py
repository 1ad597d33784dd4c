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
#: How far the hand goes towards the named cube, and aside of that way [m].
TOWARDS_M, ASIDE_M = (0.02, 0.10), 0.02
#: How far the camera shakes: way [m] and angle [rad] in any direction.
SHAKE_M, SHAKE_RAD = (0.005, 0.015), (0.005, 0.01)
#: How far a cube that nobody named is moved [m].
SHOVE_M = (0.03, 0.05)


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
        motion[number] = _move_hand(world, f'{named}_cube', rng)
        pictures[1, number] = _seen(world, processor)
        _shake(world, rng)
        _shove(world, f'{other}_cube', rng)
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


def _move_hand(world: Any, cube: str, rng: np.random.Generator) -> np.ndarray:
    """Put the hand nearer to a point above the cube; how far it went [m], (3,)."""
    import mujoco

    robot, before = world.embodiment, world.ee_pose
    way = world.objects()[cube][:3, 3] + (0.0, 0.0, 0.04) - before[:3, 3]
    way *= min(1.0, rng.uniform(*TOWARDS_M) / np.linalg.norm(way))
    goal = before.copy()
    goal[:3, 3] += way + rng.uniform(-ASIDE_M, ASIDE_M, 3)
    goal[2, 3] = max(goal[2, 3], 0.02)
    limits = robot.limits
    found = robot.chain.inverse(goal, world.joint_positions, limits.lower, limits.upper)
    for name, angle in zip(robot.axis_names, found.joints, strict=True):
        world.data.joint(name).qpos[0] = angle
    mujoco.mj_forward(world.model, world.data)
    return world.ee_pose[:3, 3] - before[:3, 3]


def _shake(world: Any, rng: np.random.Generator) -> None:
    """Move and turn the camera a little; the next reset takes it back."""
    import mujoco
    from univla_sim.variation import draw_vector

    camera = world.model.camera('primary')
    camera.pos[:] += draw_vector(rng, SHAKE_M)
    turn, turned = np.empty(4), np.empty(4)
    axis = draw_vector(rng, (1.0, 1.0))
    mujoco.mju_axisAngle2Quat(turn, axis, rng.uniform(*SHAKE_RAD))
    mujoco.mju_mulQuat(turned, camera.quat, turn)
    camera.quat[:] = turned


def _shove(world: Any, cube: str, rng: np.random.Generator) -> None:
    """Move a cube along the table."""
    import mujoco

    angle = rng.uniform(0.0, 2.0 * np.pi)
    place = world.model.joint(int(world.model.body(cube).jntadr[0])).qposadr[0]
    way = rng.uniform(*SHOVE_M) * np.array([np.cos(angle), np.sin(angle)])
    world.data.qpos[place : place + 2] += way
    mujoco.mj_forward(world.model, world.data)
