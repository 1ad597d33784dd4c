"""Pieces that every MJCF document here is made of: options, sections, links with shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import SubElement

import numpy as np
from univla_core.errors import ConfigError

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


def fill_link(body: Element, document: Mapping[str, Any], link: str, pad: bool = False) -> None:
    """Add a link's geoms and spread its mass over them by volume."""
    shapes = [shape for shape in document['geometry'] if shape['link'] == link]
    mass = float(document['masses'].get(link, 0.0))
    total = sum(volume(shape) for shape in shapes)
    for shape in shapes:
        geom = SubElement(body, 'geom', shape_attributes(shape))
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
