"""The scenes: a table with coloured cubes and a plate for arms, coloured pillars for a base.

Colours are plain rgba, so that pictures drawn by OpenGL and by rays agree.
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
from univla_core.errors import ConfigError

from univla_sim.mjcf import add_robot
from univla_sim.mjcf_parts import body_named
from univla_sim.mjcf_parts import empty_model
from univla_sim.mjcf_parts import numbers
from univla_sim.mjcf_parts import section
from univla_sim.texture import SIDE as TEXTURE_SIDE

COLORS: Mapping[str, tuple[float, float, float]] = {
    'red': (0.85, 0.10, 0.08),
    'green': (0.10, 0.62, 0.16),
    'blue': (0.08, 0.22, 0.85),
}
BACKGROUND = (0.72, 0.78, 0.84)
CUBE_SIZE = 0.04
PLATE_RADIUS, PLATE_HEIGHT = 0.06, 0.008
PILLAR_RADIUS, PILLAR_HEIGHT = 0.06, 0.4
#: Half side of the square in which pillars stand [m].
ARENA = 0.9
#: A camera for people that every scene has besides the robot's own.
OVERVIEW = 'overview'
#: Material with a checker texture, worn by nothing unless a variation says so.
CHECKER = 'checker'
#: Material whose texture a variation draws.
TEXTURE = 'texture'
#: Shape, size [m] and colour of things that nothing touches; hidden unless a variation shows them.
DISTRACTORS: Mapping[str, tuple[str, tuple[float, ...], tuple[float, float, float]]] = {
    'yellow_can': ('cylinder', (0.03, 0.05), (0.92, 0.78, 0.10)),
    'purple_ball': ('sphere', (0.035,), (0.50, 0.16, 0.60)),
}
#: The same for things that may stand beside the workspace while somebody learns; each is given a
#: colour of `CLUTTER_COLORS`.
CLUTTER: Mapping[str, tuple[str, tuple[float, ...], tuple[float, float, float]]] = {
    'box': ('box', (0.04, 0.03, 0.03), (0.5, 0.5, 0.5)),
    'tin': ('cylinder', (0.035, 0.03), (0.5, 0.5, 0.5)),
    'tall_box': ('box', (0.02, 0.025, 0.06), (0.5, 0.5, 0.5)),
    'stone': ('ellipsoid', (0.05, 0.035, 0.025), (0.5, 0.5, 0.5)),
}
CLUTTER_COLORS: tuple[tuple[float, float, float], ...] = (
    (0.90, 0.48, 0.12),
    (0.10, 0.60, 0.60),
    (0.90, 0.50, 0.62),
    (0.40, 0.26, 0.15),
    (0.10, 0.10, 0.11),
    (0.50, 0.52, 0.55),
    (0.92, 0.92, 0.90),
)

#: Least distance of two pillars' axes [m].
PILLAR_GAP = 0.65

_CUBE_GAP, _PLATE_GAP = 0.085, 0.12
_PILLAR_CLEARANCE = 0.55


def scene_mjcf(embodiment: Embodiment, timestep: float = 0.002, plate: bool = True) -> str:
    """MJCF text of the robot in its scene.

    Args:
        embodiment: The robot.
        timestep: Physics step [s].
        plate: Whether a plate lies among the cubes (arms only).

    Raises:
        ConfigError: If the robot's YAML lacks what the simulation needs.
    """
    root = empty_model(f'{embodiment.name}_scene', timestep)
    _add_look(root, 1.5 if embodiment.kind == 'arm' else 3.0)
    add_robot(root, embodiment)
    if embodiment.kind == 'arm':
        _add_table(root, plate)
    else:
        _add_arena(root)
    _add_cameras(root, embodiment)
    _add_distractors(root, 1.0 if embodiment.kind == 'arm' else 2.0)
    return ElementTree.tostring(root, encoding='unicode')


def object_names(embodiment: Embodiment, plate: bool = True) -> tuple[str, ...]:
    """Names of the objects in the scene of a robot."""
    if embodiment.kind == 'base':
        return tuple(f'{color}_pillar' for color in COLORS)
    return tuple(f'{color}_cube' for color in COLORS) + (('plate',) if plate else ())


def surface_name(embodiment: Embodiment) -> str:
    """Name of the geom that the objects stand on."""
    return 'floor' if embodiment.kind == 'base' else 'table'


def sample_layout(
    embodiment: Embodiment,
    rng: np.random.Generator,
    plate: bool = True,
    spread: float = 1.0,
    cube_gap: float | None = None,
) -> dict[str, np.ndarray]:
    """Draw where the objects stand: name -> x, y [m] and yaw [rad], shape (3,).

    Cubes fill the robot's `simulation.workspace`, well apart from each other; pillars fill the
    arena, away from the robot's start.

    Args:
        embodiment: The robot.
        rng: Decides.
        plate: Whether a plate lies among the cubes (arms only).
        spread: Share of the workspace, about its middle, that the cubes fill.
        cube_gap: Least distance of two cubes' centres [m], None for the usual one.
    """
    gap = _CUBE_GAP if cube_gap is None else cube_gap
    while True:  # a layout that got stuck is drawn anew; most fit at once
        layout: dict[str, np.ndarray] = {}
        for name in object_names(embodiment, plate):
            place = _free_place(embodiment, name, layout, rng, spread, gap)
            if place is None:
                break
            layout[name] = place
        else:
            return layout


def _free_place(
    embodiment: Embodiment,
    name: str,
    layout: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    spread: float,
    cube_gap: float,
) -> np.ndarray | None:
    if embodiment.kind == 'base':
        lower, upper = np.full(2, -ARENA), np.full(2, ARENA)
        gap = PILLAR_GAP
    else:
        share = 1.0 if name == 'plate' else spread
        lower, upper = _workspace(embodiment, share)
        gap = _PLATE_GAP if name == 'plate' else cube_gap
    for _ in range(50):
        place = rng.uniform(lower, upper)
        near = [np.linalg.norm(place - other[:2]) for other in layout.values()]
        clear = embodiment.kind == 'arm' or np.linalg.norm(place) > _PILLAR_CLEARANCE
        if clear and all(distance > gap for distance in near):
            return np.append(place, rng.uniform(-0.25, 0.25))
    return None


def _workspace(embodiment: Embodiment, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (x, y) [m] of the middle share of the workspace."""
    workspace = embodiment.document['simulation']['workspace']
    sides = np.array([workspace['x'], workspace['y']], dtype=float)
    if share < 1.0:
        middle = sides.mean(axis=1, keepdims=True)
        sides = middle + share * (sides - middle)
    return sides[:, 0], sides[:, 1]


def _add_look(root: Element, extent: float) -> None:
    visual = section(root, 'visual')
    SubElement(
        visual, 'headlight', ambient='0.35 0.35 0.35', diffuse='0.3 0.3 0.3', specular='0 0 0'
    )
    SubElement(visual, 'quality', offsamples='0', shadowsize='1024', numslices='12', numstacks='6')
    SubElement(visual, 'map', znear='0.01', zfar='30')
    SubElement(visual, 'global', offwidth='640', offheight='480')
    ElementTree.SubElement(root, 'statistic', extent=f'{extent:g}', center='0.3 0 0')
    flat = numbers(BACKGROUND)
    sky = SubElement(section(root, 'asset'), 'texture', type='skybox', builtin='flat')
    sky.attrib.update(rgb1=flat, rgb2=flat, width='16', height='96')
    _add_checker(root)
    _add_texture(root)
    light = SubElement(section(root, 'worldbody'), 'light', name='lamp')
    # A lamp at a place, not parallel light: its shadow map has no moiré.
    place = extent * np.array([0.5, -0.45, 1.45])
    light.attrib.update(
        pos=numbers(place),
        dir=numbers(-place),
        cutoff='70',
        exponent='0',
        diffuse='0.5 0.5 0.5',
        specular='0 0 0',
        ambient='0 0 0',
        castshadow='true',
    )


def _add_checker(root: Element) -> None:
    """A material to put on a surface; it is multiplied with the surface's own colour."""
    assets = section(root, 'asset')
    texture = SubElement(assets, 'texture', name=CHECKER, type='2d', builtin='checker')
    texture.attrib.update(rgb1='1 1 1', rgb2='0.6 0.6 0.6', width='128', height='128')
    material = SubElement(assets, 'material', name=CHECKER, texture=CHECKER, texuniform='true')
    material.attrib.update(texrepeat='6 6', specular='0', shininess='0', reflectance='0')


def _add_texture(root: Element) -> None:
    """A material like the checker's, whose texture is white until one is drawn."""
    assets, side = section(root, 'asset'), f'{TEXTURE_SIDE}'
    texture = SubElement(assets, 'texture', name=TEXTURE, type='2d', builtin='flat')
    texture.attrib.update(rgb1='1 1 1', width=side, height=side)
    material = SubElement(assets, 'material', name=TEXTURE, texture=TEXTURE, texuniform='true')
    material.attrib.update(texrepeat='1 1', specular='0', shininess='0', reflectance='0')


def _add_distractors(root: Element, aside: float) -> None:
    for index, (name, (shape, size, rgb)) in enumerate({**DISTRACTORS, **CLUTTER}.items()):
        body = SubElement(section(root, 'worldbody'), 'body', name=name, mocap='true')
        body.set('pos', numbers((-aside, 0.3 * index, -0.3)))
        geom = SubElement(body, 'geom', name=name, type=shape, size=numbers(size))
        geom.attrib.update(rgba=numbers([*rgb, 0.0]), contype='0', conaffinity='0')


def _add_table(root: Element, plate: bool) -> None:
    """A table whose top is z = 0, on a floor, with three cubes and perhaps a plate."""
    world = section(root, 'worldbody')
    floor = SubElement(world, 'geom', name='floor', type='plane', size='0 0 1', pos='0 0 -0.75')
    floor.set('rgba', '0.42 0.44 0.47 1')
    table = SubElement(world, 'geom', name='table', type='box', size='0.75 0.8 0.02')
    table.attrib.update(pos='0.45 0 -0.02', rgba='0.76 0.69 0.58 1', friction='1 0.005 0.0001')
    half = 0.5 * CUBE_SIZE
    for color, rgb in COLORS.items():
        cube = _add_free_body(world, f'{color}_cube', half, 'box', (half, half, half), 0.05)
        cube.set('rgba', numbers([*rgb, 1.0]))
    if plate:
        height = 0.5 * PLATE_HEIGHT
        dish = _add_free_body(world, 'plate', height, 'cylinder', (PLATE_RADIUS, height), 0.2)
        dish.set('rgba', '0.95 0.95 0.93 1')


def _add_free_body(
    world: Element, name: str, height: float, shape: str, size: Sequence[float], mass: float
) -> Element:
    body = SubElement(world, 'body', name=name, pos=f'0 0 {height:g}')
    SubElement(body, 'freejoint', name=f'{name}_free')
    geom = SubElement(body, 'geom', name=name, type=shape, size=numbers(size), mass=f'{mass:g}')
    geom.attrib.update(friction='1 0.02 0.0001', condim='4')
    return geom


def _add_arena(root: Element) -> None:
    """A floor at z = 0 with three pillars that stand firm."""
    world = section(root, 'worldbody')
    floor = SubElement(world, 'geom', name='floor', type='plane', size='0 0 1')
    floor.attrib.update(rgba='0.76 0.69 0.58 1', friction='1 0.005 0.0001')
    for color, rgb in COLORS.items():
        body = SubElement(world, 'body', name=f'{color}_pillar', mocap='true')
        geom = SubElement(body, 'geom', name=f'{color}_pillar', type='cylinder')
        geom.set('size', numbers((PILLAR_RADIUS, 0.5 * PILLAR_HEIGHT)))
        geom.set('rgba', numbers([*rgb, 1.0]))


def _add_cameras(root: Element, embodiment: Embodiment) -> None:
    for camera in embodiment.cameras.values():
        if camera.simulation:
            add_camera(root, camera.name, camera.simulation)
    if embodiment.kind == 'base':
        view = {'position': [-1.9, -1.5, 1.9], 'look_at': [0.0, 0.0, 0.0], 'fovy': 45.0}
    else:
        workspace = embodiment.document['simulation']['workspace']
        reach = float(workspace['x'][1])
        view = {
            'position': [0.6 + 1.4 * reach, -1.3 * reach - 0.4, 0.4 + 1.1 * reach],
            'look_at': [0.55 * reach, 0.0, 0.25 * reach],
            'fovy': 40.0,
        }
    add_camera(root, OVERVIEW, {'mount': 'world', **view})


def add_camera(root: Element, name: str, simulation: Mapping[str, Any]) -> None:
    """Add a camera at `position`, looking at `look_at`, both in the frame of link `mount`.

    Raises:
        ConfigError: If the link is unknown, or the camera looks along the vertical, where its
            roll is undefined.
    """
    position = np.asarray(simulation['position'], dtype=float)
    forward = np.asarray(simulation['look_at'], dtype=float) - position
    right = np.cross(forward, (0.0, 0.0, 1.0))
    if np.linalg.norm(right) < 1e-6:
        raise ConfigError(f'camera {name!r} looks straight up or down; move look_at a little')
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    SubElement(
        body_named(root, simulation['mount']),
        'camera',
        name=name,
        pos=numbers(position),
        xyaxes=numbers([*right, *(up / np.linalg.norm(up))]),
        fovy=f'{float(simulation["fovy"]):g}',
    )
