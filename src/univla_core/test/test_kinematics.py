"""Kinematics against published poses, and against themselves by differences and round trips."""

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import KinematicsError
from univla_core.errors import ShapeError
from univla_core.kinematics import KinematicChain
from univla_core.poses import rotation_from_rpy
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation

ARMS = tuple(name for name in robot_names() if load_embodiment(name).kind == 'arm')
HALF_PI = 0.5 * np.pi
DOWN = np.diag([1.0, -1.0, -1.0])
READY = [0, -np.pi / 4, 0, -3 * np.pi / 4, 0, HALF_PI, np.pi / 4]
AIRBOT_READY = np.array([[0.0, -1, 0], [0, 0, 1], [-1, 0, 0]])

# Robot, joints [rad], position [m] and rotation of the end effector frame, from the makers'
# joint tables multiplied out independently (widowx: base_link to ee_gripper_link, and so on).
VECTORS = [
    ('widowx', np.zeros(6), (0.45833, 0, 0.36065), np.eye(3)),
    (
        'widowx',
        [0, -0.96, 1.16, 0, -0.3, 0],
        (0.22653, 0, 0.26095),
        rotation_from_rpy((0, -0.1, 0)),
    ),
    ('widowx', [0, -1.8, 1.55, 0, 0.8, 0], (0.12265, 0, 0.08126), rotation_from_rpy((0, 0.55, 0))),
    ('franka', READY, (0.30689, 0, 0.48688), DOWN),
    ('panda', READY, (0.30689, 0, 0.48688), DOWN),
    ('franka', np.zeros(7), (0.088, 0, 0.8226), DOWN @ rotation_from_rpy((0, 0, -np.pi / 4))),
    ('airbot', np.zeros(6), (0.28660, 0, 0.21456), np.eye(3)),
    ('airbot', [0, -1.18407, 1.18407, -HALF_PI, HALF_PI, 0], (0.29014, 0, 0.13619), AIRBOT_READY),
]


@pytest.mark.parametrize(('name', 'joints', 'position', 'rotation'), VECTORS)
def test_published_poses(name, joints, position, rotation):
    T_base_ee = load_embodiment(name).chain.forward(np.asarray(joints, dtype=float))
    assert T_base_ee[:3, 3] == pytest.approx(position, abs=1e-4)
    assert T_base_ee[:3, :3] == pytest.approx(rotation, abs=1e-3)


def test_franka_and_panda_share_one_chain():
    joints = np.random.default_rng(0).uniform(-1, 1, 7)
    franka, panda = (load_embodiment(name).chain for name in ('franka', 'panda'))
    assert franka.forward(joints) == pytest.approx(panda.forward(joints))


def test_a_two_joint_arm_by_hand():
    """Links of 1 m and 0.5 m in the plane, at 90° and −90°: (0, 1) + (0.5, 0)."""
    chain = KinematicChain.from_origins(
        [((0, 0, 0), (0, 0, 0), (0, 0, 1)), ((1, 0, 0), (0, 0, 0), (0, 0, 2))],
        [((0.5, 0, 0), (0, 0, 0))],
    )
    joints = np.array([HALF_PI, -HALF_PI])
    assert chain.forward(joints)[:3, 3] == pytest.approx([0.5, 1.0, 0.0])
    # The first joint turns the tip about the origin, the second about (0, 1).
    assert chain.jacobian(joints)[:2] == pytest.approx(np.array([[-1.0, 0.0], [0.5, 0.5]]))
    assert chain.jacobian(joints)[5] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize('name', ARMS)
def test_jacobian_is_the_derivative_of_forward(name):
    robot = load_embodiment(name)
    joints = np.random.default_rng(1).uniform(robot.limits.lower, robot.limits.upper)
    jacobian, step = robot.chain.jacobian(joints), 1e-6
    for index in range(robot.axis_count):
        shift = step * np.eye(robot.axis_count)[index]
        before, after = robot.chain.forward(joints - shift), robot.chain.forward(joints + shift)
        linear = (after[:3, 3] - before[:3, 3]) / (2 * step)
        angular = vector_from_rotation(after[:3, :3] @ before[:3, :3].T) / (2 * step)
        assert jacobian[:, index] == pytest.approx(np.append(linear, angular), abs=1e-6)


@pytest.mark.parametrize('name', ARMS)
def test_inverse_undoes_forward(name):
    """From 0.15 rad away in every joint, back onto the pose, inside the limits."""
    robot = load_embodiment(name)
    rng = np.random.default_rng(2)
    lower, upper = robot.limits.lower, robot.limits.upper
    for _ in range(20):
        joints = np.clip(robot.home + rng.uniform(-0.3, 0.3, robot.axis_count), lower, upper)
        seed = joints + rng.uniform(-0.15, 0.15, robot.axis_count)
        result = robot.chain.inverse(robot.chain.forward(joints), seed, lower, upper)
        assert result.position_error < 1e-4
        assert result.rotation_error < 1e-3
        assert (result.joints >= lower).all()
        assert (result.joints <= upper).all()


def test_a_target_out_of_reach_is_told_by_its_error():
    """2 m ahead of an arm that stretches 0.67 m from its shoulder: at least 1.3 m are left."""
    robot = load_embodiment('widowx')
    target = robot.chain.forward(robot.home)
    target[0, 3] = 2.0
    result = robot.chain.inverse(target, robot.home, robot.limits.lower, robot.limits.upper)
    assert result.position_error > 1.3
    assert np.isfinite(result.joints).all()


def test_a_redundant_arm_drifts_to_its_rest_posture():
    robot = load_embodiment('franka')
    lower, upper = robot.limits.lower, robot.limits.upper
    target = robot.chain.forward(robot.home)
    away = robot.home + np.array([0.4, 0, -0.4, 0, 0.2, 0, 0])
    free = robot.chain.inverse(target, away, lower, upper, iterations=200)
    rested = robot.chain.inverse(
        target, away, lower, upper, iterations=200, rest=robot.home, position_tolerance=0.0
    )
    assert rested.position_error < 1e-3
    assert np.linalg.norm(rested.joints - robot.home) < np.linalg.norm(free.joints - robot.home)


def test_what_is_no_pose_or_no_posture_is_refused():
    robot = load_embodiment('widowx')
    with pytest.raises(ShapeError, match='for 6 joints'):
        robot.chain.forward(np.zeros(7))
    with pytest.raises(KinematicsError, match='not finite'):
        robot.chain.inverse(
            np.full((4, 4), np.nan), robot.home, robot.limits.lower, robot.limits.upper
        )


def test_axes_need_not_be_unit_vectors():
    """The second joint of the hand-made arm was given as (0, 0, 2): an angle is still an angle."""
    chain = KinematicChain.from_origins(
        [((0, 0, 0), (0, 0, 0), (0, 0, 2))], [((1, 0, 0), (0, 0, 0))]
    )
    expected = rotation_from_vector(np.array([0.0, 0.0, 0.3]))
    assert chain.forward(np.array([0.3]))[:3, :3] == pytest.approx(expected)


@pytest.mark.parametrize('name', ARMS)
def test_many_states_at_once_move_like_each_alone(name):
    """`motion` is `forward` and `jacobian` times velocity, row by row."""
    robot = load_embodiment(name)
    rng = np.random.default_rng(2)
    joints = rng.uniform(robot.limits.lower, robot.limits.upper, (20, robot.axis_count))
    velocities = rng.normal(size=joints.shape)
    for row, (place, rotation, linear, angular) in enumerate(
        zip(*robot.chain.motion(joints, velocities), strict=True)
    ):
        pose = robot.chain.forward(joints[row])
        assert place == pytest.approx(pose[:3, 3])
        assert rotation == pytest.approx(pose[:3, :3])
        twist = robot.chain.jacobian(joints[row]) @ velocities[row]
        assert np.append(linear, angular) == pytest.approx(twist)


@pytest.mark.parametrize('name', ARMS)
def test_no_posture_reaches_farther_than_reach(name):
    robot = load_embodiment(name)
    rng = np.random.default_rng(3)
    for joints in rng.uniform(robot.limits.lower, robot.limits.upper, (200, robot.axis_count)):
        moved = np.linalg.norm(robot.chain.jacobian(joints)[:3], axis=0)
        assert (moved <= robot.chain.reach() + 1e-9).all()
