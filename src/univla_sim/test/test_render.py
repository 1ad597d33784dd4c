"""Both back ends draw the same picture, show what is where, and fail in words."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_sim.gl import choose_platform
from univla_sim.ray import RayDrawer
from univla_sim.render import choose_backend
from univla_sim.world import World

ROBOTS = robot_names()
GL = pytest.param(
    'gl', marks=pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
)
BACKENDS = ['ray', GL]


def same(first, second):
    """Equal but for the last bit of a few pixels, which a GL driver may round differently."""
    difference = np.abs(first.astype(int) - second)
    return difference.max() <= 2 and np.mean(difference > 0) < 1e-3


def project(world, point, camera='primary'):
    """Column and row of a point of the world in a camera's picture."""
    info = world.camera_info(camera)
    p = np.linalg.inv(info.T_world_camera_optical) @ np.append(point, 1.0)
    assert p[2] > 0.0, 'behind the camera'
    column, row, _ = info.K @ (p[:3] / p[2])
    return round(column), round(row)


def a_seen_object(world):
    """An object in the middle of the picture's width, its colour's index and its pixel."""
    for name, T_world_object in world.objects().items():
        if name == 'plate':
            continue
        try:
            column, row = project(world, T_world_object[:3, 3])
        except AssertionError:
            continue
        if 40 <= column < 600 and 0 <= row < 480:
            return ['red', 'green', 'blue'].index(name.split('_')[0]), (column, row)
    return None


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('name', ROBOTS)
def test_an_object_is_seen_where_it_is(name, backend):
    """Seed 4 has a pillar ahead of the base and no arm before a cube."""
    world = World(load_embodiment(name), seed=4, render_backend=backend)
    picture = world.render()
    assert picture.shape == (480, 640, 3)
    assert picture.dtype == np.uint8
    channel, (column, row) = a_seen_object(world)
    color = picture[row, column].astype(int)
    others = np.delete(color, channel)
    assert color[channel] > 1.8 * others.max()


@pytest.mark.parametrize('name', ROBOTS)
@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_both_back_ends_draw_the_same_picture(name):
    """All but edges: nine pixels in ten within 8 of 255, the mean within 2."""
    gl, ray = (
        World(load_embodiment(name), seed=4, render_backend=b).render().astype(int)
        for b in ('gl', 'ray')
    )
    difference = np.abs(gl - ray).max(axis=-1)
    assert np.percentile(difference, 90) <= 8
    assert abs(gl.mean() - ray.mean()) < 2.0


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_moved_cube_moves_in_the_picture(backend):
    world = World(load_embodiment('widowx'), seed=0, render_backend=backend)
    before = world.render()
    world.reset(1)
    assert not same(before, world.render())
    world.reset(0)
    assert same(world.render(), before)


def test_casting_few_rays_draws_what_casting_all_would():
    """The coarse grid may only smear shading inside a surface, never move an edge."""
    world = World(load_embodiment('widowx'), seed=0)
    drawer = RayDrawer(world.model)
    picture = drawer.draw(world.data, 0, 160, 120).astype(int)
    rays = drawer._camera_rays(0, 160, 120) @ world.data.cam_xmat[0].reshape(3, 3).T
    full = 255.0 * np.clip(drawer._cast(world.data, 0, rays)[0], 0.0, 1.0)
    wrong = np.abs(picture - full).max(axis=-1) > 12
    assert wrong.mean() < 0.01


def test_camera_geometry_by_hand():
    """fovy 33° over 480 rows: f = 240 / tan 16.5° = 810.23; the look-at point is the centre."""
    robot = load_embodiment('widowx')
    view = robot.cameras['primary'].simulation
    world = World(robot)
    info = world.camera_info('primary')
    assert view['fovy'] == 33.0
    assert (
        pytest.approx(np.array([[810.23, 0, 319.5], [0, 810.23, 239.5], [0, 0, 1]]), abs=0.01)
        == info.K
    )
    assert info.T_world_camera_optical[:3, 3] == pytest.approx(view['position'])
    assert project(world, view['look_at']) in {(319, 239), (320, 240), (320, 239), (319, 240)}
    down = info.T_world_camera_optical[:3, 1]
    assert down[2] < 0.0


def test_a_mounted_camera_rides_along():
    world = World(load_embodiment('mobile_base'))
    before = world.camera_info().T_world_camera_optical[:3, 3]
    world.set_twist(0.2, 0.0)
    world.step(1.0)
    moved = world.camera_info().T_world_camera_optical[:3, 3] - before
    assert moved == pytest.approx([world.base_pose[0], 0.0, 0.0], abs=2e-3)


@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_renderers_that_come_and_go_do_not_spoil_each_other():
    robot = load_embodiment('widowx')
    keeper = World(robot, seed=4, render_backend='gl')
    expected = keeper.render()
    for seed in range(3):
        passing = World(robot, seed=seed, render_backend='gl')
        passing.render()
        if seed:
            passing.close()
        del passing
        assert same(keeper.render(), expected)
    pictures = []
    thread = threading.Thread(target=lambda: pictures.append(keeper.render()))
    thread.start()
    thread.join()
    assert same(pictures[0], expected)


@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_pictures_larger_than_the_first_are_whole():
    world = World(load_embodiment('widowx'), seed=4, render_backend='gl')
    large = world.renderer.render('primary', 1280, 960)
    assert large.shape == (960, 1280, 3)
    difference = np.abs(large[::2, ::2].astype(int) - world.render())
    assert np.percentile(difference, 90) <= 8


def backend_in_a_new_process(**environment):
    """What `auto` chooses in a process with these variables, and its reason."""
    code = (
        'from univla_core.embodiment import load_embodiment\n'
        'from univla_sim.world import World\n'
        'world = World(load_embodiment("widowx"))\n'
        'picture = world.render()\n'
        'print(world.renderer.backend, picture.mean() > 50, world.renderer.reason, sep="|")\n'
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': paths, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    return done.stdout.strip().split('|')


def test_rays_serve_where_gl_is_switched_off():
    backend, bright, reason = backend_in_a_new_process(MUJOCO_GL='disable', UNIVLA_RENDER='')
    assert (backend, bright) == ('ray', 'True')
    assert 'MUJOCO_GL=disable' in reason


def test_rays_serve_where_gl_cannot_be_loaded():
    """PyOpenGL is told to load a platform that does not exist."""
    backend, bright, reason = backend_in_a_new_process(
        MUJOCO_GL='', UNIVLA_RENDER='', PYOPENGL_PLATFORM='nowhere'
    )
    assert (backend, bright) == ('ray', 'True')
    assert 'egl' in reason
    assert 'osmesa' in reason


def test_the_environment_decides_for_auto_but_not_against_a_wish(monkeypatch):
    monkeypatch.setenv('UNIVLA_RENDER', 'ray')
    assert choose_backend('auto')[:2] == ('ray', 'UNIVLA_RENDER')
    monkeypatch.setenv('UNIVLA_RENDER', 'paint')
    assert choose_backend('ray')[0] == 'ray'
    with pytest.raises(
        ConfigError, match=r"'paint' \(UNIVLA_RENDER\); choose one of auto, gl, ray"
    ):
        choose_backend('auto')


def test_unknown_cameras_and_sizes_are_refused():
    world = World(load_embodiment('widowx'), render_backend='ray')
    with pytest.raises(
        ConfigError, match="unknown camera 'wrist'; the simulation has primary, overview"
    ):
        world.render('wrist')
    with pytest.raises(ConfigError, match="unknown camera 'wrist'"):
        world.camera_info('wrist')
    with pytest.raises(ConfigError, match='0x480 pixels'):
        world.renderer.render('primary', 0, 480)
