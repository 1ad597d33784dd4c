"""Experts do their tasks from any start, and obey the bounds that a policy shall learn."""

import dataclasses

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_sim.approach import RAMP_M
from univla_sim.approach import STEP_M
from univla_sim.approach import funnel_step
from univla_sim.experts import EXPERTS
from univla_sim.experts import make_expert
from univla_sim.tasks import instruction_for
from univla_sim.variation import Variation
from univla_sim.world import World

from univla_sim import miss

ARMS = tuple(name for name in robot_names() if load_embodiment(name).kind == 'arm')
ARM_TASKS = tuple(task for task in EXPERTS if task != 'drive')
CASES = [*((arm, task) for arm in ARMS for task in ARM_TASKS), ('mobile_base', 'drive')]


def prepare(name, task, seed, kicks=False, color='red'):
    world = World(load_embodiment(name), task=task)
    world.reset(seed, Variation.training())
    instruction = instruction_for(task, color)
    return world, make_expert(world, instruction, np.random.default_rng(seed), kicks)


@pytest.mark.parametrize(('name', 'task'), CASES)
def test_an_expert_does_its_task_and_then_rests(name, task, carry_out):
    world, expert = prepare(name, task, seed=1)
    assert carry_out(world, expert) < 150
    assert world.outcome(expert.instruction).success
    assert expert.is_rest(expert.plan()[0])


@pytest.mark.parametrize(('name', 'task'), [('widowx', 'pick'), ('mobile_base', 'drive')])
def test_an_expert_recovers_from_kicks(name, task, carry_out, monkeypatch):
    """Some seed of the first ones is kicked; the task is done all the same."""
    monkeypatch.setattr(miss, 'CHANCE', 0.0)  # grasps that miss are kicks of another kind
    kicked = 0
    for seed in range(3):
        world, expert = prepare(name, task, seed, kicks=True)
        sources = []
        plan = expert.plan
        expert.plan = lambda: (plan(), sources.append(expert.source))[0]  # noqa: B023
        assert carry_out(world, expert) < 150
        assert world.outcome(expert.instruction).success
        kicked += sources.count('kick')
        assert sources.count('kick') <= 8  # two kicks of four steps
    assert kicked > 0


def test_a_cube_that_was_dropped_is_grasped_again(carry_out):
    world, expert = prepare('widowx', 'pick', seed=2)
    for _ in range(60):
        carry_out(world, expert, most=1)
        if world.objects()['red_cube'][2, 3] > 0.05:
            break
    world.set_gripper_target(1.0)
    world.step(0.5)
    assert world.objects()['red_cube'][2, 3] < 0.03
    carry_out(world, expert, most=60)
    assert world.objects()['red_cube'][2, 3] > 0.06


@pytest.mark.parametrize(('name', 'task'), CASES)
def test_rows_stay_within_the_declared_steps(name, task):
    world, expert = prepare(name, task, seed=3)
    rows = expert.plan(horizon=6)
    names = world.embodiment.action_names(expert.action_space)
    assert rows.shape == (6, len(names))
    if task == 'drive':
        assert (np.abs(rows) <= world.embodiment.limits.velocity).all()
    else:
        assert np.linalg.norm(rows[:, :3], axis=1).max() <= STEP_M + 1e-9
        assert ((rows[:, 6] == 0.0) | (rows[:, 6] == 1.0)).all()


def test_an_arm_is_told_the_poses_that_its_increments_lead_to(carry_out):
    world, expert = prepare('widowx', 'pick', seed=2)
    carry_out(world, expert, most=3)
    rows, space = expert.chunk(horizon=3)
    start = world.embodiment.chain.forward(world.joint_targets)[:3, 3]
    ways = expert.plan(horizon=3)[:, :3]
    assert space == 'eef_pose'
    assert np.diff(rows[:, :3], axis=0) == pytest.approx(ways[1:], abs=1e-9)
    assert rows[0, :3] - ways[0] == pytest.approx(start, abs=0.01)
    base, driver = prepare('mobile_base', 'drive', seed=2)
    assert driver.chunk()[1] == 'base_twist'
    assert base.embodiment.kind == 'base'


def test_an_arm_goes_on_from_where_somebody_else_led_it(carry_out):
    """Led 2 cm a step sidewards by others, the hand is slowed down, not stopped."""
    world, expert = prepare('widowx', 'reach', seed=2)
    carry_out(world, expert, most=3)
    start = world.embodiment.chain.forward(world.joint_targets)[:3, 3]
    rows = np.zeros((4, 7))
    rows[:, :3] = start + np.outer(np.arange(1, 5), (0.0, 0.02, 0.0))
    expert.led(rows, 'eef_pose')
    world.step(expert.step_s)
    assert expert.plan()[0][1] >= 0.02 - RAMP_M - 1e-9
    expert.led(rows, 'joint_position')  # of other rows nothing is remembered but the servos' goals
    world.step(expert.step_s)
    assert np.linalg.norm(expert.plan()[0][:3]) <= RAMP_M + 1e-9


def test_consecutive_plans_agree(carry_out):
    """Row 1 of a plan is row 0 of the next one, as long as nothing but the hand has moved."""
    world, expert = prepare('widowx', 'reach', seed=1)
    for _ in range(4):
        planned = expert.plan()[1]
        carry_out(world, expert, most=1)
        assert expert.plan()[0][:3] == pytest.approx(planned[:3], abs=2e-3)


def test_the_same_seed_gives_the_same_demonstration(carry_out):
    ends = []
    for _ in range(2):
        world, expert = prepare('widowx', 'push', seed=5, kicks=True)
        carry_out(world, expert, most=25)
        ends.append(world.data.qpos.copy())
    assert np.array_equal(*ends)


def test_a_base_turns_left_until_it_sees_the_pillar():
    world = World(load_embodiment('mobile_base'))
    for seed in range(20):
        world.reset(seed)
        x, y = world.objects()['blue_pillar'][:2, 3]
        if abs(np.arctan2(y, x)) > 1.0:
            break
    row = make_expert(world, 'drive to the blue pillar', np.random.default_rng(0)).plan()[0]
    assert row[0] == 0.0
    assert 0.0 < row[1] <= 0.8


def test_the_way_down_is_a_funnel():
    """Far to the side and low, the hand only rises; above the goal, it goes straight down."""
    goal = np.array([0.3, 0.0, 0.02])
    up = funnel_step(np.array([0.2, 0.0, 0.02]), goal, cruise_z=0.12)
    assert up == pytest.approx([0.0, 0.0, STEP_M])
    down = funnel_step(np.array([0.3, 0.0, 0.12]), goal, cruise_z=0.12)
    assert down == pytest.approx([0.0, 0.0, -STEP_M])
    level = funnel_step(np.array([0.2, 0.0, 0.12]), goal, cruise_z=0.12)
    assert level == pytest.approx([STEP_M, 0.0, 0.0])


def test_who_is_a_few_millimetres_off_goes_down_all_the_same():
    """Who imitates the expert sees no millimetres: above the cube it must not hesitate."""
    goal = np.array([0.3, 0.0, 0.026])
    for off in (0.004, 0.008):
        way = funnel_step(goal + np.array([off, 0.0, 0.03]), goal, cruise_z=0.12)
        assert way[2] < -0.01


def test_cubes_are_grasped_off_their_centre_too(carry_out):
    """Each demonstration aims elsewhere, never so far that the fingers meet the cube's edge."""
    offs = []
    for seed in range(6):
        world, expert = prepare('widowx', 'pick', seed)
        offs.append((expert.grasp_point(expert.look()) - world.objects()['red_cube'][:3, 3])[:2])
        assert np.linalg.norm(offs[-1]) <= expert.beside_m
        carry_out(world, expert)
        assert world.outcome(expert.instruction).success
    assert np.ptp(offs, axis=0).min() > 0.5 * expert.beside_m


def test_what_has_no_expert_is_refused(rng):
    world = World(load_embodiment('widowx'), task='pick')
    with pytest.raises(ConfigError, match="no expert for 'tidy up'"):
        make_expert(world, 'tidy up', rng)
    with pytest.raises(ConfigError, match='names no task and object of this scene'):
        make_expert(world, 'put the red cube on the plate', rng)


def test_a_push_goes_where_the_hand_already_is():
    """A hand that drifted to one side of the cube pushes from there, if there is room."""
    _, expert = prepare('widowx', 'push', seed=1)
    state = expert.look()
    place = np.array([0.25, 0.0, 0.02])
    places = {'red_cube': place}
    state = dataclasses.replace(state, places=places, moved=0.0)
    for side in (-1.0, 1.0):
        hand = place + np.array([0.0, 0.07 * side, 0.08])
        direction = expert.direction(dataclasses.replace(state, hand=hand))
        assert direction == pytest.approx([0.0, -side], abs=1e-9)
    blocked = {
        **places,
        'blue_cube': place - np.array([0.0, 0.08, 0.0]),
    }  # in the way of that push
    direction = expert.direction(dataclasses.replace(state, hand=hand, places=blocked))
    assert abs(direction[1]) < 0.9
