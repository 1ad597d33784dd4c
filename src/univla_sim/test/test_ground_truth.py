"""Pixel positions, segmentation and pictures tell the same story."""

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_sim.gl import choose_platform
from univla_sim.ground_truth import END_EFFECTOR
from univla_sim.ground_truth import SEGMENTS
from univla_sim.variation import Variation
from univla_sim.world import World

ROBOTS = robot_names()
GL = pytest.param(
    'gl', marks=pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
)
SIZE = (320, 240)


@pytest.mark.parametrize('backend', ['ray', GL])
@pytest.mark.parametrize('name', ['widowx', 'mobile_base'])
def test_objects_are_segmented_where_they_are_said_to_be(name, backend):
    """The centre of a visible object lies on its segment, near the segment's centroid."""
    world = World(load_embodiment(name), render_backend=backend)
    checked = 0
    for seed in range(4):
        world.reset(seed, Variation.training())
        segments = world.render_segmentation('primary', *SIZE)
        assert segments.shape == SIZE[::-1]
        found = world.pixel_positions('primary', SIZE)
        for thing in world.objects():
            u, v, visible = found[thing]
            pixels = np.argwhere(segments == SEGMENTS.index(thing))
            if not visible or len(pixels) < 30:
                continue
            assert segments[round(v), round(u)] == SEGMENTS.index(thing)
            whole = (pixels > 0).all() and (pixels < np.array(SIZE[::-1]) - 1).all()
            if whole and not _is_near_another(segments, pixels, thing):
                extent = np.ptp(pixels, axis=0).max()
                assert pixels.mean(axis=0) == pytest.approx((v, u), abs=2.0 + 0.15 * extent)
                checked += 1
    assert checked >= 2


def _is_near_another(segments, pixels, thing):
    """Whether something else than the background borders on a segment and may cover it."""
    (top, left), (bottom, right) = pixels.min(axis=0) - 2, pixels.max(axis=0) + 3
    others = set(np.unique(segments[max(top, 0) : bottom, max(left, 0) : right]))
    return bool(others - {SEGMENTS.index(thing), SEGMENTS.index('background')})


@pytest.mark.parametrize('name', ROBOTS)
@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_both_back_ends_segment_alike(name):
    gl, ray = (
        World(load_embodiment(name), seed=4, render_backend=backend) for backend in ('gl', 'ray')
    )
    for world in (gl, ray):
        world.reset(4, Variation(distractors=2))
    first, second = (world.render_segmentation('primary', 160, 120) for world in (gl, ray))
    assert np.mean(first != second) < 0.01
    assert len(np.unique(first)) > 1


@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_segmenting_leaves_pictures_as_they_were():
    world = World(load_embodiment('widowx'), seed=4, render_backend='gl')
    before = world.render(size=SIZE)
    assert {SEGMENTS[i] for i in np.unique(world.render_segmentation())} >= {
        'background', 'robot', 'gripper', 'red_cube', 'plate',
    }  # fmt: skip
    assert np.abs(world.render(size=SIZE).astype(int) - before).max() <= 2


def test_a_hidden_object_is_not_visible():
    """The plate held between the camera and a cube hides it; beside it, it does not."""
    world = World(load_embodiment('widowx'), seed=0, render_backend='ray')
    name = next(n for n in world.objects() if world.pixel_positions()[n].visible)
    cube = world.objects()[name][:3, 3]
    eye = world.camera_info().T_world_camera_optical[:3, 3]
    start = world.model.joint('plate_free').qposadr[0]
    world.data.qpos[start : start + 3] = cube + 0.3 * (eye - cube)
    world.step(0.002)
    assert not world.pixel_positions()[name].visible
    world.data.qpos[start : start + 3] = cube + 0.3 * (eye - cube) + (0.0, 0.2, 0.1)
    world.step(0.002)
    assert world.pixel_positions()[name].visible


@pytest.mark.parametrize('name', ROBOTS)
def test_pixel_positions_scale_with_the_picture(name):
    world = World(load_embodiment(name), seed=4)
    large, small = world.pixel_positions(), world.pixel_positions('primary', SIZE)
    assert set(large) == {*world.objects(), END_EFFECTOR}
    for thing, (u, v, _) in large.items():
        if np.isfinite(u):
            # Pixel centres: column u of 640 lies at (u + 0.5) / 640 of the width.
            assert small[thing].u + 0.5 == pytest.approx(0.5 * (u + 0.5))
            assert small[thing].v + 0.5 == pytest.approx(0.5 * (v + 0.5))


def test_what_is_behind_the_camera_has_no_pixel():
    world = World(load_embodiment('mobile_base'))
    behind = 0
    for seed in range(6):
        world.reset(seed)
        for name, T_world_object in world.objects().items():
            u, v, visible = world.pixel_positions()[name]
            if T_world_object[0, 3] < 0.0:
                behind += 1
                assert np.isnan(u)
                assert np.isnan(v)
                assert not visible
    assert behind > 0


def test_the_table_of_segments_is_stable():
    assert SEGMENTS[:3] == ('background', 'robot', 'gripper')
    assert len(set(SEGMENTS)) == len(SEGMENTS) == 11


def test_pictures_can_be_drawn_smaller():
    world = World(load_embodiment('widowx'), seed=4, render_backend='ray')
    assert world.render(size=(96, 72)).shape == (72, 96, 3)
    assert world.camera_info('primary', (96, 72)).width == 96
