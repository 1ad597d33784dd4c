"""Pictures from the cameras of a model: by OpenGL where there is one, else by rays."""

from __future__ import annotations

import os

import mujoco
import numpy as np
from univla_core.errors import ConfigError

from univla_sim.gl import GlDrawer
from univla_sim.gl import choose_platform
from univla_sim.ray import RayDrawer
from univla_sim.scene import OVERVIEW

BACKENDS = ('auto', 'gl', 'ray')


class Renderer:
    """Draws what the cameras of one model see.

    Attributes:
        backend: `gl` or `ray`, whichever is used. The robot's cameras see no shadows, so that
            both draw the same picture but for a few pixels at edges; `overview` has shadows in
            `gl` alone. Record it beside pictures that a policy learns from.
        reason: Why this one, in words for a log.

    Args:
        model: What to draw.
        data: Its state, read at every call of `render`.
        backend: `gl`, `ray`, or `auto`: what the variable `UNIVLA_RENDER` says, else OpenGL if
            EGL or OSMesa works here, else rays.

    Raises:
        ConfigError: If the back end is unknown, or `gl` is wanted and no OpenGL works.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, backend: str = 'auto') -> None:
        self._model, self._data = model, data
        self.backend, self.reason, platform = choose_backend(backend)
        self._drawer: GlDrawer | RayDrawer = (
            GlDrawer(model, platform) if self.backend == 'gl' else RayDrawer(model)
        )

    def render(self, camera: str, width: int, height: int) -> np.ndarray:
        """What a camera sees now.

        Args:
            camera: Name of the camera in the model.
            width: Columns.
            height: Rows.

        Returns:
            RGB picture, uint8, shape (height, width, 3), first row at the top.

        Raises:
            ConfigError: If the camera is unknown (the known ones are listed) or the size is not
                positive.
        """
        number = self._checked(camera, width, height)
        return self._drawer.draw(self._data, number, width, height, shadows=camera == OVERVIEW)

    def segment(self, camera: str, width: int, height: int) -> np.ndarray:
        """Number of the geom that each pixel shows, -1 = none, int32, shape (height, width).

        Raises:
            ConfigError: If the camera is unknown or the size is not positive.
        """
        number = self._checked(camera, width, height)
        return self._drawer.segment(self._data, number, width, height)

    def upload_texture(self, name: str) -> None:
        """Draw a texture as the model holds it now; rays draw none."""
        if isinstance(self._drawer, GlDrawer):
            self._drawer.upload_texture(self._model.texture(name).id)

    def _checked(self, camera: str, width: int, height: int) -> int:
        if width < 1 or height < 1:
            raise ConfigError(f'a picture of {width}x{height} pixels cannot be drawn')
        return camera_id(self._model, camera)

    def close(self) -> None:
        """Give the drawing buffers back; also done when the renderer is dropped."""
        if isinstance(self._drawer, GlDrawer):
            self._drawer.close()


def camera_id(model: mujoco.MjModel, name: str) -> int:
    """Number of a camera in the model.

    Raises:
        ConfigError: If it is unknown; the known ones are listed.
    """
    number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name)
    if number < 0:
        known = ', '.join(model.camera(index).name for index in range(model.ncam))
        raise ConfigError(f'unknown camera {name!r}; the simulation has {known}')
    return number


def choose_backend(wish: str = 'auto') -> tuple[str, str, str]:
    """Back end (`gl` or `ray`), the reason, and the GL platform ('' for rays).

    Raises:
        ConfigError: If the wish is unknown or cannot be had.
    """
    source = 'asked for'
    if wish == 'auto' and os.environ.get('UNIVLA_RENDER'):
        wish, source = os.environ['UNIVLA_RENDER'], 'UNIVLA_RENDER'
    if wish not in BACKENDS:
        raise ConfigError(
            f'unknown render back end {wish!r} ({source}); choose one of {", ".join(BACKENDS)}'
        )
    if wish == 'ray':
        return 'ray', source, ''
    platform, reason = choose_platform()
    if platform:
        return 'gl', reason, platform
    if wish == 'gl':
        raise ConfigError(
            f'no OpenGL works here ({reason}); install libegl1 and libgl1, or choose ray'
        )
    return 'ray', f'no OpenGL ({reason})', ''
