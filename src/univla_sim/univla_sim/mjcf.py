"""MJCF of a robot body, made from its embodiment alone: primitives, masses, servos.

Metres, radians, kilograms. Bodies carry the names of the links, joints the names of the axes,
and one site the name of the end effector frame, so that every frame of the YAML can be found
again in the compiled model.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import SubElement

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.embodiment import Gripper
from univla_core.errors import ConfigError
from univla_core.poses import quaternion_from_rotation
from univla_core.poses import rotation_from_rpy
from univla_core.urdf import moving_link

from univla_sim.mjcf_base import add_base
from univla_sim.mjcf_parts import FINGER_FORCE_GROUP
from univla_sim.mjcf_parts import FINGER_SERVO_GROUP
from univla_sim.mjcf_parts import SERVO_GROUP
from univla_sim.mjcf_parts import body_named
from univla_sim.mjcf_parts import empty_model
from univla_sim.mjcf_parts import fill_link
from univla_sim.mjcf_parts import numbers
from univla_sim.mjcf_parts import section


def robot_mjcf(embodiment: Embodiment) -> str:
    """The robot alone as MJCF text, standing at the origin; for viewers and tests."""
    root = empty_model(embodiment.name)
    add_robot(root, embodiment)
    return ElementTree.tostring(root, encoding='unicode')


def add_robot(root: Element, embodiment: Embodiment) -> None:
    """Add the robot's bodies, joints, contacts rules and actuators to an MJCF document.

    Raises:
        ConfigError: If the YAML lacks a section that the simulation needs.
    """
    try:
        if embodiment.kind == 'arm':
            _add_arm(root, embodiment)
        else:
            add_base(root, embodiment)
    except KeyError as error:
        raise ConfigError(
            f'robot {embodiment.name!r}: the simulation needs the key {error}; '
            'see docs/simulation.md'
        ) from error


def _add_arm(root: Element, embodiment: Embodiment) -> None:
    document = embodiment.document
    body = SubElement(section(root, 'worldbody'), 'body', name=embodiment.base_frame)
    fill_link(body, document, embodiment.base_frame)
    links = [embodiment.base_frame]
    for joint in document['joints']:
        body = _child(body, joint['link'], joint)
        _add_hinge(body, joint, document['simulation'])
        fill_link(body, document, joint['link'])
        _add_servo(root, joint, document['simulation'])
        links.append(joint['link'])
    for frame in document['tool']:
        body = _child(body, frame['link'], frame)
        fill_link(body, document, frame['link'])
    SubElement(body, 'site', name=embodiment.ee_frame, size='0.004', rgba='0 0 0 0')
    fingers = _add_fingers(root, embodiment) if embodiment.gripper else []
    _exclude_neighbours(root, document, links, fingers)


def _child(parent: Element, name: str, frame: Mapping[str, Any]) -> Element:
    quaternion = quaternion_from_rotation(rotation_from_rpy(np.asarray(frame['rpy'], dtype=float)))
    return SubElement(
        parent,
        'body',
        name=name,
        pos=numbers(frame['xyz']),
        quat=numbers(quaternion),
        gravcomp='1',
    )


def _add_hinge(body: Element, joint: Mapping[str, Any], simulation: Mapping[str, Any]) -> None:
    SubElement(
        body,
        'joint',
        name=joint['name'],
        axis=numbers(joint['axis']),
        range=numbers((joint['lower'], joint['upper'])),
        armature=numbers([simulation['armature']]),
        damping=numbers([simulation['joint_damping']]),
    )


def _add_servo(root: Element, joint: Mapping[str, Any], simulation: Mapping[str, Any]) -> None:
    SubElement(
        section(root, 'actuator'),
        'position',
        name=joint['name'],
        joint=joint['name'],
        group=str(SERVO_GROUP),
        kp=numbers([simulation['stiffness']]),
        dampratio=numbers([simulation['damping_ratio']]),
        forcerange=numbers((-joint['effort'], joint['effort'])),
    )


def _add_fingers(root: Element, embodiment: Embodiment) -> list[str]:
    """Add prismatic fingers that move as one, each with a position servo and a plain motor."""
    gripper, document = embodiment.gripper, embodiment.document
    assert gripper is not None
    for finger in gripper.fingers:
        body = _child(body_named(root, finger['parent']), moving_link(finger['name']), finger)
        SubElement(
            body,
            'joint',
            name=finger['name'],
            type='slide',
            axis=numbers(finger['axis']),
            range=numbers((gripper.closed, gripper.open)),
            armature='0.05',
            damping='1',
            solreflimit='0.005 1',
        )
        fill_link(body, document, finger['name'], pad=True)
        _add_finger_actuators(root, finger['name'], gripper, document['simulation'])
    first, *others = (finger['name'] for finger in gripper.fingers)
    for other in others:
        mimic = SubElement(section(root, 'equality'), 'joint', joint1=first, joint2=other)
        mimic.attrib.update(solref='0.004 1', solimp='0.99 0.999 0.001')
    return [moving_link(finger['name']) for finger in gripper.fingers]


def _add_finger_actuators(
    root: Element, joint: str, gripper: Gripper, simulation: Mapping[str, Any]
) -> None:
    servo = SubElement(section(root, 'actuator'), 'position', name=f'{joint}_servo', joint=joint)
    servo.set('group', str(FINGER_SERVO_GROUP))
    servo.set('kp', numbers([simulation['gripper_stiffness']]))
    servo.set('dampratio', '1')
    servo.set('forcerange', numbers((-gripper.effort, gripper.effort)))
    # A motor under PWM: `effort` at stall and no force left at its free speed.
    back_emf = gripper.effort / float(simulation.get('gripper_speed', gripper.velocity))
    motor = SubElement(section(root, 'actuator'), 'general', name=f'{joint}_motor', joint=joint)
    motor.set('group', str(FINGER_FORCE_GROUP))
    motor.set('ctrlrange', '-1 1')
    motor.set('gainprm', numbers([gripper.effort]))
    motor.set('biastype', 'affine')
    motor.set('biasprm', numbers([0.0, 0.0, -back_emf]))


def _exclude_neighbours(
    root: Element, document: Mapping[str, Any], links: Sequence[str], fingers: Sequence[str]
) -> None:
    """Let links collide with each other, but not with those up to two joints away."""
    contact = section(root, 'contact')
    tool = [frame['link'] for frame in document['tool']]
    chain = [[link] for link in links[:-1]] + [[links[-1], *tool, *fingers]]
    for index, group in enumerate(chain):
        near = [other for later in chain[index + 1 : index + 3] for other in later]
        inside = [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
        for first, second in inside + [(a, b) for a in group for b in near]:
            SubElement(contact, 'exclude', body1=first, body2=second)
