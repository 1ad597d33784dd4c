"""The URDF is parsed as XML and walked, joint by joint, without any of the code that wrote it."""

from xml.etree import ElementTree

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.poses import pose
from univla_core.poses import rotation_from_rpy
from univla_core.poses import rotation_from_vector
from univla_core.urdf import moving_link
from univla_core.urdf import urdf

ROBOTS = robot_names()
ARMS = tuple(name for name in ROBOTS if load_embodiment(name).kind == 'arm')


def numbers(text):
    return np.array([float(word) for word in text.split()])


def link_pose(root, link, angles):
    """Pose of a link in the root link for joint angles by name."""
    joints = {joint.find('child').get('link'): joint for joint in root.findall('joint')}
    result = np.eye(4)
    while link in joints:
        joint = joints[link]
        origin = joint.find('origin')
        step = pose(rotation_from_rpy(numbers(origin.get('rpy'))), numbers(origin.get('xyz')))
        if joint.get('type') == 'revolute':
            axis = numbers(joint.find('axis').get('xyz'))
            step = step @ pose(rotation_from_vector(axis * angles[joint.get('name')]), np.zeros(3))
        result = step @ result
        link = joint.find('parent').get('link')
    return result


@pytest.mark.parametrize('name', ARMS)
def test_forward_kinematics_of_the_urdf_is_the_chains(name):
    robot = load_embodiment(name)
    root = ElementTree.fromstring(urdf(robot))
    joints = np.random.default_rng(3).uniform(robot.limits.lower, robot.limits.upper)
    angles = dict(zip(robot.axis_names, joints, strict=True))
    expected = robot.chain.forward(joints)
    assert link_pose(root, robot.ee_frame, angles) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('name', ROBOTS)
def test_the_links_form_one_tree_that_hangs_on_the_base_frame(name):
    robot = load_embodiment(name)
    root = ElementTree.fromstring(urdf(robot))
    links = [link.get('name') for link in root.findall('link')]
    children = [joint.find('child').get('link') for joint in root.findall('joint')]
    assert len(set(links)) == len(links)
    assert sorted([*children, robot.base_frame]) == sorted(links)
    assert {j.find('parent').get('link') for j in root.findall('joint')} <= set(links)


@pytest.mark.parametrize('name', ARMS)
def test_joints_carry_the_makers_limits(name):
    robot = load_embodiment(name)
    root = ElementTree.fromstring(urdf(robot))
    for index, axis in enumerate(robot.axis_names):
        limit = root.find(f"joint[@name='{axis}']/limit")
        assert float(limit.get('lower')) == pytest.approx(robot.maker_limits.lower[index])
        assert float(limit.get('upper')) == pytest.approx(robot.maker_limits.upper[index])
        assert float(limit.get('velocity')) == pytest.approx(robot.maker_limits.velocity[index])


@pytest.mark.parametrize('name', ARMS)
def test_the_second_finger_mimics_the_first(name):
    robot = load_embodiment(name)
    root = ElementTree.fromstring(urdf(robot))
    first, second = (finger['name'] for finger in robot.gripper.fingers)
    assert root.find(f"joint[@name='{first}']/mimic") is None
    assert root.find(f"joint[@name='{second}']/mimic").get('joint') == first
    upper = float(root.find(f"joint[@name='{first}']/limit").get('upper'))
    assert upper == pytest.approx(robot.gripper.open)


@pytest.mark.parametrize('name', ROBOTS)
def test_every_shape_of_the_yaml_can_be_seen_and_touched(name):
    """A capsule becomes a cylinder and two balls; wheels add one cylinder each."""
    robot = load_embodiment(name)
    root = ElementTree.fromstring(urdf(robot))
    pieces = sum(3 if shape['shape'] == 'capsule' else 1 for shape in robot.document['geometry'])
    pieces += len(robot.document.get('wheels', {}).get('joints', []))
    assert len(root.findall('link/visual')) == len(root.findall('link/collision')) == pieces


def test_cylinders_point_from_end_to_end():
    """Every cylinder's z axis, turned by its rpy, is the direction of some shape of that link."""
    robot = load_embodiment('widowx')
    root = ElementTree.fromstring(urdf(robot))
    for link in root.findall('link'):
        shapes = [s for s in robot.document['geometry'] if s['link'] == link.get('name')]
        ways = [np.subtract(s['to'], s['from']) for s in shapes if 'from' in s]
        for visual in link.findall('visual'):
            if visual.find('geometry/cylinder') is None:
                continue
            axis = rotation_from_rpy(numbers(visual.find('origin').get('rpy')))[:, 2]
            length = float(visual.find('geometry/cylinder').get('length'))
            assert any(np.allclose(axis * length, way) for way in ways)


def test_wheels_turn_about_the_left_pointing_axis():
    root = ElementTree.fromstring(urdf(load_embodiment('mobile_base')))
    left = root.find("joint[@name='wheel_left_joint']")
    assert left.get('type') == 'continuous'
    assert numbers(left.find('axis').get('xyz')) == pytest.approx([0, 1, 0])
    assert numbers(left.find('origin').get('xyz'))[1] == pytest.approx(0.1435)  # 0.287 / 2
    assert left.find('child').get('link') == moving_link('wheel_left_joint')
