"""Writes a variation into a compiled model, and takes it back."""

from __future__ import annotations

import mujoco
import numpy as np
from univla_core.poses import quaternion_from_rotation
from univla_core.poses import rotation_from_vector

from univla_sim.mjcf_parts import SERVO_GROUP
from univla_sim.scene import CHECKER
from univla_sim.scene import CLUTTER
from univla_sim.scene import CLUTTER_COLORS
from univla_sim.scene import DISTRACTORS
from univla_sim.scene import OVERVIEW
from univla_sim.scene import TEXTURE
from univla_sim.texture import draw_texture
from univla_sim.variation import Variation
from univla_sim.variation import draw_amount
from univla_sim.variation import draw_amounts
from univla_sim.variation import draw_vector

_FIELDS = (
    'geom_rgba',
    'geom_size',
    'geom_rbound',
    'geom_aabb',
    'geom_friction',
    'geom_matid',
    'tex_data',
    'bvh_aabb',
    'light_pos',
    'light_diffuse',
    'cam_pos',
    'cam_quat',
    'body_mass',
    'body_inertia',
    'actuator_gainprm',
    'actuator_biasprm',
)
# Of these, what `redress` begins with anew.
_LOOK = ('geom_rgba', 'geom_matid', 'tex_data', 'light_pos', 'light_diffuse')
_LIGHTS = ('ambient', 'diffuse')


class Scenery:
    """Look and physics of one compiled scene, which can be varied and restored.

    Args:
        model: The compiled scene, not varied yet.
        objects: Names of the objects that may be varied.
        surface: Name of the geom that they stand on.
    """

    def __init__(self, model: mujoco.MjModel, objects: tuple[str, ...], surface: str) -> None:
        self._model = model
        self._fields = {name: getattr(model, name).copy() for name in _FIELDS}
        self._lights = {name: getattr(model.vis.headlight, name).copy() for name in _LIGHTS}
        self._objects = [model.body(name).id for name in objects if name != 'plate']
        self._things = [model.geom(name).id for name in objects]
        self._surface = model.geom(surface).id
        self._cameras = [i for i in range(model.ncam) if model.camera(i).name != OVERVIEW]
        self._strangers = [model.body(name) for name in DISTRACTORS]
        self._clutter = [model.body(name) for name in CLUTTER]

    def restore(self) -> None:
        """Take every change back."""
        self._take_back(_FIELDS)

    def apply(self, variation: Variation, rng: np.random.Generator) -> None:
        """Vary the plain scene."""
        self.restore()
        self._vary_cameras(variation, rng)
        self._vary_light(variation, rng)
        self._vary_colors(variation, rng)
        self._vary_physics(variation, rng)

    def redress(self, variation: Variation, rng: np.random.Generator) -> None:
        """Give the scene other light and colours; cameras and physics stay as they are."""
        self._take_back(_LOOK)
        self._vary_light(variation, rng)
        self._vary_colors(variation, rng)

    def show_distractors(self, count: int, rng: np.random.Generator) -> list[str]:
        """Make some of the distractors visible, with a random order; returns their names."""
        chosen = [self._strangers[i] for i in rng.permutation(len(self._strangers))[:count]]
        for body in chosen:
            self._model.geom_rgba[body.geomadr[0], 3] = 1.0
        return [body.name for body in chosen]

    def show_clutter(self, most: int, rng: np.random.Generator) -> list[str]:
        """Make none to `most` of the clutter visible, in random colours; returns their names."""
        count = int(rng.integers(most + 1))
        chosen = [self._clutter[i] for i in rng.permutation(len(self._clutter))[:count]]
        for body in chosen:
            color = CLUTTER_COLORS[int(rng.integers(len(CLUTTER_COLORS)))]
            self._model.geom_rgba[body.geomadr[0]] = (*color, 1.0)
        return [body.name for body in chosen]

    def _take_back(self, fields: tuple[str, ...]) -> None:
        for name in fields:
            getattr(self._model, name)[:] = self._fields[name]
        for name, value in self._lights.items():
            getattr(self._model.vis.headlight, name)[:] = value

    def _vary_cameras(self, variation: Variation, rng: np.random.Generator) -> None:
        model = self._model
        for camera in self._cameras:
            model.cam_pos[camera] += draw_vector(rng, variation.camera_shift_m)
            turn = rotation_from_vector(draw_vector(rng, variation.camera_turn_rad))
            rotation = np.empty(9)
            mujoco.mju_quat2Mat(rotation, model.cam_quat[camera])
            model.cam_quat[camera] = quaternion_from_rotation(rotation.reshape(3, 3) @ turn)

    def _vary_light(self, variation: Variation, rng: np.random.Generator) -> None:
        self._model.light_pos[:] += draw_vector(rng, variation.light_shift_m)
        strength = 1.0 + draw_amount(rng, variation.light_strength)
        self._model.light_diffuse[:] *= strength
        for name in _LIGHTS:
            getattr(self._model.vis.headlight, name)[:] *= strength

    def _vary_colors(self, variation: Variation, rng: np.random.Generator) -> None:
        rgba = self._model.geom_rgba
        colors = variation.surface_colors
        if colors:
            rgba[self._surface, :3] = colors[int(rng.integers(len(colors)))]
        tints = 1.0 + draw_amounts(rng, variation.tint, (len(rgba), 3))
        own = 1.0 + draw_amounts(rng, variation.object_tint, (len(self._things), 3))
        tints[self._things] = own
        rgba[:, :3] = np.clip(rgba[:, :3] * tints, 0.0, 1.0)
        if variation.checker:
            self._model.geom_matid[self._surface] = self._model.material(CHECKER).id
        if variation.texture[1] > 0.0:
            drawn = draw_texture(rng, rng.uniform(*variation.texture))
            start = self._model.tex_adr[self._model.texture(TEXTURE).id]
            self._model.tex_data[start : start + drawn.size] = drawn.ravel()
            self._model.geom_matid[self._surface] = self._model.material(TEXTURE).id

    def _vary_physics(self, variation: Variation, rng: np.random.Generator) -> None:
        model = self._model
        for body in self._objects:
            size, mass, friction = (
                1.0 + draw_amount(rng, span)
                for span in (
                    variation.object_size,
                    variation.object_mass,
                    variation.object_friction,
                )
            )
            geom = model.body_geomadr[body]
            model.geom_size[geom] *= size
            model.geom_rbound[geom] *= size
            model.geom_aabb[geom] *= size
            first, count = model.body_bvhadr[body], model.body_bvhnum[body]
            model.bvh_aabb[first : first + count] *= size
            model.geom_friction[geom, 0] *= friction
            model.body_mass[body] *= mass
            model.body_inertia[body] *= mass * size**2
        servos = model.actuator_group == SERVO_GROUP
        stiffness = 1.0 + draw_amount(rng, variation.servo_stiffness)
        model.actuator_gainprm[servos] *= stiffness
        model.actuator_biasprm[servos] *= stiffness
