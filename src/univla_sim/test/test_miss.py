"""Grasps that go wrong on purpose: how they run, and that a demonstration mends them."""

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_sim.experts import make_expert
from univla_sim.miss import NEAR_M
from univla_sim.miss import Miss
from univla_sim.scene import CUBE_SIZE
from univla_sim.variation import Variation
from univla_sim.world import World

GOAL = np.array([0.3, 0.0, 0.026])
HIGH_BESIDE = GOAL + np.array([0.5 * NEAR_M, 0.0, 0.1])


def waiting_miss():
    """One that will happen."""
    misses = (Miss(np.random.default_rng(seed)) for seed in range(20))
    return next(miss for miss in misses if miss.phase == 'waiting')


def test_a_miss_begins_near_and_passes_through_its_phases():
    miss = waiting_miss()
    miss.look(0.0, GOAL + np.array([1.1 * NEAR_M, 0.0, 0.0]), GOAL)
    assert not miss.going
    phases = []
    hand = HIGH_BESIDE
    for step in range(30):
        miss.look(0.2 * step, hand, GOAL)
        phases.append(miss.phase)
        hand = GOAL + miss.off
    order = list(dict.fromkeys(phases))
    assert order[:2] == ['aiming', 'closing']
    assert order[-1] == 'over'
    assert phases.count('aiming') == 1
    assert phases.count('closing') == 4  # 0.8 s


def test_a_hand_that_never_gets_there_closes_all_the_same():
    miss = waiting_miss()
    phases = []
    for step in range(40):
        miss.look(0.2 * step, HIGH_BESIDE, GOAL)
        phases.append(miss.phase)
    assert phases.count('aiming') == 12  # 2.4 s
    assert phases[-1] == 'over'


def test_misses_are_no_grasps():
    """They are higher than the cube's top or farther off than its edge."""
    offs = np.array([Miss(np.random.default_rng(seed)).off for seed in range(200)])
    aside, above = np.linalg.norm(offs[:, :2], axis=1), offs[:, 2]
    assert ((aside > 0.5 * CUBE_SIZE) | (above > 0.5 * CUBE_SIZE)).all()
    assert aside.max() < NEAR_M


@pytest.mark.parametrize('name', ['widowx', 'franka', 'airbot'])
@pytest.mark.parametrize('task', ['pick', 'place'])
def test_a_demonstration_shows_what_empty_fingers_do(name, task, carry_out):
    """Somewhere the fingers close on nothing, marked as astray, then open again; it ends well."""
    world = World(load_embodiment(name), task=task)
    words = {'pick': 'pick up the red cube', 'place': 'put the red cube on the white plate'}
    emptied = 0
    for seed in range(4):
        world.reset(seed, Variation.training())
        expert = make_expert(world, words[task], np.random.default_rng(seed), kicks=True)
        steps = []
        for _ in range(150):
            if carry_out(world, expert, most=1) == 0:
                break
            state = expert.look()
            steps.append((expert.source, state.opening, state.held))
        assert world.outcome(words[task]).success
        closed = [n for n, step in enumerate(steps) if step[0] == 'kick' and step[1] < 0.2]
        opened = [step for step in steps[closed[-1] + 1 :] if step[1] > 0.9] if closed else []
        emptied += bool(opened) and not steps[closed[-1]][2]
    assert emptied > 0


def test_without_kicks_nobody_misses(carry_out):
    world = World(load_embodiment('widowx'), task='pick')
    for seed in range(3):
        world.reset(seed, Variation.training())
        expert = make_expert(world, 'pick up the red cube', np.random.default_rng(seed))
        while carry_out(world, expert, most=1):
            assert expert.source == 'expert'
