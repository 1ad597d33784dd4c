"""URDF of a robot body, made from its embodiment, for RViz and robot_state_publisher.

Link names carry no prefix: give the driver's as the parameter `frame_prefix` of
robot_state_publisher.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import SubElement

import numpy as np

from univla_core.embodiment import Embodiment

_WHEEL_WIDTH = 0.018


def urdf(embodiment: Embodiment) -> str:
    """The robot as URDF text: links with shapes and masses, joints with the maker's limits."""
    root = Element('robot', name=embodiment.name)
    document = embodiment.document
    _add_link(root, embodiment.base_frame, document, embodiment.base_frame)
    if embodiment.kind == 'arm':
        _add_chain(root, embodiment)
        _add_fingers(root, embodiment)
    else:
        _add_wheels(root, embodiment)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode')


def moving_link(joint: str) -> str:
    """Name of the link that a finger or wheel joint moves; the YAML names only the joint."""
    return f'{joint}_link'


def _add_chain(root: Element, embodiment: Embodiment) -> None:
    document, parent = embodiment.document, embodiment.base_frame
    for joint in document['joints']:
        _add_link(root, joint['link'], document, joint['link'])
        element = _add_joint(root, joint['name'], 'revolute', parent, joint['link'], joint)
        _add_axis(element, joint['axis'])
        _add_limit(element, joint['lower'], joint['upper'], joint['velocity'], joint['effort'])
        parent = joint['link']
    for frame in document['tool']:
        _add_link(root, frame['link'], document, frame['link'])
        _add_joint(root, f'{frame["link"]}_joint', 'fixed', parent, frame['link'], frame)
        parent = frame['link']


def _add_fingers(root: Element, embodiment: Embodiment) -> None:
    gripper = embodiment.gripper
    if gripper is None:
        return
    first = gripper.fingers[0]['name']
    for finger in gripper.fingers:
        name, link = finger['name'], moving_link(finger['name'])
        _add_link(root, link, embodiment.document, name)
        element = _add_joint(root, name, 'prismatic', finger['parent'], link, finger)
        _add_axis(element, finger['axis'])
        _add_limit(element, gripper.closed, gripper.open, gripper.velocity, gripper.effort)
        if name != first:
            SubElement(element, 'mimic', joint=first, multiplier='1', offset='0')


def _add_wheels(root: Element, embodiment: Embodiment) -> None:
    wheels = embodiment.document['wheels']
    height = float(embodiment.document['simulation']['axle_height'])
    for joint, sign in zip(wheels['joints'], (0.5, -0.5), strict=True):
        link = moving_link(joint)
        rim = {'link': joint, 'shape': 'cylinder', 'radius': wheels['radius']}
        rim['from'], rim['to'] = [0, -0.5 * _WHEEL_WIDTH, 0], [0, 0.5 * _WHEEL_WIDTH, 0]
        rim['rgba'] = [0.08, 0.08, 0.08, 1]
        _add_link(root, link, {'geometry': [rim], 'masses': {joint: 0.1}}, joint)
        place = {'xyz': [0, sign * float(wheels['separation']), height], 'rpy': [0, 0, 0]}
        element = _add_joint(root, joint, 'continuous', embodiment.base_frame, link, place)
        _add_axis(element, [0, 1, 0])


def _add_link(root: Element, name: str, document: Mapping[str, Any], key: str) -> None:
    """Add a link with what the YAML lists under `key`: shapes twice, mass as a small ball's."""
    link = SubElement(root, 'link', name=name)
    shapes = [shape for shape in document['geometry'] if shape['link'] == key]
    mass = float(document['masses'].get(key, 0.0))
    if mass > 0.0:
        _add_inertial(link, mass, shapes)
    for purpose in ('visual', 'collision'):
        for xyz, rpy, kind, size, rgba in _pieces(shapes):
            element = SubElement(link, purpose)
            SubElement(element, 'origin', xyz=_numbers(xyz), rpy=_numbers(rpy))
            SubElement(SubElement(element, 'geometry'), kind, size)
            if purpose == 'visual':
                name = 'rgba_' + '_'.join(f'{round(255 * value):02x}' for value in rgba)
                material = SubElement(element, 'material', name=name)
                SubElement(material, 'color', rgba=_numbers(rgba))


def _add_inertial(link: Element, mass: float, shapes: list[Mapping[str, Any]]) -> None:
    centres = [np.asarray(_centre(shape), dtype=float) for shape in shapes]
    centre = np.mean(centres, axis=0) if centres else np.zeros(3)
    inertial = SubElement(link, 'inertial')
    SubElement(inertial, 'origin', xyz=_numbers(centre), rpy='0 0 0')
    SubElement(inertial, 'mass', value=f'{mass:g}')
    moment = f'{0.4 * mass * 0.05**2:.6g}'  # a ball of 5 cm radius
    inertia = {'ixx': moment, 'iyy': moment, 'izz': moment, 'ixy': '0', 'ixz': '0', 'iyz': '0'}
    SubElement(inertial, 'inertia', inertia)


def _add_joint(
    root: Element, name: str, kind: str, parent: str, child: str, frame: Mapping[str, Any]
) -> Element:
    joint = SubElement(root, 'joint', name=name, type=kind)
    SubElement(joint, 'parent', link=parent)
    SubElement(joint, 'child', link=child)
    SubElement(joint, 'origin', xyz=_numbers(frame['xyz']), rpy=_numbers(frame['rpy']))
    return joint


def _add_axis(joint: Element, axis: Iterable[float]) -> None:
    SubElement(joint, 'axis', xyz=_numbers(axis))


def _add_limit(joint: Element, lower: float, upper: float, velocity: float, effort: float) -> None:
    limit = {'lower': lower, 'upper': upper, 'velocity': velocity, 'effort': effort}
    SubElement(joint, 'limit', {key: f'{float(value):.12g}' for key, value in limit.items()})


def _pieces(
    shapes: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[np.ndarray, np.ndarray, str, dict[str, str], list[float]]]:
    """URDF primitives as (xyz, rpy, element, its attributes, rgba); it has no capsules."""
    level = np.zeros(3)
    for shape in shapes:
        rgba = shape['rgba']
        if shape['shape'] == 'box':
            centre = np.asarray(shape['center'], dtype=float)
            yield centre, level, 'box', {'size': _numbers(shape['size'])}, rgba
            continue
        radius = {'radius': f'{float(shape["radius"]):.12g}'}
        if shape['shape'] == 'sphere':
            yield np.asarray(shape['center'], dtype=float), level, 'sphere', radius, rgba
            continue
        start, stop = (np.asarray(shape[end], dtype=float) for end in ('from', 'to'))
        length = float(np.linalg.norm(stop - start))
        barrel = {**radius, 'length': f'{length:.12g}'}
        yield 0.5 * (start + stop), _tilt((stop - start) / length), 'cylinder', barrel, rgba
        if shape['shape'] == 'capsule':
            yield start, level, 'sphere', radius, rgba
            yield stop, level, 'sphere', radius, rgba


def _tilt(direction: np.ndarray) -> np.ndarray:
    """Roll, pitch, yaw [rad] that turn the z axis into a unit vector (3,)."""
    x, y, z = direction
    return np.array([0.0, np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)])


def _centre(shape: Mapping[str, Any]) -> np.ndarray:
    if 'center' in shape:
        return np.asarray(shape['center'], dtype=float)
    return 0.5 * (np.asarray(shape['from'], dtype=float) + np.asarray(shape['to'], dtype=float))


def _numbers(values: Iterable[float]) -> str:
    return ' '.join(f'{float(value):.12g}' for value in values)
