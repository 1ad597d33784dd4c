"""Transforms of a body compose to its kinematics, under the names its driver uses."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.poses import pose
from univla_core.urdf import moving_link
from univla_ros.frames import body_transforms
from univla_ros.frames import fixed_transforms
from univla_ros.frames import robot_description

STAMP = Time(sec=3)
ARMS = [name for name in robot_names() if load_embodiment(name).kind == 'arm']


def matrix(transform) -> np.ndarray:
    place, turn = transform.transform.translation, transform.transform.rotation
    w, x, y, z = turn.w, turn.x, turn.y, turn.z
    assert w * w + x * x + y * y + z * z == pytest.approx(1.0)
    rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return pose(np.array(rotation), [place.x, place.y, place.z])


def chained(transforms, frame: str, root: str) -> np.ndarray:
    """Pose of `frame` in `root`, walked from child to parent."""
    parents = {t.child_frame_id: t for t in transforms}
    T = np.eye(4)
    while frame != root:
        T = matrix(parents[frame]) @ T
        frame = parents[frame].header.frame_id
    return T


@pytest.mark.parametrize('robot', ARMS)
def test_transforms_compose_to_forward_kinematics(robot):
    body = load_embodiment(robot)
    joints = body.home + 0.1 * np.arange(body.axis_count) / body.axis_count
    transforms = body_transforms(body, joints, 0.5, STAMP) + fixed_transforms(body, STAMP)
    ee, base = (body.frame_prefix + frame for frame in (body.ee_frame, body.base_frame))
    np.testing.assert_allclose(
        chained(transforms, ee, base), body.chain.forward(joints), atol=1e-9
    )


@pytest.mark.parametrize('robot', ARMS)
def test_every_frame_has_one_parent_and_hangs_on_the_base(robot):
    body = load_embodiment(robot)
    transforms = body_transforms(body, body.home, None, STAMP) + fixed_transforms(body, STAMP)
    children = [t.child_frame_id for t in transforms]
    assert len(set(children)) == len(children)
    for child in children:
        chained(transforms, child, body.frame_prefix + body.base_frame)
    moving = body_transforms(body, body.home, None, STAMP)
    assert all(t.header.stamp == STAMP for t in moving)


@pytest.mark.parametrize('robot', ARMS)
def test_the_fingers_part_by_twice_their_travel(robot):
    body = load_embodiment(robot)
    left, right = (body.frame_prefix + moving_link(f['name']) for f in body.gripper.fingers)

    def gap(opening: float) -> float:
        transforms = body_transforms(body, body.home, opening, STAMP)
        transforms += fixed_transforms(body, STAMP)
        root = body.frame_prefix + body.base_frame
        places = [chained(transforms, frame, root)[:3, 3] for frame in (left, right)]
        return float(np.linalg.norm(places[0] - places[1]))

    travel = body.gripper.open - body.gripper.closed
    assert gap(1.0) - gap(0.0) == pytest.approx(2.0 * travel)
    assert gap(0.5) - gap(0.0) == pytest.approx(travel)


@pytest.mark.parametrize('robot', robot_names())
def test_the_description_has_a_link_for_every_transform(robot):
    body = load_embodiment(robot)
    root = ElementTree.fromstring(robot_description(body))
    links = {link.get('name') for link in root.iter('link')}
    assert all(name.startswith(body.frame_prefix) for name in links)
    transforms = fixed_transforms(body, STAMP)
    if body.kind == 'arm':
        transforms += body_transforms(body, body.home, None, STAMP)
    for transform in transforms:
        assert {transform.header.frame_id, transform.child_frame_id} <= links
    for end in (*root.iter('parent'), *root.iter('child')):
        assert end.get('link') in links
