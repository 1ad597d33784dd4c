"""Chunks as motions: charts of rotation, reach of a tick, twists."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.chunk_plan import ChunkPlan
from univla_control.reference import TwistReference
from univla_control.reference import nearest_turn
from univla_control.reference import turn_jacobian
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_pose
from univla_core.poses import vector_from_rotation


def test_turn_jacobian_is_the_derivative_of_the_rotation():
    """Angular velocity of exp(r(t)) by finite differences."""
    turn, rate, moment = np.array([0.7, -0.4, 1.1]), np.array([0.3, 0.5, -0.2]), 1e-6
    before, after = (rotation_from_vector(turn + s * moment * rate) for s in (-0.5, 0.5))
    velocity = vector_from_rotation(after @ before.T) / moment
    assert turn_jacobian(turn) @ rate == pytest.approx(velocity, abs=1e-5)


def test_nearest_turn_goes_on_past_half_a_turn():
    """3.2 rad about z is reported as -3.083; next to 3.1 it is meant as 3.2."""
    reported = vector_from_rotation(rotation_from_vector(np.array([0.0, 0.0, 3.2])))
    assert reported[2] < 0.0
    near = np.array([0.0, 0.0, 3.1])
    assert nearest_turn(reported, near) == pytest.approx([0.0, 0.0, 3.2])


def test_a_solution_out_of_reach_is_approached_only_so_far(drive):
    """A far solution, perhaps on another branch, cannot make the reference jump."""
    robot = drive()
    home = robot.embodiment.home
    far = home + 0.3 * np.array([1.0, 0.5, -1.0, 0.5, 0.0, -0.5, 1.0])
    rows = np.tile(vector_from_pose(robot.embodiment.chain.forward(far)), (4, 1))
    chunk = robot.chunk(rows, 'eef_pose')
    plan = ChunkPlan(chunk, robot.embodiment, robot.config, home, robot.time)
    reach = np.full(7, 0.01)
    positions, velocities, _ = plan.motion.sample(robot.time + 0.3, home, reach)
    assert np.abs(positions - home).max() == pytest.approx(0.01)
    assert not velocities.any()


def test_twist_rows_hold_until_due():
    """Row 0 in [10, 10.5), row 1 in [10.5, 11), zero before and after."""
    reference = TwistReference(10.0, 0.5, np.array([[0.1, 0.2], [0.3, 0.4]]))
    moments = (9.9, 10.0, 10.49, 10.5, 10.99, 11.0)
    assert [reference.sample(moment)[0] for moment in moments] == [0.0, 0.1, 0.1, 0.3, 0.3, 0.0]
