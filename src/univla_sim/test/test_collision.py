"""Distances between the parts of an arm, and which postures are free."""

import dataclasses

import mujoco
import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_sim.collision import FAR
from univla_sim.collision import CollisionGeometry
from univla_sim.grasp import tool_down
from univla_sim.mjcf import robot_mjcf

ARMS = tuple(name for name in robot_names() if load_embodiment(name).kind == 'arm')
#: What the envelope asks for on top of `clearance` [m]; `univla_control.envelope.MARGIN`.
MARGIN = 0.002


@pytest.mark.parametrize('name', ARMS)
def test_the_named_postures_are_free(name):
    """But for the WidowX's sleep, in which the arm rests on itself, 1 mm apart."""
    robot = load_embodiment(name)
    for posture, joints in robot.postures.items():
        distance, pair = CollisionGeometry(robot).nearest(joints[None])
        needed = 1e-4 if posture == 'sleep' else robot.cartesian.clearance + MARGIN
        assert distance[0] > needed, f'{posture}: {pair[0]}'


@pytest.mark.parametrize('name', ARMS)
def test_grasps_in_the_whole_workspace_of_the_simulation_are_free(name):
    """A hand that points down, 0.02 m above the table, where it grasps a cube of 0.04 m."""
    robot = load_embodiment(name)
    x, y = (robot.document['simulation']['workspace'][axis] for axis in 'xy')
    grasps = []
    for point in [(a, b, 0.02) for a in np.linspace(*x, 4) for b in np.linspace(*y, 4)]:
        for yaw in (-0.25, 0.25):
            target = tool_down(robot, point, yaw)
            limits = robot.limits
            found = robot.chain.inverse(
                target, robot.home, limits.lower, limits.upper, iterations=200
            )
            assert found.position_error < 1e-3
            grasps.append(found.joints)
    distances, pairs = CollisionGeometry(robot).nearest(np.array(grasps))
    worst = int(distances.argmin())
    assert distances[worst] >= robot.cartesian.clearance + MARGIN, pairs[worst]


def test_the_distance_to_the_floor_by_hand():
    """Fingertips of the FR3 reach 0.1129 from the hand, 9.5 mm beyond its frame between them."""
    robot = load_embodiment('franka')
    target = tool_down(robot, (0.5, 0.0, 0.03))
    limits = robot.limits
    found = robot.chain.inverse(
        target,
        robot.home,
        limits.lower,
        limits.upper,
        iterations=200,
        position_tolerance=1e-9,
        rotation_tolerance=1e-9,
    )
    geometry = CollisionGeometry(robot)
    distance, pair = geometry.nearest(found.joints[None])
    assert distance[0] == pytest.approx(0.03 - 0.0095, abs=1e-5)
    assert 'floor and fr3_finger' in pair[0]
    high = dataclasses.replace(robot.cartesian, floor_z=0.02)
    raised = CollisionGeometry(dataclasses.replace(robot, cartesian=high))
    assert raised.nearest(found.joints[None])[0] == pytest.approx(distance - 0.02)


@pytest.mark.parametrize('name', ARMS)
def test_no_pair_is_nearer_than_told(name):
    """Against every pair of shapes of the plain model, fingers closed, half open and open."""
    robot = load_embodiment(name)
    geometry, gripper = CollisionGeometry(robot), robot.gripper
    model = mujoco.MjModel.from_xml_string(robot_mjcf(robot))
    data = mujoco.MjData(model)
    pairs = counting_pairs(model)
    rng = np.random.default_rng(4)
    for joints in rng.uniform(robot.limits.lower, robot.limits.upper, (60, robot.axis_count)):
        told = geometry.nearest(joints[None])[0][0]
        for opening in (0.0, 0.5, 1.0):
            for axis, angle in zip(robot.axis_names, joints, strict=True):
                data.joint(axis).qpos[0] = angle
            for finger in gripper.fingers:
                data.joint(finger['name']).qpos[0] = gripper.finger_position(opening)
            mujoco.mj_kinematics(model, data)
            fromto = np.zeros(6)
            true = min(mujoco.mj_geomDistance(model, data, *pair, FAR, fromto) for pair in pairs)
            if told > 0.0 and true > 0.0:
                assert told <= true + 1e-6


def counting_pairs(model):
    """Pairs of shapes that neither share a body nor are excluded by the model."""
    excluded = set(model.exclude_signature.tolist())
    bodies = model.geom_bodyid
    return [
        (a, b)
        for a in range(model.ngeom)
        for b in range(a + 1, model.ngeom)
        if bodies[a] != bodies[b]
        and (int(min(bodies[a], bodies[b])) << 16) + int(max(bodies[a], bodies[b])) not in excluded
    ]


@pytest.mark.parametrize('name', ARMS)
def test_a_radian_moves_nothing_farther_than_reach(name):
    """So the distance changes by at most Σ reach · |Δq|, which the envelope relies on."""
    robot = load_embodiment(name)
    geometry = CollisionGeometry(robot)
    rng = np.random.default_rng(5)
    joints = rng.uniform(robot.limits.lower, robot.limits.upper, (300, robot.axis_count))
    steps = rng.uniform(-0.05, 0.05, joints.shape)
    before, after = geometry.nearest(joints)[0], geometry.nearest(joints + steps)[0]
    apart = (before > 0.0) & (after > 0.0)
    bound = np.abs(steps) @ geometry.reach
    assert (np.abs(after - before) <= bound + 1e-9)[apart].all()
    assert (robot.chain.reach() <= geometry.reach + 1e-9).all()


def test_an_arm_folded_into_itself_overlaps():
    """The WidowX bent back until its gripper is in its own base."""
    distance, pair = CollisionGeometry(load_embodiment('widowx')).nearest(
        np.array([[0, -0.6, 1.6, 0, 2.0, 0]])
    )
    assert distance[0] < 0.0
    assert pair[0]


def test_a_base_has_no_body_to_fold():
    with pytest.raises(ConfigError, match='is no arm'):
        CollisionGeometry(load_embodiment('mobile_base'))
