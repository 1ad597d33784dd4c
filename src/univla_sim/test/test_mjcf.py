"""The compiled model is the robot of the YAML: frames, masses, limits, servos."""

import copy
import dataclasses

import mujoco
import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_sim.mjcf import robot_mjcf
from univla_sim.mjcf_parts import volume

ROBOTS = robot_names()
ARMS = tuple(name for name in ROBOTS if load_embodiment(name).kind == 'arm')
HALF_PI = 0.5 * np.pi
READY = [0, -np.pi / 4, 0, -3 * np.pi / 4, 0, HALF_PI, np.pi / 4]

# End effector positions from the makers' joint tables [m], as in the kinematics tests.
VECTORS = [
    ('widowx', np.zeros(6), (0.45833, 0, 0.36065)),
    ('widowx', [0, -0.96, 1.16, 0, -0.3, 0], (0.22653, 0, 0.26095)),
    ('widowx', [0, -1.8, 1.55, 0, 0.8, 0], (0.12265, 0, 0.08126)),
    ('franka', READY, (0.30689, 0, 0.48688)),
    ('panda', READY, (0.30689, 0, 0.48688)),
    ('franka', np.zeros(7), (0.088, 0, 0.8226)),
    ('airbot', np.zeros(6), (0.28660, 0, 0.21456)),
    ('airbot', [0, -1.18407, 1.18407, -HALF_PI, HALF_PI, 0], (0.29014, 0, 0.13619)),
]


def compiled(robot):
    model = mujoco.MjModel.from_xml_string(robot_mjcf(robot))
    return model, mujoco.MjData(model)


def put(model, data, robot, joints):
    for name, angle in zip(robot.axis_names, joints, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_forward(model, data)


@pytest.mark.parametrize(('name', 'joints', 'position'), VECTORS)
def test_the_site_stands_at_the_published_place(name, joints, position):
    robot = load_embodiment(name)
    model, data = compiled(robot)
    put(model, data, robot, joints)
    assert data.site(robot.ee_frame).xpos == pytest.approx(position, abs=1e-4)


@pytest.mark.parametrize('name', ARMS)
def test_the_site_pose_is_the_chains(name):
    robot = load_embodiment(name)
    model, data = compiled(robot)
    joints = np.random.default_rng(5).uniform(robot.limits.lower, robot.limits.upper)
    put(model, data, robot, joints)
    expected, site = robot.chain.forward(joints), data.site(robot.ee_frame)
    assert site.xpos == pytest.approx(expected[:3, 3], abs=1e-9)
    assert site.xmat.reshape(3, 3) == pytest.approx(expected[:3, :3], abs=1e-9)


@pytest.mark.parametrize('name', ARMS)
def test_an_arm_weighs_what_its_links_weigh(name):
    robot = load_embodiment(name)
    model, _ = compiled(robot)
    assert model.body_mass.sum() == pytest.approx(sum(robot.document['masses'].values()))


@pytest.mark.parametrize('name', ARMS)
def test_joints_and_servos_carry_the_makers_limits(name):
    robot = load_embodiment(name)
    model, _ = compiled(robot)
    for index, joint in enumerate(robot.document['joints']):
        assert model.joint(joint['name']).range == pytest.approx(
            [robot.maker_limits.lower[index], robot.maker_limits.upper[index]]
        )
        assert model.actuator(joint['name']).forcerange[1] == pytest.approx(joint['effort'])


@pytest.mark.parametrize('name', ARMS)
def test_no_link_touches_another_in_the_named_postures(name):
    robot = load_embodiment(name)
    model, data = compiled(robot)
    for joints in robot.postures.values():
        put(model, data, robot, joints)
        assert data.ncon == 0


def test_an_arm_feels_itself():
    """The WidowX bent back until its gripper is in its own base must collide."""
    robot = load_embodiment('widowx')
    model, data = compiled(robot)
    put(model, data, robot, [0, -0.6, 1.6, 0, 2.0, 0])
    assert data.ncon > 0


def test_volumes_by_hand():
    """Box 2·3·4; ball of radius 1: 4.18879; cylinder r 1, l 2: 6.28319; capsule: both."""
    ends = {'from': [0, 0, 0], 'to': [0, 0, 2]}
    assert volume({'shape': 'box', 'size': [2, 3, 4]}) == pytest.approx(24.0)
    assert volume({'shape': 'sphere', 'radius': 1}) == pytest.approx(4.18879)
    assert volume({'shape': 'cylinder', 'radius': 1, **ends}) == pytest.approx(6.28319)
    assert volume({'shape': 'capsule', 'radius': 1, **ends}) == pytest.approx(10.47198)


def test_a_yaml_without_simulation_numbers_is_refused():
    robot = load_embodiment('widowx')
    document = copy.deepcopy(dict(robot.document))
    del document['simulation']['stiffness']
    with pytest.raises(ConfigError, match="needs the key 'stiffness'"):
        robot_mjcf(dataclasses.replace(robot, document=document))


def test_a_finger_on_an_unknown_link_is_refused():
    robot = load_embodiment('widowx')
    fingers = [{**finger, 'parent': 'nowhere'} for finger in robot.gripper.fingers]
    gripper = dataclasses.replace(robot.gripper, fingers=tuple(fingers))
    with pytest.raises(ConfigError, match=r"no link 'nowhere'; known are world, base_link"):
        robot_mjcf(dataclasses.replace(robot, gripper=gripper))
