"""Laws of rotations and poses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_core.poses import interpolate_pose
from univla_core.poses import nearest_rotation
from univla_core.poses import pose
from univla_core.poses import pose_from_vector
from univla_core.poses import quaternion_from_rotation
from univla_core.poses import rotation_from_rpy
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_pose
from univla_core.poses import vector_from_rotation

angles = st.floats(-10.0, 10.0)
vectors = st.tuples(angles, angles, angles).map(np.array)
poses = st.tuples(vectors, vectors).map(lambda v: pose(rotation_from_vector(v[0]), v[1]))


def rotation_from_quaternion(q):
    """Textbook formula, written out independently of the code under test."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@given(vectors)
def test_rotations_are_orthonormal_and_right_handed(vector):
    rotation = rotation_from_vector(vector)
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@given(vectors)
def test_rotation_vector_round_trip(vector):
    """The vector may come back shorter by full turns; the rotation comes back the same."""
    rotation = rotation_from_vector(vector)
    back = vector_from_rotation(rotation)
    assert np.linalg.norm(back) <= np.pi + 1e-9
    assert rotation_from_vector(back) == pytest.approx(rotation, abs=1e-7)


@given(vectors.filter(lambda v: np.linalg.norm(v) > 1e-3), st.floats(0.0, 1e-4))
def test_half_turns_are_no_trap(vector, short):
    axis = vector / np.linalg.norm(vector)
    rotation = rotation_from_vector((np.pi - short) * axis)
    assert rotation_from_vector(vector_from_rotation(rotation)) == pytest.approx(
        rotation, abs=1e-7
    )


@given(vectors)
def test_tiny_rotations_keep_their_vector(vector):
    tiny = 1e-9 * vector
    assert vector_from_rotation(rotation_from_vector(tiny)) == pytest.approx(tiny, abs=1e-15)


@given(vectors)
def test_quaternion_turns_the_same_way(vector):
    rotation = rotation_from_vector(vector)
    quaternion = quaternion_from_rotation(rotation)
    assert np.linalg.norm(quaternion) == pytest.approx(1.0)
    assert quaternion[0] >= 0.0
    assert rotation_from_quaternion(quaternion) == pytest.approx(rotation, abs=1e-9)


@given(vectors)
def test_rpy_turns_about_fixed_axes_roll_first(rpy):
    """URDF: Rz(yaw) Ry(pitch) Rx(roll)."""
    roll, pitch, yaw = (rotation_from_vector(v) for v in rpy[:, None] * np.eye(3))
    assert rotation_from_rpy(rpy) == pytest.approx(yaw @ pitch @ roll, abs=1e-9)


def test_quarter_turn_by_hand():
    """A quarter turn about z takes x to y."""
    turn = rotation_from_rpy((0.0, 0.0, 0.5 * np.pi))
    assert turn @ [1, 0, 0] == pytest.approx([0, 1, 0])
    assert vector_from_rotation(turn) == pytest.approx([0, 0, 0.5 * np.pi])
    assert quaternion_from_rotation(turn) == pytest.approx([0.5**0.5, 0, 0, 0.5**0.5])


@given(poses)
def test_pose_vector_round_trip(T):
    assert pose_from_vector(vector_from_pose(T)) == pytest.approx(T, abs=1e-7)


@given(poses, poses)
def test_interpolation_meets_both_ends(start, stop):
    assert interpolate_pose(start, stop, 0.0) == pytest.approx(start, abs=1e-7)
    assert interpolate_pose(start, stop, 1.0) == pytest.approx(stop, abs=1e-7)


@given(poses, poses, st.floats(0.0, 1.0))
def test_interpolation_turns_at_a_constant_rate(start, stop, share):
    """The angle from the start is `share` of the whole, the place on the straight line."""
    whole = np.linalg.norm(vector_from_rotation(stop[:3, :3] @ start[:3, :3].T))
    between = interpolate_pose(start, stop, share)
    part = np.linalg.norm(vector_from_rotation(between[:3, :3] @ start[:3, :3].T))
    assert part == pytest.approx(share * whole, abs=1e-6)
    line = start[:3, 3] + share * (stop[:3, 3] - start[:3, 3])
    assert between[:3, 3] == pytest.approx(line)


@given(vectors, st.floats(0.1, 3.0))
def test_the_nearest_rotation_of_a_scaled_rotation_is_itself(vector, scale):
    rotation = rotation_from_vector(np.array(vector))
    np.testing.assert_allclose(nearest_rotation(scale * rotation), rotation, atol=1e-9)


def test_the_nearest_rotation_is_no_reflection():
    assert np.linalg.det(nearest_rotation(np.diag([1.0, 1.0, -0.1]))) == pytest.approx(1.0)
