"""MJCF of a robot body, made from its embodiment alone: primitives, masses, servos.

Metres, radians, kilograms. Bodies carry the names of the links, joints the names of the axes,
and one site the name of the end effector frame, so that every frame of the YAML can be found
again in the compiled model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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

#: Actuator groups, switched off and on as a whole by `opt.disableactuator`.
SERVO_GROUP, FINGER_SERVO_GROUP, FINGER_FORCE_GROUP = 1, 2, 3

_FRICTION = '1.0 0.02 0.001'
_PAD_FRICTION = '1.5 0.05 0.001'


def empty_model(name: str, timestep: float = 0.002) -> Element:
    """An MJCF document with options and empty sections, nothing in the world yet.

    Args:
        name: Name of the model.
        timestep: Physics step [s].
    """
    root = Element('mujoco', model=name)
    SubElement(root, 'compiler', angle='radian', autolimits='true')
    SubElement(
        root,
        'option',
        timestep=f'{timestep:g}',
        integrator='implicitfast',
        cone='elliptic',
        impratio='10',
    )
    for section in ('visual', 'asset', 'worldbody', 'contact', 'equality', 'actuator'):
        SubElement(root, section)
    return root


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
            _add_base(root, embodiment)
    except KeyError as error:
        raise ConfigError(
            f'robot {embodiment.name!r}: the simulation needs the key {error}; see docs/simulation.md'
        ) from error


def numbers(values: Iterable[float]) -> str:
    """Numbers as an MJCF or URDF attribute, with all their digits."""
    return ' '.join(f'{float(value):.12g}' for value in values)


def body_named(root: Element, name: str) -> Element:
    """The element of a body, or of the world body for `world`.

    Raises:
        ConfigError: If no body has that name; known ones are listed.
    """
    if name == 'world':
        return section(root, 'worldbody')
    bodies = {body.get('name'): body for body in root.iter('body')}
    if name not in bodies:
        raise ConfigError(f'no link {name!r}; known are world, {", ".join(map(str, bodies))}')
    return bodies[name]


def section(root: Element, name: str) -> Element:
    """A top-level section of a document made by `empty_model`."""
    found = root.find(name)
    assert found is not None, name
    return found


def _add_arm(root: Element, embodiment: Embodiment) -> None:
    document = embodiment.document
    body = SubElement(section(root, 'worldbody'), 'body', name=embodiment.base_frame)
    _fill(body, document, embodiment.base_frame)
    links = [embodiment.base_frame]
    for joint in document['joints']:
        body = _child(body, joint['link'], joint)
        _add_hinge(body, joint, document['simulation'])
        _fill(body, document, joint['link'])
        _add_servo(root, joint, document['simulation'])
        links.append(joint['link'])
    for frame in document['tool']:
        body = _child(body, frame['link'], frame)
        _fill(body, document, frame['link'])
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
        body = _child(body_named(root, finger['parent']), finger_body(finger['name']), finger)
        SubElement(
            body,
            'joint',
            name=finger['name'],
            type='slide',
            axis=numbers(finger['axis']),
            range=numbers((gripper.closed, gripper.open)),
            armature='0.05',
            damping='1',
        )
        _fill(body, document, finger['name'], pad=True)
        _add_finger_actuators(root, finger['name'], gripper, document['simulation'])
    first, *others = (finger['name'] for finger in gripper.fingers)
    for other in others:
        SubElement(section(root, 'equality'), 'joint', joint1=first, joint2=other)
    return [finger_body(finger['name']) for finger in gripper.fingers]


def finger_body(joint: str) -> str:
    """Name of the body (and URDF link) that a finger joint moves."""
    return f'{joint}_link'


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


def _fill(body: Element, document: Mapping[str, Any], link: str, pad: bool = False) -> None:
    """Add a link's geoms and spread its mass over them by volume."""
    shapes = [shape for shape in document['geometry'] if shape['link'] == link]
    mass = float(document['masses'].get(link, 0.0))
    total = sum(volume(shape) for shape in shapes)
    for shape in shapes:
        geom = SubElement(body, 'geom', **shape_attributes(shape))
        geom.set('mass', numbers([mass * volume(shape) / total]))
        geom.set('friction', _PAD_FRICTION if pad else _FRICTION)
        geom.set('condim', '4')
        if pad:
            geom.set('solref', '0.005 1')
            geom.set('priority', '1')
    if mass > 0.0 and not shapes:
        inertia = numbers([1e-4 * mass] * 3)
        SubElement(body, 'inertial', pos='0 0 0', mass=numbers([mass]), diaginertia=inertia)


def shape_attributes(shape: Mapping[str, Any]) -> dict[str, str]:
    """MJCF attributes of one entry of `geometry` (box, cylinder, capsule or sphere)."""
    attributes = {'type': shape['shape'], 'rgba': numbers(shape['rgba'])}
    if shape['shape'] == 'box':
        attributes['size'] = numbers(0.5 * np.asarray(shape['size'], dtype=float))
        attributes['pos'] = numbers(shape['center'])
    elif shape['shape'] == 'sphere':
        attributes['size'] = numbers([shape['radius']])
        attributes['pos'] = numbers(shape['center'])
    else:
        attributes['size'] = numbers([shape['radius']])
        attributes['fromto'] = numbers([*shape['from'], *shape['to']])
    return attributes


def volume(shape: Mapping[str, Any]) -> float:
    """Volume of one entry of `geometry` [m³]."""
    if shape['shape'] == 'box':
        return float(np.prod(shape['size']))
    ball = 4.0 / 3.0 * math.pi * float(shape['radius']) ** 3
    if shape['shape'] == 'sphere':
        return ball
    length = float(np.linalg.norm(np.subtract(shape['to'], shape['from'])))
    barrel = math.pi * float(shape['radius']) ** 2 * length
    return barrel + (ball if shape['shape'] == 'capsule' else 0.0)


def _add_base(root: Element, embodiment: Embodiment) -> None:
    """Add a differential drive: a body on two driven wheels and frictionless casters."""
    document = embodiment.document
    wheels, simulation = document['wheels'], document['simulation']
    radius, half_track = float(wheels['radius']), 0.5 * float(wheels['separation'])
    axle = float(simulation['axle_height'])
    body = SubElement(
        section(root, 'worldbody'), 'body', name=embodiment.base_frame, pos=f'0 0 {radius - axle:g}'
    )
    SubElement(body, 'freejoint', name=f'{embodiment.base_frame}_free')
    _fill(body, document, embodiment.base_frame)
    SubElement(body, 'site', name=embodiment.ee_frame, size='0.004', rgba='0 0 0 0')
    for x, y in simulation['casters']:
        # One millimetre above the floor, so that the wheels carry the weight.
        height = axle - radius + 0.001 + 0.015
        caster = SubElement(body, 'geom', type='sphere', size='0.015', rgba='0.5 0.5 0.5 1')
        caster.set('pos', numbers((x, y, height)))
        caster.set('mass', '0.01')
        caster.set('friction', '0 0 0')
        caster.set('condim', '1')
        caster.set('priority', '1')
    for joint, side in zip(wheels['joints'], (half_track, -half_track)):
        _add_wheel(root, body, joint, (0.0, side, axle), radius, simulation)


def _add_wheel(
    root: Element,
    body: Element,
    joint: str,
    position: tuple[float, float, float],
    radius: float,
    simulation: Mapping[str, Any],
) -> None:
    """Add a wheel: a cylinder to look at, an ellipsoid that touches the floor in one point."""
    width = 0.5 * float(simulation['wheel_width'])
    wheel = SubElement(body, 'body', name=f'{joint}_link', pos=numbers(position))
    SubElement(
        wheel, 'joint', name=joint, axis='0 1 0', armature='0.0005', damping='0.0005', limited='false'
    )
    turned = {'quat': '0.70710678 0.70710678 0 0', 'mass': '0.05'}
    tread = SubElement(wheel, 'geom', turned, type='ellipsoid', rgba='0 0 0 0', friction='1 0.005 0')
    tread.set('size', numbers((radius, radius, width)))
    tread.set('group', '3')
    look = SubElement(wheel, 'geom', turned, type='cylinder', rgba='0.08 0.08 0.08 1')
    look.set('size', numbers((radius - 0.0005, width)))
    look.set('contype', '0')
    look.set('conaffinity', '0')
    SubElement(
        section(root, 'actuator'),
        'velocity',
        name=joint,
        joint=joint,
        group=str(SERVO_GROUP),
        kv=numbers([simulation['wheel_gain']]),
        forcerange=numbers((-simulation['wheel_torque'], simulation['wheel_torque'])),
    )
