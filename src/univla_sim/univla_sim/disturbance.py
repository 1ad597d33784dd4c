"""Changes between two pictures: a hand that moved, a camera that shook, a cube that was shoved."""

from __future__ import annotations

import mujoco
import numpy as np

from univla_sim.variation import draw_vector
from univla_sim.world import World

#: How far the hand goes towards the named cube, and aside of that way [m].
TOWARDS_M, ASIDE_M = (0.02, 0.10), 0.02
#: How far the camera shakes: way [m] and angle [rad] in any direction.
SHAKE_M, SHAKE_RAD = (0.005, 0.015), (0.005, 0.01)
#: How far a cube that nobody named is moved [m].
SHOVE_M = (0.03, 0.05)


def move_hand(world: World, cube: str, rng: np.random.Generator) -> np.ndarray:
    """Put the hand nearer to a point above the cube; how far it went [m], (3,)."""
    robot, before = world.embodiment, world.ee_pose
    assert robot.chain is not None
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


def shake_camera(world: World, rng: np.random.Generator) -> None:
    """Move and turn the camera a little; the next reset takes it back."""
    camera = world.model.camera('primary')
    camera.pos[:] += draw_vector(rng, SHAKE_M)
    turn, turned = np.empty(4), np.empty(4)
    axis = draw_vector(rng, (1.0, 1.0))
    mujoco.mju_axisAngle2Quat(turn, axis, rng.uniform(*SHAKE_RAD))
    mujoco.mju_mulQuat(turned, camera.quat, turn)
    camera.quat[:] = turned


def shove(world: World, cube: str, rng: np.random.Generator) -> None:
    """Move a cube along the table."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    place = world.model.joint(int(world.model.body(cube).jntadr[0])).qposadr[0]
    way = rng.uniform(*SHOVE_M) * np.array([np.cos(angle), np.sin(angle)])
    world.data.qpos[place : place + 2] += way
    mujoco.mj_forward(world.model, world.data)
