"""What a picture shows, from ground truth: where each thing is, and what each pixel belongs to."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.urdf import moving_link

from univla_sim.camera_info import CameraInfo
from univla_sim.scene import CLUTTER
from univla_sim.scene import COLORS
from univla_sim.scene import DISTRACTORS

#: Names of the numbers in a segmentation picture, the same for every robot and scene.
SEGMENTS = (
    'background',
    'robot',
    'gripper',
    *(f'{color}_cube' for color in COLORS),
    'plate',
    *(f'{color}_pillar' for color in COLORS),
    'distractor',
)
#: Name of the end effector among the pixel positions.
END_EFFECTOR = 'end_effector'

_GROUPS = np.array([1, 1, 1, 0, 0, 0], dtype=np.uint8)
# What hides a point lies at least this far in front of it [m].
_IN_FRONT = 0.01


class PixelPosition(NamedTuple):
    """Where the centre of a thing appears in a picture.

    Attributes:
        u: Column, the centre of the first pixel is 0; NaN behind the camera.
        v: Row, counted downwards.
        visible: Whether that point is inside the picture and nothing else hides it.
    """

    u: float
    v: float
    visible: bool


def segment_table(model: mujoco.MjModel, embodiment: Embodiment) -> np.ndarray:
    """Number in `SEGMENTS` of each geom, and of nothing as the last entry, (ngeom + 1,), uint8."""
    fingers = embodiment.gripper.fingers if embodiment.gripper else ()
    special = {moving_link(finger['name']): 'gripper' for finger in fingers}
    special |= dict.fromkeys((*DISTRACTORS, *CLUTTER), 'distractor') | {'world': 'background'}
    table = np.zeros(model.ngeom + 1, dtype=np.uint8)
    for geom in range(model.ngeom):
        name = model.body(model.geom_bodyid[geom]).name
        segment = special.get(name, name if name in SEGMENTS else 'robot')
        table[geom] = SEGMENTS.index(segment)
    return table


class PixelPositions:
    """Finds objects and the end effector in the pictures of one scene.

    Args:
        model: The compiled scene.
        data: Its state.
        embodiment: The robot.
        objects: Names of the objects.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        embodiment: Embodiment,
        objects: tuple[str, ...],
    ) -> None:
        self._model, self._data = model, data
        self._bodies = {name: model.body(name).id for name in objects}
        self._site = model.site(embodiment.ee_frame).id

    def find(self, info: CameraInfo) -> dict[str, PixelPosition]:
        """Name -> pixel position of every object and of `end_effector`."""
        found = {
            name: self._find(info, self._data.xpos[body], body)
            for name, body in self._bodies.items()
        }
        hand = self._data.site_xpos[self._site]
        found[END_EFFECTOR] = self._find(info, hand, int(self._model.site_bodyid[self._site]))
        return found

    def _find(self, info: CameraInfo, point: np.ndarray, body: int) -> PixelPosition:
        u, v, depth = info.project(point)
        inside = depth > 0.0 and -0.5 <= u < info.width - 0.5 and -0.5 <= v < info.height - 0.5
        return PixelPosition(u, v, bool(inside and self._seen(info, point, body)))

    def _seen(self, info: CameraInfo, point: np.ndarray, body: int) -> bool:
        eye = info.T_world_camera_optical[:3, 3]
        way = point - eye
        length = float(np.linalg.norm(way))
        hit = np.array([-1], dtype=np.int32)
        distance = mujoco.mj_ray(
            self._model, self._data, eye, way / length, _GROUPS, 1, -1, hit, None
        )
        if hit[0] < 0 or distance > length - _IN_FRONT:
            return True
        return int(self._model.geom_bodyid[hit[0]]) == body
