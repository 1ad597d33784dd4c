"""MJCF of a differential-drive base: a body on two driven wheels and casters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import SubElement

from univla_core.embodiment import Embodiment
from univla_core.urdf import moving_link

from univla_sim.mjcf_parts import SERVO_GROUP
from univla_sim.mjcf_parts import fill_link
from univla_sim.mjcf_parts import numbers
from univla_sim.mjcf_parts import section


def add_base(root: Element, embodiment: Embodiment) -> None:
    """Add a differential drive: a body on two driven wheels and frictionless casters."""
    document = embodiment.document
    wheels, simulation = document['wheels'], document['simulation']
    radius, half_track = float(wheels['radius']), 0.5 * float(wheels['separation'])
    axle = float(simulation['axle_height'])
    body = SubElement(
        section(root, 'worldbody'),
        'body',
        name=embodiment.base_frame,
        pos=f'0 0 {radius - axle:g}',
    )
    SubElement(body, 'freejoint', name=f'{embodiment.base_frame}_free')
    fill_link(body, document, embodiment.base_frame)
    SubElement(body, 'site', name=embodiment.ee_frame, size='0.004', rgba='0 0 0 0')
    for x, y in simulation['casters']:
        # One millimetre above the floor, so that the wheels carry the weight.
        height = axle - radius + 0.001 + 0.015
        caster = SubElement(body, 'geom', type='sphere', size='0.015', rgba='0.5 0.5 0.5 1')
        caster.set('pos', numbers((x, y, height)))
        caster.set('mass', '0.01')
        caster.set('condim', '1')
        caster.set('priority', '1')
    for joint, side in zip(wheels['joints'], (half_track, -half_track), strict=True):
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
    wheel = SubElement(body, 'body', name=moving_link(joint), pos=numbers(position))
    SubElement(
        wheel,
        'joint',
        name=joint,
        axis='0 1 0',
        armature='0.0005',
        damping='0.0005',
        limited='false',
    )
    turned = {'quat': '0.70710678 0.70710678 0 0', 'mass': '0.05'}
    tread = SubElement(
        wheel, 'geom', turned, type='ellipsoid', rgba='0 0 0 0', friction='1 0.005 0'
    )
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
