"""Physics of every robot: servos hold and arrive, grippers grasp, the base drives straight."""

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import ShapeError
from univla_sim.grasp import tool_down
from univla_sim.world import World

ROBOTS = robot_names()
ARMS = tuple(name for name in ROBOTS if load_embodiment(name).kind == 'arm')


def make(name, **options):
    return World(load_embodiment(name), **options)


def glide(world, joints, duration_s):
    """Move the servos' goal along a straight line in joint space."""
    start, steps = world.joint_positions, round(duration_s / 0.02)
    for index in range(1, steps + 1):
        world.set_joint_targets(start + (joints - start) * index / steps)
        world.step(0.02)


def joints_above(world, point, height, yaw=0.0):
    robot = world.embodiment
    target = tool_down(robot, np.add(point, (0, 0, height)), yaw)
    result = robot.chain.inverse(
        target, robot.home, robot.limits.lower, robot.limits.upper, iterations=100, rest=robot.home
    )
    assert result.position_error < 2e-3
    return result.joints


def grasp(world, name, force=None):
    """Go over an object, down, and close; returns nothing, the cube may or may not be held."""
    T_world_object = world.objects()[name]
    point, yaw = T_world_object[:3, 3], np.arctan2(T_world_object[1, 0], T_world_object[0, 0])
    glide(world, joints_above(world, point, 0.07, yaw), 1.2)
    glide(world, joints_above(world, point, 0.0, yaw), 0.6)
    if force is None:
        world.set_gripper_target(0.0)
    else:
        world.set_gripper_force(force)
    world.step(0.6)


@pytest.mark.parametrize('name', ARMS)
def test_an_arm_at_rest_does_not_sag(name):
    world = make(name)
    world.step(1.0)
    assert world.joint_positions == pytest.approx(world.embodiment.home, abs=1e-4)
    assert world.joint_velocities == pytest.approx(np.zeros(len(world.joint_positions)), abs=1e-4)
    assert world.time == pytest.approx(1.0)


@pytest.mark.parametrize('name', ARMS)
def test_servos_arrive_where_they_are_sent(name):
    world = make(name, seed=1)
    goal = world.embodiment.home + 0.15
    glide(world, goal, 1.0)
    world.step(0.5)
    assert world.joint_positions == pytest.approx(goal, abs=2e-3)
    assert world.ee_pose == pytest.approx(world.embodiment.chain.forward(goal), abs=5e-3)


def test_without_torque_the_arm_falls_and_then_holds_where_it_is():
    world = make('widowx')
    world.set_joint_torque_enabled(False)
    world.step(1.0)
    assert np.abs(world.joint_efforts).max() == 0.0
    fallen = world.joint_positions
    assert np.abs(fallen - world.embodiment.home).max() > 0.2
    world.set_joint_torque_enabled(True)
    world.step(1.0)
    held = world.joint_positions
    world.step(0.5)
    assert world.joint_positions == pytest.approx(held, abs=2e-3)
    assert np.abs(held - world.embodiment.home).max() > 0.2


def test_goals_beyond_the_range_are_clipped():
    world = make('widowx')
    world.set_joint_targets(np.append(world.embodiment.home[:5], 99.0))
    assert world.data.ctrl.max() == pytest.approx(world.embodiment.maker_limits.upper[5])


@pytest.mark.parametrize('name', ARMS)
def test_the_gripper_closes_at_its_own_speed(name):
    """Neither at once, nor late: the stroke takes stroke / speed, plus the servo's delay."""
    world = make(name)
    gripper = world.embodiment.gripper
    speed = world.embodiment.document['simulation'].get('gripper_speed', gripper.velocity)
    time = (gripper.open - gripper.closed) / speed
    world.set_gripper_target(0.0)
    world.step(0.5 * time)
    assert gripper.opening(gripper.state_scale * world.gripper_finger_position) > 0.4
    world.step(0.5 * time + 0.5)
    assert world.gripper_finger_position == pytest.approx(gripper.closed, abs=1e-3)


@pytest.mark.parametrize('name', ARMS)
def test_fingers_move_as_one(name):
    """2 N on one finger, held by the servos in mid-stroke, moves both alike."""
    world = make(name)
    world.set_gripper_target(0.5)
    world.step(1.0)
    first, second = (finger['name'] for finger in world.embodiment.gripper.fingers)
    world.data.joint(first).qfrc_applied[0] = -2.0
    world.step(1.0)
    left, right = (float(world.data.joint(finger).qpos[0]) for finger in (first, second))
    assert left < world.embodiment.gripper.finger_position(0.5) - 2e-4
    assert left == pytest.approx(right, abs=2e-4)


def test_pwm_moves_the_gripper_to_its_end_stops():
    """250 of 885, the driver's default, closes the WidowX's fingers in under two seconds."""
    world = make('widowx')
    gripper = world.embodiment.gripper
    world.set_gripper_force(-250 / 885)
    world.step(2.0)
    assert world.gripper_finger_position == pytest.approx(gripper.closed, abs=5e-4)
    world.set_gripper_force(250 / 885)
    world.step(2.0)
    assert world.gripper_finger_position == pytest.approx(gripper.open, abs=5e-4)


@pytest.mark.parametrize(
    ('name', 'force'), [*((name, None) for name in ARMS), ('widowx', -250 / 885)]
)
def test_a_cube_is_lifted_by_friction(name, force):
    world = make(name, seed=3)
    before = world.objects()['red_cube'][2, 3]
    grasp(world, 'red_cube', force)
    x, y, z = world.objects()['red_cube'][:3, 3]
    glide(world, joints_above(world, (x, y, z), 0.07), 0.8)
    world.step(0.5)
    assert world.objects()['red_cube'][2, 3] - before > 0.04
    outcome = world.outcome('Pick up the red cube!')
    assert outcome.success
    assert outcome.distance_m == 0.0
    assert not world.outcome('pick up the blue cube').success


def test_a_cube_is_put_on_the_plate():
    world = make('widowx', seed=3)
    instruction = 'put the green cube on the white plate'
    plate = world.objects()['plate'][:3, 3]
    grasp(world, 'green_cube')
    glide(world, joints_above(world, (*world.objects()['green_cube'][:2, 3], 0.02), 0.08), 0.6)
    glide(world, joints_above(world, (plate[0], plate[1], 0.02), 0.08), 1.0)
    glide(world, joints_above(world, (plate[0], plate[1], 0.02), 0.01), 0.6)
    assert not world.outcome(instruction).success  # still held
    world.set_gripper_target(1.0)
    world.step(0.6)
    outcome = world.outcome(instruction)
    assert outcome.success
    assert outcome.distance_m < 0.02
    assert not world.outcome('put the red cube on the plate').success


def test_reach_counts_the_cube_that_was_first():
    world = make('widowx', seed=0)
    red = world.objects()['red_cube'][:3, 3]
    blue = world.objects()['blue_cube'][:3, 3]
    assert not world.outcome('reach the red cube').success
    for cube in (red, blue):
        glide(world, joints_above(world, cube, 0.12), 1.0)
        glide(world, joints_above(world, cube, 0.04), 0.8)
        glide(world, joints_above(world, cube, 0.12), 0.8)
    assert world.outcome('reach the red cube').success
    assert not world.outcome('reach the blue cube').success
    world.begin_episode()
    assert not world.outcome('reach the red cube').success


def test_push_counts_from_the_start_of_the_episode():
    world = make('widowx', seed=0)
    start = world.objects()['red_cube'][:3, 3]
    assert world.outcome('push the red cube').distance_m == pytest.approx(0.04, abs=1e-3)
    world.set_gripper_target(0.0)
    glide(world, joints_above(world, start - (0.075, 0, 0), 0.08), 1.0)
    glide(world, joints_above(world, start - (0.075, 0, 0), 0.01), 0.6)
    glide(world, joints_above(world, start - (-0.04, 0, 0), 0.01), 1.5)
    outcome = world.outcome('push the red cube')
    assert outcome.success
    assert world.objects()['red_cube'][0, 3] - start[0] > 0.04


@pytest.mark.parametrize('name', ROBOTS)
def test_same_seed_and_calls_give_the_same_states(name):
    def run(world):
        if world.embodiment.kind == 'base':
            world.set_twist(0.2, 0.7)
        else:
            world.set_joint_targets(world.embodiment.home + 0.1)
            world.set_gripper_force(-0.5)
        world.step(0.213)
        world.step(0.1)
        places = [T_world_object.ravel() for T_world_object in world.objects().values()]
        return np.concatenate([world.data.qpos, world.data.qvel, *places])

    first, second = make(name, seed=7), make(name, seed=7)
    expected = run(first)
    assert np.array_equal(run(second), expected)
    second.reset()
    assert np.array_equal(run(second), expected)
    second.reset(8)
    assert not np.array_equal(run(second), expected)


@pytest.mark.parametrize('name', ROBOTS)
def test_steps_of_any_length_add_up(name):
    world = make(name)
    for _ in range(30):
        world.step(1 / 60)
    assert world.time == pytest.approx(0.5, abs=0.0011)


def test_the_base_drives_a_metre_straight():
    """5 s at 0.2 m/s, less the ramp's 0.2 / 2.5 / 2 s; odometry and truth within 2 %."""
    world = make('mobile_base', seed=2)
    world.set_twist(0.2, 0.0)
    world.step(5.0)
    x, y, heading = world.base_pose
    assert x == pytest.approx(0.992, rel=0.02)
    assert (y, heading) == pytest.approx((0.0, 0.0), abs=0.01)
    assert world.odometry.x == pytest.approx(x, rel=0.02)
    assert world.odometry.v == pytest.approx(0.2, rel=0.02)


def test_the_base_turns_as_told():
    """3 s at 1 rad/s, less the ramp's 1 / 3.2 / 2 s: 2.844 rad; the place stays."""
    world = make('mobile_base')
    world.set_twist(0.0, 1.0)
    world.step(3.0)
    assert world.base_pose[2] == pytest.approx(2.844, rel=0.02)
    assert world.odometry.theta == pytest.approx(2.844, rel=0.02)
    assert world.base_pose[:2] == pytest.approx([0.0, 0.0], abs=0.01)
    left, right = world.wheel_positions
    assert right > 0.0 > left


def test_the_base_is_no_faster_than_its_maker_allows():
    world = make('mobile_base')
    world.set_twist(9.0, 0.0)
    world.step(1.0)
    assert world.odometry.v == pytest.approx(0.26, rel=0.02)


def test_driving_to_a_pillar_is_seen():
    world = make('mobile_base', seed=1)
    for _ in range(400):
        x, y, heading = world.base_pose
        to_x, to_y = world.objects()['red_pillar'][:2, 3] - (x, y)
        bearing = (np.arctan2(to_y, to_x) - heading + np.pi) % (2 * np.pi) - np.pi
        world.set_twist(0.26 if abs(bearing) < 0.3 else 0.0, 2.0 * bearing)
        world.step(0.05)
        if world.outcome('drive to the red pillar').success:
            break
    outcome = world.outcome('drive to the red pillar')
    assert outcome.success
    assert outcome.distance_m == pytest.approx(0.28, abs=0.02)
    assert not world.outcome('drive to the blue pillar').success


def test_a_pillar_stops_the_base():
    world = make('mobile_base', seed=1)
    pillar = world.objects()['red_pillar'][:2, 3]
    for _ in range(300):
        x, y, heading = world.base_pose
        bearing = np.arctan2(pillar[1] - y, pillar[0] - x) - heading
        bearing = (bearing + np.pi) % (2 * np.pi) - np.pi
        world.set_twist(0.26 if abs(bearing) < 0.3 else 0.0, 2.0 * bearing)
        world.step(0.05)
    assert np.linalg.norm(world.base_pose[:2] - pillar) > 0.15
    assert world.objects()['red_pillar'][:2, 3] == pytest.approx(pillar)


def test_an_instruction_without_a_known_task_is_not_judged():
    world = make('widowx')
    for instruction in ('tidy up', 'pick up the purple cube', 'drive to the red pillar'):
        outcome = world.outcome(instruction)
        assert (outcome.task, outcome.success, outcome.distance_m) == ('free', None, None)
    assert make('widowx', task='pick').outcome('put the red cube on the plate').success is None
    with pytest.raises(ConfigError, match='instruction is empty'):
        world.outcome('  ')


def test_a_task_decides_whether_a_plate_lies_there():
    assert 'plate' not in make('widowx', task='pick').objects()
    assert 'plate' in make('widowx', task='place').objects()


def test_commands_that_do_not_fit_the_body_are_refused():
    arm, base = make('widowx'), make('mobile_base')
    with pytest.raises(ShapeError, match=r'shape \(7,\)'):
        arm.set_joint_targets(np.zeros(7))
    with pytest.raises(ActionError, match='not finite'):
        arm.set_joint_targets(np.full(6, np.nan))
    with pytest.raises(ActionError, match='not finite'):
        arm.set_gripper_target(np.nan)
    with pytest.raises(ActionError, match='not finite'):
        base.set_twist(np.inf, 0.0)
    with pytest.raises(ConfigError, match='it cannot drive'):
        arm.set_twist(0.1, 0.0)
    with pytest.raises(ConfigError, match='no joints to move'):
        base.set_joint_targets(np.zeros(6))
    with pytest.raises(ConfigError, match="no task 'drive'; choose one of reach, push"):
        make('widowx', task='drive')


@pytest.mark.parametrize('name', ARMS)
def test_a_hand_is_shown_where_it_works_without_time_passing(name):
    world = make(name)
    place = world.objects()['red_cube'][:3, 3] + (0.0, 0.0, 0.05)
    assert world.show_hand(place, yaw=0.2, opening=0.5, held='blue_cube')
    assert world.ee_pose[:3, 3] == pytest.approx(place, abs=1e-3)
    assert world.objects()['blue_cube'][:3, 3] == pytest.approx(place, abs=1e-9)
    finger = world.embodiment.gripper.finger_position(0.5)
    assert world.gripper_finger_position == pytest.approx(finger, abs=1e-6)
    assert world.time == 0.0
    before = world.joint_positions
    assert not world.show_hand(np.array([3.0, 0.0, 0.1]))
    assert world.joint_positions == pytest.approx(before)
