import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_decoders.increments import added_up
from univla_decoders.increments import taken_apart


@pytest.mark.parametrize('robot', ['widowx', 'franka', 'airbot'])
@pytest.mark.parametrize('space', ['eef_pose', 'joint_position'])
def test_taking_apart_undoes_adding_up(robot, space):
    embodiment = load_embodiment(robot)
    rng = np.random.default_rng(0)
    rows = rng.normal(scale=0.1, size=(4, len(embodiment.action_names(space))))
    absolute = added_up(rows, embodiment.home, space, embodiment)
    np.testing.assert_allclose(
        taken_apart(absolute, embodiment.home, space, embodiment), rows, atol=1e-9
    )


def test_ways_add_up_from_the_measured_hand():
    """Two steps of 1 cm along x lead 1 and 2 cm from where the hand is; the gripper passes."""
    embodiment = load_embodiment('widowx')
    start = embodiment.chain.forward(embodiment.home)[:3, 3]
    rows = np.zeros((2, 7))
    rows[:, 0], rows[:, 6] = 0.01, 0.7
    absolute = added_up(rows, embodiment.home, 'eef_pose', embodiment)
    np.testing.assert_allclose(absolute[:, 0], start[0] + np.array([0.01, 0.02]))
    np.testing.assert_allclose(absolute[:, 1:3], np.tile(start[1:], (2, 1)))
    assert (absolute[:, 6] == 0.7).all()


def test_joints_add_up_from_the_measured_joints():
    embodiment = load_embodiment('widowx')
    rows = np.full((3, 7), 0.1)
    absolute = added_up(rows, np.zeros(6), 'joint_position', embodiment)
    np.testing.assert_allclose(absolute[:, 0], [0.1, 0.2, 0.3])
    assert (absolute[:, 6] == 0.1).all()
