"""Where chunks lead, checked by hand, and where the camera sees it."""

import numpy as np
import pytest
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.pinhole import Pinhole
from univla_core.planned_path import planned_path


def chunk(robot, space, data, step=0.5):
    names = robot.action_names(space)
    return ActionChunk(
        robot=robot.name, action_space=space, names=names, data=data, step_duration_s=step
    )


def test_eef_delta_path_is_a_running_sum():
    """Three steps of 1 cm along x end 3 cm further."""
    robot = load_embodiment('widowx')
    data = np.zeros((3, 7))
    data[:, 0] = 0.01
    path = planned_path(robot, chunk(robot, 'eef_delta', data), robot.home)
    assert np.allclose(path[-1] - path[0], [0.03, 0.0, 0.0])
    assert np.allclose(path[0], robot.chain.forward(robot.home)[:3, 3])


def test_joint_delta_and_joint_position_agree():
    """The same motion said in two ways leads to the same places."""
    robot = load_embodiment('airbot')
    steps = np.full((4, 7), 0.02)
    absolute = np.hstack([robot.home + np.cumsum(steps[:, :6], axis=0), steps[:, 6:]])
    one = planned_path(robot, chunk(robot, 'joint_delta', steps), robot.home)
    other = planned_path(robot, chunk(robot, 'joint_position', absolute), robot.home)
    assert np.allclose(one, other)


def test_base_drives_a_quarter_circle():
    """v = r·w: a quarter turn at 0.5 m/s and pi/4 rad/s ends near (r, r), r = 2/pi m."""
    robot = load_embodiment('mobile_base')
    data = np.tile([0.5, np.pi / 4.0], (200, 1))
    path = planned_path(robot, chunk(robot, 'base_twist', data, step=0.01), np.zeros(2))
    assert np.allclose(path[-1, :2], [2.0 / np.pi, 2.0 / np.pi], atol=1e-5)


def test_a_base_cannot_move_an_arm():
    """Rows for an arm lead a base nowhere."""
    given = ActionChunk(
        robot='mobile_base',
        action_space='joint_delta',
        names=('a', 'b'),
        data=np.zeros((2, 2)),
        step_duration_s=0.1,
    )
    with pytest.raises(ActionError, match='has no arm'):
        planned_path(load_embodiment('mobile_base'), given, np.zeros(2))


@pytest.mark.parametrize('name', ['widowx', 'franka', 'airbot'])
def test_camera_looks_at_its_target(name):
    """The point a camera looks at lies in the middle of its picture; left of it is left."""
    camera = load_embodiment(name).cameras['primary']
    pinhole = Pinhole.of_simulation(camera)
    target = np.array([camera.simulation['look_at']], dtype=float)
    assert np.allclose(pinhole.project(target), [[camera.width / 2, camera.height / 2]])
    above = pinhole.project(target + np.array([0.0, 0.0, 0.05]))[0]
    assert above[1] < camera.height / 2
    behind = np.array([camera.simulation['position']]) * 3.0 - 2.0 * target
    assert np.isnan(pinhole.project(behind)).all()
