"""Pictures by casting rays, for machines without any OpenGL library.

Colour is the geom's rgba under the same lights as OpenGL's, without shadows.
"""

from __future__ import annotations

import mujoco
import numpy as np

from univla_sim.scene import BACKGROUND

_GROUPS = np.array([1, 1, 1, 0, 0, 0], dtype=np.uint8)


class RayDrawer:
    """Draws one model by `mj_multiRay` and Lambert's law.

    A coarse grid of every second pixel is cast first; only blocks whose corners hit different
    things are cast in full, the others are filled in between.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._directions: dict[tuple[int, int, float], np.ndarray] = {}

    def draw(
        self, data: mujoco.MjData, camera: int, width: int, height: int, shadows: bool = False
    ) -> np.ndarray:
        """The picture of camera number `camera`, uint8, shape (height, width, 3), no shadows."""
        del shadows
        rotation = data.cam_xmat[camera].reshape(3, 3)
        rays = self._camera_rays(camera, width, height) @ rotation.T
        rows, columns = _coarse(height), _coarse(width)
        coarse, geoms = self._cast(data, camera, rays[rows][:, columns])
        picture, edge = _enlarge(coarse, geoms, rows, columns)
        picture[edge] = self._cast(data, camera, rays[edge])[0]
        return (np.clip(picture, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)

    def segment(self, data: mujoco.MjData, camera: int, width: int, height: int) -> np.ndarray:
        """Number of the geom in each pixel, -1 = none, int32, shape (height, width)."""
        rays = self._camera_rays(camera, width, height) @ data.cam_xmat[camera].reshape(3, 3).T
        return self._cast(data, camera, rays)[1]

    def _camera_rays(self, camera: int, width: int, height: int) -> np.ndarray:
        """Unit directions in the camera's frame (x right, y up, z back), (height, width, 3)."""
        fovy = float(self._model.cam_fovy[camera])
        key = (width, height, fovy)
        if key not in self._directions:
            focal = 0.5 * height / np.tan(0.5 * np.radians(fovy))
            x = (np.arange(width) - 0.5 * (width - 1)) / focal
            y = (0.5 * (height - 1) - np.arange(height)) / focal
            grid = np.stack(np.broadcast_arrays(x[None, :], y[:, None], -1.0), axis=-1)
            self._directions[key] = grid / np.linalg.norm(grid, axis=-1, keepdims=True)
        return self._directions[key]

    def _cast(
        self, data: mujoco.MjData, camera: int, rays: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colours (…, 3) in [0, 1] and geom numbers (…,), -1 = nothing, along unit rays (…, 3)."""
        count = rays[..., 0].size
        geoms, distances = np.empty(count, dtype=np.int32), np.empty(count)
        normals = np.empty(3 * count)
        mujoco.mj_multiRay(
            self._model,
            data,
            data.cam_xpos[camera],
            np.ascontiguousarray(rays).reshape(-1),
            _GROUPS,
            True,
            -1,
            geoms,
            distances,
            normals,
            count,
            mujoco.mjMAXVAL,
        )
        points = data.cam_xpos[camera] + distances[:, None] * rays.reshape(-1, 3)
        forward = -data.cam_xmat[camera].reshape(3, 3)[:, 2]
        colors = self._shade(data, geoms, points, normals.reshape(-1, 3), forward)
        return colors.reshape(rays.shape), geoms.reshape(rays.shape[:-1])

    def _shade(
        self,
        data: mujoco.MjData,
        geoms: np.ndarray,
        points: np.ndarray,
        normals: np.ndarray,
        forward: np.ndarray,
    ) -> np.ndarray:
        headlight, model = self._model.vis.headlight, self._model
        facing = np.maximum(0.0, -normals @ forward)
        light = np.asarray(headlight.ambient) + np.outer(facing, headlight.diffuse)
        for index in range(model.nlight):
            towards = data.light_xpos[index] - points
            towards /= np.linalg.norm(towards, axis=1, keepdims=True)
            facing = np.maximum(0.0, np.einsum('ij,ij->i', normals, towards))
            light += np.outer(facing, model.light_diffuse[index])
        colors = model.geom_rgba[geoms, :3] * light
        colors[geoms < 0] = BACKGROUND
        return colors


def _coarse(size: int) -> np.ndarray:
    """Every second pixel of a side, and its last."""
    return np.unique(np.append(np.arange(0, size, 2), size - 1))


def _enlarge(
    coarse: np.ndarray, geoms: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fill the pixels between the coarse ones; also tell which lie beside an edge.

    Returns:
        The picture (height, width, 3), and a mask (height, width) of pixels whose neighbours in
        the coarse grid belong to different geoms.
    """
    down = np.searchsorted(rows, np.arange(rows[-1] + 1))
    right = np.searchsorted(columns, np.arange(columns[-1] + 1))
    up, left = np.maximum(down - (rows[down] > np.arange(len(down))), 0), None
    left = np.maximum(right - (columns[right] > np.arange(len(right))), 0)
    corners = [np.ix_(a, b) for a in (up, down) for b in (left, right)]
    picture = sum(coarse[corner] for corner in corners) / 4.0
    first = geoms[corners[0]]
    edge = np.zeros(first.shape, dtype=bool)
    for corner in corners[1:]:
        edge |= geoms[corner] != first
    return picture, edge
