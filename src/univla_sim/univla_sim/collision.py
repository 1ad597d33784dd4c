"""How near the parts of an arm come to each other and to the floor, from its shapes alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import SubElement

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.embodiment import Gripper
from univla_core.errors import ConfigError

from univla_sim.mjcf import add_robot
from univla_sim.mjcf_parts import empty_model
from univla_sim.mjcf_parts import numbers
from univla_sim.mjcf_parts import section

#: Distances are measured up to here; what is farther apart counts as this far [m].
FAR = 0.25


class CollisionGeometry:
    """The shapes of an arm above a floor, for `univla_control.envelope`.

    Pairs that touch by design do not count: links up to two joints apart, the links on both
    sides of the first joint and the floor, finger and finger. The fingers are everywhere between
    closed and open at once: each box of a finger fills all that it sweeps.

    Args:
        embodiment: An arm with `safety`; its `floor_z` is the height of the floor.

    Raises:
        ConfigError: If the robot is no arm, or its YAML lacks what the simulation needs.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        if embodiment.cartesian is None or embodiment.chain is None:
            raise ConfigError(f'robot {embodiment.name!r} is no arm: it has no body to fold')
        self._model = _compiled(embodiment, embodiment.cartesian.floor_z)
        self._data = mujoco.MjData(self._model)
        self._count = embodiment.axis_count
        self._addresses = np.array(
            [self._model.joint(name).qposadr[0] for name in embodiment.axis_names]
        )
        self._contact = self._data.contact
        self.reach = _reach(embodiment)

    def nearest(self, joints: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Smallest distance at each row of joint angles.

        Args:
            joints: Joint angles [rad], shape (K, n).

        Returns:
            Distances [m], shape (K,), negative where shapes overlap and at most `FAR`; and the
            pair that is so near, 'hand and floor', '' where none is.
        """
        distances, pairs = np.full(len(joints), FAR), [''] * len(joints)
        for row, angles in enumerate(joints):
            self._data.qpos[self._addresses] = angles
            mujoco.mj_kinematics(self._model, self._data)
            mujoco.mj_collision(self._model, self._data)
            if self._data.ncon:
                gaps = self._contact.dist
                nearest = int(gaps.argmin())
                if gaps[nearest] < FAR:
                    distances[row] = gaps[nearest]
                    pairs[row] = self._pair(nearest)
        return distances, pairs

    def _pair(self, index: int) -> str:
        bodies = [self._model.geom_bodyid[geom] for geom in self._contact.geom[index]]
        return ' and '.join(self._model.body(body).name for body in sorted(bodies, reverse=True))


def _compiled(embodiment: Embodiment, floor_z: float) -> mujoco.MjModel:
    root = empty_model(embodiment.name)
    swept = _with_swept_fingers(embodiment)
    add_robot(root, swept)
    _add_floor(root, swept, floor_z)
    for geom in root.iter('geom'):
        geom.set('margin', numbers([FAR]))
    SubElement(root, 'size', memory='4M')
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding='unicode'))


def _add_floor(root: Element, embodiment: Embodiment, floor_z: float) -> None:
    world = section(root, 'worldbody')
    floor = SubElement(world, 'body', name='floor', pos=numbers([0.0, 0.0, floor_z]))
    SubElement(floor, 'geom', type='plane', size='0 0 1')
    for link in (embodiment.base_frame, embodiment.link_names[0]):
        SubElement(section(root, 'contact'), 'exclude', body1='floor', body2=link)


def _with_swept_fingers(embodiment: Embodiment) -> Embodiment:
    """The same robot with fingers that fill all places between closed and open."""
    if embodiment.gripper is None:
        return embodiment
    fingers = {finger['name']: finger for finger in embodiment.gripper.fingers}
    geometry: list[Mapping[str, Any]] = []
    for shape in embodiment.document['geometry']:
        if shape['link'] in fingers:
            geometry += _swept(shape, fingers[shape['link']], embodiment.gripper)
        else:
            geometry.append(shape)
    document = {**embodiment.document, 'geometry': geometry}
    return dataclasses.replace(embodiment, document=document)


def _swept(
    shape: Mapping[str, Any], finger: Mapping[str, Any], gripper: Gripper
) -> list[Mapping[str, Any]]:
    """A box that slides along one of its sides as one longer box; else a shape at both ends."""
    axis = np.asarray(finger['axis'], dtype=float)
    if shape['shape'] == 'box' and np.count_nonzero(axis) == 1:
        middle = 0.5 * (gripper.closed + gripper.open)
        way = (gripper.open - gripper.closed) * np.abs(axis)
        center = np.asarray(shape['center'], dtype=float) + middle * axis
        return [{**shape, 'center': center, 'size': np.asarray(shape['size'], dtype=float) + way}]
    ends = [gripper.closed * axis, gripper.open * axis]
    places = [key for key in ('center', 'from', 'to') if key in shape]
    return [{**shape, **{key: np.add(shape[key], end) for key in places}} for end in ends]


def _reach(embodiment: Embodiment) -> np.ndarray:
    """How far one radian of each joint moves any point of the body at most [m], shape (n,).

    The largest distance of a point beyond the joint from its origin, over all postures: the
    lengths from frame to frame along the way, and the half size of the last shape.
    """
    document, gripper = embodiment.document, embodiment.gripper
    chain = [*document['joints'], *document['tool']]
    reach = np.zeros(len(document['joints']))
    fingers = gripper.fingers if gripper else ()
    length = np.concatenate([[0.0], np.cumsum([np.linalg.norm(f['xyz']) for f in chain])])
    place = {frame['link']: length[index + 1] for index, frame in enumerate(chain)}
    for finger in fingers:
        assert gripper is not None
        offset = float(np.linalg.norm(finger['xyz'])) + max(abs(gripper.closed), gripper.open)
        place[finger['name']] = place[finger['parent']] + offset
    for index in range(len(reach)):
        beyond = [
            place[shape['link']] + _extent(shape) - length[index + 1]
            for shape in document['geometry']
            if place.get(shape['link'], -1.0) >= length[index + 1]
        ]
        reach[index] = max(beyond, default=0.0)
    return reach


def _extent(shape: Mapping[str, Any]) -> float:
    """Largest distance of a point of the shape from the origin of its link [m]."""
    if shape['shape'] == 'box':
        return float(np.linalg.norm(shape['center']) + 0.5 * np.linalg.norm(shape['size']))
    places = [shape[key] for key in ('center', 'from', 'to') if key in shape]
    slant = np.sqrt(2.0) if shape['shape'] == 'cylinder' else 1.0
    return float(max(np.linalg.norm(place) for place in places) + slant * shape['radius'])
