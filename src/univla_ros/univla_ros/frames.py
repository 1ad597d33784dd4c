"""Coordinate frames of a robot's body as transforms for `/tf`."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from univla_core.embodiment import Embodiment
from univla_core.poses import pose
from univla_core.poses import quaternion_from_rotation
from univla_core.poses import rotation_from_rpy
from univla_core.urdf import moving_link
from univla_core.urdf import urdf


def body_transforms(
    embodiment: Embodiment, axes: np.ndarray, opening: float | None, stamp: Time
) -> list[TransformStamped]:
    """Transforms of every moving link of an arm, parent to child along the chain.

    Args:
        embodiment: The arm.
        axes: Joint angles [rad], shape (n,).
        opening: Gripper opening in [0, 1]; None draws it open.
        stamp: Time of the measurement.
    """
    links = embodiment.chain.link_poses(axes)
    parents = np.concatenate([np.eye(4)[None], links[:-1]])
    names = (embodiment.base_frame, *embodiment.link_names)
    transforms = [
        _transform(embodiment, names[i], names[i + 1], np.linalg.inv(parents[i]) @ links[i], stamp)
        for i in range(len(links))
    ]
    return transforms + _finger_transforms(embodiment, opening, stamp)


def fixed_transforms(embodiment: Embodiment, stamp: Time) -> list[TransformStamped]:
    """Transforms that never change: the tool frames after the last link."""
    parent = embodiment.link_names[-1] if embodiment.link_names else embodiment.base_frame
    transforms = []
    for frame in embodiment.document.get('tool', ()):
        T_parent_frame = pose(rotation_from_rpy(frame['rpy']), frame['xyz'])
        transforms.append(_transform(embodiment, parent, frame['link'], T_parent_frame, stamp))
        parent = frame['link']
    return transforms + _wheel_transforms(embodiment, stamp)


def _wheel_transforms(embodiment: Embodiment, stamp: Time) -> list[TransformStamped]:
    """Wheels of a base where they sit; they look alike however far they have turned."""
    wheels = embodiment.document.get('wheels')
    if wheels is None:
        return []
    height = float(embodiment.document['simulation']['axle_height'])
    transforms = []
    for joint, side in zip(wheels['joints'], (0.5, -0.5), strict=True):
        place = pose(np.eye(3), [0.0, side * float(wheels['separation']), height])
        child = moving_link(joint)
        transforms.append(_transform(embodiment, embodiment.base_frame, child, place, stamp))
    return transforms


def robot_description(embodiment: Embodiment) -> str:
    """URDF whose link names carry the frame prefix, so that RViz finds their transforms."""
    root = ElementTree.fromstring(urdf(embodiment))
    for link in root.iter('link'):
        link.set('name', embodiment.frame_prefix + link.get('name', ''))
    for end in (*root.iter('parent'), *root.iter('child')):
        end.set('link', embodiment.frame_prefix + end.get('link', ''))
    return ElementTree.tostring(root, encoding='unicode')


def _finger_transforms(
    embodiment: Embodiment, opening: float | None, stamp: Time
) -> list[TransformStamped]:
    gripper = embodiment.gripper
    if gripper is None:
        return []
    travel = gripper.finger_position(1.0 if opening is None else opening)
    transforms = []
    for finger in gripper.fingers:
        origin = pose(rotation_from_rpy(finger['rpy']), finger['xyz'])
        slide = pose(np.eye(3), travel * np.array(finger['axis'], dtype=float))
        transforms.append(
            _transform(
                embodiment, finger['parent'], moving_link(finger['name']), origin @ slide, stamp
            )
        )
    return transforms


def _transform(
    embodiment: Embodiment, parent: str, child: str, T_parent_child: np.ndarray, stamp: Time
) -> TransformStamped:
    msg = TransformStamped(child_frame_id=embodiment.frame_prefix + child)
    msg.header.stamp = stamp
    msg.header.frame_id = embodiment.frame_prefix + parent
    place, turn = msg.transform.translation, msg.transform.rotation
    place.x, place.y, place.z = (float(value) for value in T_parent_child[:3, 3])
    w, x, y, z = quaternion_from_rotation(T_parent_child[:3, :3])
    turn.w, turn.x, turn.y, turn.z = float(w), float(x), float(y), float(z)
    return msg
