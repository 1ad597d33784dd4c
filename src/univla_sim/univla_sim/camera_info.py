"""Geometry of the simulated cameras: intrinsics, pose, and where a point appears."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.poses import pose

from univla_sim.render import camera_id
from univla_sim.scene import OVERVIEW

_OVERVIEW_SIZE = (640, 480)
# Camera frames: MuJoCo looks along -z with y up, REP-103 optical along +z with y down.
_T_CAMERA_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class CameraInfo:
    """Geometry of a simulated camera, without distortion.

    Attributes:
        width: Columns.
        height: Rows.
        K: Intrinsics (3, 3); the centre of the first pixel is (0, 0).
        T_world_camera_optical: Pose of the optical frame of REP-103 (z forward, y down), (4, 4).
    """

    width: int
    height: int
    K: np.ndarray
    T_world_camera_optical: np.ndarray

    def project(self, point: np.ndarray) -> tuple[float, float, float]:
        """Column, row and depth [m] of a point (3,) of the world; depth <= 0 is behind."""
        T_optical_world = np.linalg.inv(self.T_world_camera_optical)
        x, y, depth = T_optical_world[:3, :3] @ point + T_optical_world[:3, 3]
        if depth <= 0.0:
            return np.nan, np.nan, float(depth)
        u, v, _ = self.K @ np.array([x / depth, y / depth, 1.0])
        return float(u), float(v), float(depth)


def camera_size(model: mujoco.MjModel, embodiment: Embodiment, camera: str) -> tuple[int, int]:
    """Width and height of a camera's own pictures.

    Raises:
        ConfigError: If the camera is unknown; the known ones are listed.
    """
    camera_id(model, camera)
    if camera == OVERVIEW:
        return _OVERVIEW_SIZE
    declared = embodiment.cameras[camera]
    return declared.width, declared.height


def camera_info(
    model: mujoco.MjModel, data: mujoco.MjData, camera: str, size: tuple[int, int]
) -> CameraInfo:
    """Intrinsics and present pose of a camera that draws pictures of a size (width, height).

    Raises:
        ConfigError: If the camera is unknown; the known ones are listed.
    """
    number = camera_id(model, camera)
    width, height = size
    focal = 0.5 * height / np.tan(0.5 * np.radians(model.cam_fovy[number]))
    K = np.array(
        [[focal, 0.0, 0.5 * (width - 1)], [0.0, focal, 0.5 * (height - 1)], [0.0, 0.0, 1.0]]
    )
    rotation = data.cam_xmat[number].reshape(3, 3)
    T_world_camera = pose(rotation, data.cam_xpos[number])
    return CameraInfo(
        width=width,
        height=height,
        K=K,
        T_world_camera_optical=T_world_camera @ _T_CAMERA_OPTICAL,
    )
