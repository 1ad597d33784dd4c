"""A pinhole camera: where points of the robot's base frame appear in the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from univla_core.embodiment import Camera


@dataclass(frozen=True)
class Pinhole:
    """Intrinsics and place of one camera.

    Attributes:
        T_camera_base: Base frame seen in the optical frame (z forward, x right, y down), (4, 4).
        focal: Focal length [px].
        width: Picture width [px].
        height: Picture height [px].
    """

    T_camera_base: np.ndarray
    focal: float
    width: int
    height: int

    @classmethod
    def of_simulation(cls, camera: Camera) -> Pinhole:
        """The camera as `cameras.<name>.simulation` of the robot's YAML places it."""
        place = camera.simulation
        position = np.array(place['position'], dtype=float)
        forward = np.array(place['look_at'], dtype=float) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        T_camera_base = np.eye(4)
        T_camera_base[:3, :3] = [right, np.cross(forward, right), forward]
        T_camera_base[:3, 3] = -T_camera_base[:3, :3] @ position
        focal = 0.5 * camera.height / math.tan(math.radians(place['fovy']) / 2.0)
        return cls(T_camera_base, focal, camera.width, camera.height)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (column, row) of points in the base frame.

        Args:
            points: Points [m], shape (n, 3).

        Returns:
            Shape (n, 2); NaN for points behind the camera.
        """
        seen = points @ self.T_camera_base[:3, :3].T + self.T_camera_base[:3, 3]
        depth = np.where(seen[:, 2] > 1e-6, seen[:, 2], np.nan)
        centre = np.array([0.5 * self.width, 0.5 * self.height])
        return self.focal * seen[:, :2] / depth[:, None] + centre
