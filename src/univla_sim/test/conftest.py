"""A direct driver for experts: rows to joint angles to servos, without a controller."""

import numpy as np
import pytest
from univla_core.poses import pose
from univla_core.poses import rotation_from_vector

_TICKS = 10


def _carry_out_arm(world, expert):
    """One step: the first row, spread over its 0.2 s; the others are planned anew anyway."""
    robot = world.embodiment
    row = expert.plan()[0]
    joints = world.joint_targets
    start = robot.chain.forward(joints)
    world.set_gripper_target(row[6])
    for tick in range(1, _TICKS + 1):
        share = tick / _TICKS
        target = pose(
            rotation_from_vector(share * row[3:6]) @ start[:3, :3], start[:3, 3] + share * row[:3]
        )
        joints = robot.chain.inverse(
            target, joints, robot.limits.lower, robot.limits.upper, iterations=5
        ).joints
        world.set_joint_targets(joints)
        world.step(expert.step_s / _TICKS)


def _carry_out_base(world, expert):
    world.set_twist(*expert.plan()[0])
    world.step(expert.step_s)


@pytest.fixture
def carry_out():
    """Let an expert act until it is finished; returns the steps it took, at most `most`."""

    def run(world, expert, most=150):
        one_step = _carry_out_base if world.embodiment.kind == 'base' else _carry_out_arm
        for step in range(most):
            if expert.finished:
                return step
            one_step(world, expert)
        return most

    return run


@pytest.fixture
def rng():
    return np.random.default_rng(0)
