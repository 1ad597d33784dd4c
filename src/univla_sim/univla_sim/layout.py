"""Puts the objects of a scene in their places, plain or varied."""

from __future__ import annotations

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment

from univla_sim.scene import ARENA
from univla_sim.scene import PILLAR_GAP
from univla_sim.scene import object_names
from univla_sim.scene import sample_layout
from univla_sim.scene import surface_name
from univla_sim.scenery import Scenery
from univla_sim.variation import Span
from univla_sim.variation import Variation
from univla_sim.variation import draw_amount

#: How far beside the workspace distractors stand [m].
_ASIDE = (0.06, 0.10)
# The same of clutter.
_SCATTERED = (0.06, 0.18)


class Layout:
    """Places objects, and varies how the scene looks.

    Args:
        model: The compiled scene.
        data: Its state.
        embodiment: The robot.
        plate: Whether the scene has a plate.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, embodiment: Embodiment, plate: bool
    ) -> None:
        self._model, self._data = model, data
        self._embodiment, self._plate = embodiment, plate
        names = object_names(embodiment, plate)
        self._scenery = Scenery(model, names, surface_name(embodiment))

    def place(self, seed: int, variation: Variation | None, rng: np.random.Generator) -> None:
        """Stand every object in its place.

        Args:
            seed: Decides the places.
            variation: What varies, None for the plain scene.
            rng: Decides what varies.
        """
        plain = np.random.default_rng(seed)
        if variation is None:
            self._scenery.restore()
            places = sample_layout(self._embodiment, plain, self._plate)
        else:
            self._scenery.apply(variation, rng)
            places = sample_layout(
                self._embodiment,
                plain,
                self._plate,
                variation.object_spread,
                variation.object_gap_m,
            )
            self._rearrange(places, variation, rng)
            self._set_aside(variation.distractors, rng)
            self._scatter(variation.clutter, rng)
        for name, (x, y, yaw) in places.items():
            self._stand(name, x, y, yaw)

    def redress(self, variation: Variation, rng: np.random.Generator) -> None:
        """Give the scene other light, colours and clutter; all else stays in its place."""
        self._scenery.redress(variation, rng)
        self._scatter(variation.clutter, rng)

    def _rearrange(
        self, places: dict[str, np.ndarray], variation: Variation, rng: np.random.Generator
    ) -> None:
        if variation.object_yaw_rad is not None:
            for place in places.values():
                place[2] = draw_amount(rng, variation.object_yaw_rad)
        if variation.pillar_distance_m is not None and self._embodiment.kind == 'base':
            ring = _ring(len(places), variation.pillar_distance_m, rng)
            for place, point in zip(places.values(), ring, strict=True):
                place[:2] = point

    def _set_aside(self, count: int, rng: np.random.Generator) -> None:
        """Stand distractors beside the workspace, or beyond the corners of a base's arena."""
        sides = [-1.0, 1.0]
        for name in self._scenery.show_distractors(count, rng):
            side = sides.pop(int(rng.integers(len(sides)))) if sides else 1.0
            if self._embodiment.kind == 'base':
                x, y = rng.uniform(-ARENA, ARENA), side * (ARENA + rng.uniform(0.2, 0.4))
            else:
                workspace = self._embodiment.document['simulation']['workspace']
                x = rng.uniform(*workspace['x'])
                y = side * (max(map(abs, workspace['y'])) + rng.uniform(*_ASIDE))
            self._stand(name, x, y, 0.0)

    def _scatter(self, most: int, rng: np.random.Generator) -> None:
        """Stand clutter on both sides of the workspace, or around a base's arena."""
        if not most:
            return
        for name in self._scenery.show_clutter(most, rng):
            side = float(rng.choice((-1.0, 1.0)))
            if self._embodiment.kind == 'base':
                x, y = rng.uniform(-ARENA, ARENA), side * (ARENA + rng.uniform(0.1, 0.5))
            else:
                workspace = self._embodiment.document['simulation']['workspace']
                x = rng.uniform(*workspace['x'])
                y = side * (max(map(abs, workspace['y'])) + rng.uniform(*_SCATTERED))
            self._stand(name, x, y, rng.uniform(-np.pi, np.pi))

    def _stand(self, name: str, x: float, y: float, yaw: float) -> None:
        """Stand an object upright at x, y [m] with a yaw [rad]."""
        half = self._half_height(int(self._model.body_geomadr[self._model.body(name).id]))
        self.put(name, np.array([x, y, half]), yaw)

    def put(self, name: str, place: np.ndarray, yaw: float) -> None:
        """Put an object's centre at a place (3,) [m], upright, with a yaw [rad]."""
        body = self._model.body(name)
        quaternion = [np.cos(0.5 * yaw), 0.0, 0.0, np.sin(0.5 * yaw)]
        if body.mocapid[0] >= 0:
            self._data.mocap_pos[body.mocapid[0]] = place
            self._data.mocap_quat[body.mocapid[0]] = quaternion
        else:
            start = self._model.jnt_qposadr[body.jntadr[0]]
            self._data.qpos[start : start + 7] = (*place, *quaternion)

    def _half_height(self, geom: int) -> float:
        kind = self._model.geom_type[geom]
        if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            return float(self._model.geom_size[geom][0])
        flat = kind == mujoco.mjtGeom.mjGEOM_CYLINDER
        return float(self._model.geom_size[geom][1 if flat else 2])


def _ring(count: int, distance: Span, rng: np.random.Generator) -> np.ndarray:
    """Points (count, 2) [m] at a distance from the origin, well apart from each other."""
    while True:
        angles = rng.uniform(-np.pi, np.pi, count)
        ring = np.column_stack([np.cos(angles), np.sin(angles)])
        ring *= rng.uniform(*distance, size=(count, 1))
        gaps = np.linalg.norm(ring[:, None] - ring[None], axis=-1)
        if gaps[~np.eye(count, dtype=bool)].min(initial=np.inf) > PILLAR_GAP:
            return ring
