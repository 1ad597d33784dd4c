"""OpenGL without a window: which platform works here, and one thread that owns the context.

A GL library may be absent, or crash the process that touches it, so a platform is first tried in
a child process. All drawing of a process then happens on one thread with one context, which
stays alive: pictures drawn while another context is torn down are garbage without an error.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mujoco
import numpy as np

#: Platforms in the order in which they are tried.
PLATFORMS = ('egl', 'osmesa')

# Every geom in a colour of its own, which is its number.
_SEGMENT, _ID_COLOR = mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR
_PROBE_TIMEOUT_S = 30.0
_PROBE = 'import sys; from univla_sim.gl import probe_here; probe_here(sys.argv[1])'
_TEST_MODEL = (
    '<mujoco><visual><headlight specular="0 0 0"/></visual><worldbody>'
    '<geom size="1" rgba="1 0 0 1"/><camera name="c" pos="0 0 3"/></worldbody></mujoco>'
)


@functools.cache
def choose_platform() -> tuple[str, str]:
    """The GL platform that works on this machine, and why: ('', reason) if none does.

    Obeys `MUJOCO_GL` when it names a platform or says `disable`. Tries each once per process.
    """
    wish = os.environ.get('MUJOCO_GL', '').lower()
    if wish in ('disable', 'disabled', 'off', 'false', '0'):
        return '', f'MUJOCO_GL={wish}'
    reasons = []
    for platform in (wish,) if wish in PLATFORMS else PLATFORMS:
        failure = probe(platform)
        if not failure:
            return platform, f'OpenGL through {platform.upper()}'
        reasons.append(f'{platform}: {failure}')
    return '', '; '.join(reasons)


def probe(platform: str) -> str:
    """Draw one picture in a child process; returns '' or why that failed."""
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, '-c', _PROBE, platform],
            env={**os.environ, 'PYTHONPATH': paths},
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f'no picture within {_PROBE_TIMEOUT_S:g} s'
    if done.returncode == 0:
        return ''
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f'the process ended with status {done.returncode}'


def probe_here(platform: str) -> None:
    """Draw a red ball in this process and look whether it came out red; else exit with 1."""
    model = mujoco.MjModel.from_xml_string(_TEST_MODEL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    drawer = GlDrawer(model, platform)
    picture = drawer.draw(data, 0, 64, 48)
    drawer.close()
    red, green, _ = picture[24, 32]
    sys.exit(0 if red > 50 and green < 30 else 'the test picture came out wrong')


class GlDrawer:
    """Draws one model with OpenGL. Several may live at once; they share thread and context.

    Args:
        model: What to draw.
        platform: `egl` or `osmesa`; the first drawer of a process decides for all.
    """

    def __init__(self, model: mujoco.MjModel, platform: str) -> None:
        self._model = model
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._option = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
        self._worker = _worker(platform)
        self._context = self._worker.submit(_make_model_context, model).result()
        self._finalizer = weakref.finalize(self, _free, self._worker, self._context)

    def draw(
        self, data: mujoco.MjData, camera: int, width: int, height: int, shadows: bool = False
    ) -> np.ndarray:
        """The picture of camera number `camera`, uint8, shape (height, width, 3)."""
        self._camera.fixedcamid = camera
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        category = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera, category, self._scene
        )
        return self._worker.submit(_draw, self._scene, self._context, width, height).result()

    def upload_texture(self, number: int) -> None:
        """Draw texture number `number` as the model holds it now, from the next picture on."""
        self._worker.submit(_upload, self._model, self._context, number).result()

    def segment(self, data: mujoco.MjData, camera: int, width: int, height: int) -> np.ndarray:
        """Number of the geom in each pixel, -1 = none, int32, shape (height, width)."""
        self._scene.flags[_SEGMENT] = self._scene.flags[_ID_COLOR] = True
        try:
            picture = self.draw(data, camera, width, height).astype(np.int32)
        finally:
            self._scene.flags[_SEGMENT] = self._scene.flags[_ID_COLOR] = False
        numbers = picture @ np.array([1, 1 << 8, 1 << 16])
        geoms = np.full(self._scene.ngeom + 1, -1, dtype=np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.segid >= 0:
                geoms[geom.segid + 1] = geom.objid
        return geoms[numbers]

    def close(self) -> None:
        """Free the model's textures and buffers; the shared context stays."""
        self._finalizer()


@functools.cache
def _workers() -> dict[int, ThreadPoolExecutor]:
    return {}


def _worker(platform: str) -> ThreadPoolExecutor:
    """The drawing thread of this process (a fork has none of its parent's)."""
    workers = _workers()
    if os.getpid() not in workers:
        worker = ThreadPoolExecutor(1, thread_name_prefix='univla_gl')
        context = worker.submit(_make_context, platform).result()
        workers[os.getpid()] = worker
        # Runs before the platform's own clean-up, which was registered earlier.
        atexit.register(_shut_down, worker, context, os.getpid())
    return workers[os.getpid()]


def _make_context(platform: str) -> Any:
    context = importlib.import_module(f'mujoco.{platform}').GLContext(640, 480)
    context.make_current()
    return context


def _make_model_context(model: mujoco.MjModel) -> mujoco.MjrContext:
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    return context


def _draw(
    scene: mujoco.MjvScene, context: mujoco.MjrContext, width: int, height: int
) -> np.ndarray:
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    if width > context.offWidth or height > context.offHeight:
        size = max(width, context.offWidth), max(height, context.offHeight)
        mujoco.mjr_resizeOffscreen(*size, context)
    viewport = mujoco.MjrRect(0, 0, width, height)
    picture = np.empty((height, width, 3), dtype=np.uint8)
    mujoco.mjr_render(viewport, scene, context)
    mujoco.mjr_readPixels(picture, None, viewport, context)
    return np.ascontiguousarray(picture[::-1])


def _upload(model: mujoco.MjModel, context: mujoco.MjrContext, number: int) -> None:
    mujoco.mjr_uploadTexture(model, context, number)


def _free(worker: ThreadPoolExecutor, context: mujoco.MjrContext) -> None:
    try:
        worker.submit(context.free)
    except RuntimeError:  # the thread has ended with the interpreter, and the context with it
        return


def _shut_down(worker: ThreadPoolExecutor, context: Any, process: int) -> None:
    if os.getpid() == process:
        worker.shutdown(wait=True)
        context.free()
