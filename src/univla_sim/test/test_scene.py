"""Scenes: where objects may stand, and that arms can reach them."""

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_sim.grasp import tool_down
from univla_sim.mjcf_parts import empty_model
from univla_sim.scene import ARENA
from univla_sim.scene import add_camera
from univla_sim.scene import sample_layout

ARMS = tuple(name for name in robot_names() if load_embodiment(name).kind == 'arm')


def layouts(name, count=50):
    robot = load_embodiment(name)
    return [sample_layout(robot, np.random.default_rng(seed)) for seed in range(count)]


def smallest_gap(layout):
    places = [place[:2] for place in layout.values()]
    return min(
        np.linalg.norm(a - b) for index, a in enumerate(places) for b in places[index + 1 :]
    )


@pytest.mark.parametrize('name', ARMS)
def test_cubes_and_plate_stand_apart_inside_the_workspace(name):
    workspace = load_embodiment(name).document['simulation']['workspace']
    for layout in layouts(name):
        assert list(layout) == ['red_cube', 'green_cube', 'blue_cube', 'plate']
        assert smallest_gap(layout) > 0.085
        for x, y, _ in layout.values():
            assert workspace['x'][0] <= x <= workspace['x'][1]
            assert workspace['y'][0] <= y <= workspace['y'][1]


def test_pillars_leave_the_base_room_to_start_and_to_pass():
    for layout in layouts('mobile_base'):
        assert smallest_gap(layout) > 0.65
        for x, y, _ in layout.values():
            assert max(abs(x), abs(y)) <= ARENA
            assert np.hypot(x, y) > 0.55


@pytest.mark.parametrize('name', [*ARMS, 'mobile_base'])
def test_every_seed_has_its_own_layout(name):
    first, second = layouts(name, 2)
    again = layouts(name, 1)[0]
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.allclose(
        first['red_cube' if name in ARMS else 'red_pillar'][:2],
        second['red_cube' if name in ARMS else 'red_pillar'][:2],
    )


@pytest.mark.parametrize('name', ARMS)
@pytest.mark.parametrize('height', [0.02, 0.055, 0.09])
def test_the_whole_workspace_can_be_grasped_from_above(name, height):
    """Corners and centre, every yaw a cube may have, within the suite's own limits."""
    robot = load_embodiment(name)
    workspace = robot.document['simulation']['workspace']
    for x in (*workspace['x'], np.mean(workspace['x'])):
        for y in (*workspace['y'], 0.0):
            for yaw in (-0.25, 0.25):
                target = tool_down(robot, (x, y, height), yaw)
                result = robot.chain.inverse(
                    target, robot.home, robot.limits.lower, robot.limits.upper, iterations=100,
                    rest=robot.home,
                )  # fmt: skip
                assert result.position_error < 1e-3
                assert result.rotation_error < 0.01


@pytest.mark.parametrize('name', ARMS)
def test_tool_down_points_the_approach_axis_down_and_opens_sideways(name):
    robot = load_embodiment(name)
    T_base_ee = tool_down(robot, (0.3, 0.1, 0.05), yaw=0.2)
    approach = np.asarray(robot.document['simulation']['approach'], dtype=float)
    assert T_base_ee[:3, :3] @ approach == pytest.approx([0, 0, -1], abs=1e-9)
    opening = T_base_ee[:3, :3] @ np.asarray(robot.gripper.fingers[0]['axis'], dtype=float)
    assert abs(opening @ [-np.sin(0.2), np.cos(0.2), 0]) == pytest.approx(1.0)
    assert np.linalg.det(T_base_ee[:3, :3]) == pytest.approx(1.0)


def test_a_base_has_no_tool_to_point_down():
    with pytest.raises(ConfigError, match='has no gripper'):
        tool_down(load_embodiment('mobile_base'), (0.3, 0.0, 0.0))


def test_cameras_that_cannot_be_placed_are_refused():
    root = empty_model('test')
    view = {'mount': 'world', 'position': [0, 0, 1], 'look_at': [0, 0, 0], 'fovy': 45.0}
    with pytest.raises(ConfigError, match='straight up or down'):
        add_camera(root, 'top', view)
    with pytest.raises(ConfigError, match="no link 'tower'"):
        add_camera(root, 'top', {**view, 'look_at': [1, 0, 0], 'mount': 'tower'})
