"""A rollout is the deployed graph without DDS: same code, same commands, same order each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from univla_control.controller import ChunkController
from univla_control.health import CHAIN
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.fault import Fault
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.conversions import action_chunk_to_msg
from univla_ros.nodes.controller_node import ControllerConfig
from univla_ros.nodes.controller_node import collision_model
from univla_ros.rollout import CheckpointBrain
from univla_ros.rollout import DetourBrain
from univla_ros.rollout import ExpertBrain
from univla_ros.rollout import Observer
from univla_ros.rollout import Plan
from univla_ros.rollout import RandomBrain
from univla_ros.rollout import Rollout
from univla_ros.rollout.rollout import BEGIN_S
from univla_ros.rollout.virtual_time import VirtualTime
from univla_sim.tasks import default_instruction
from univla_sim.tasks import instruction_for
from univla_sim.variation import Variation
from univla_sim.world import World

ROBOTS = ('widowx', 'franka', 'airbot', 'mobile_base')


class Record(Observer):
    """Everything heard, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_joint_state(self, stamp, positions, velocities, opening):
        self.events.append(('state', (stamp, positions, opening)))

    def on_command(self, command):
        self.events.append(('command', command))

    def on_chunk(self, chunk):
        self.events.append(('chunk', chunk))

    def on_plan(self, stamp, plan):
        self.events.append(('plan', plan))

    def on_control_status(self, stamp, status):
        self.events.append(('status', (stamp, status)))

    def all(self, kind: str) -> list[Any]:
        return [event for name, event in self.events if name == kind]


class Filming(Record):
    def on_frame(self, stamp, camera, picture):
        self.events.append(('frame', (stamp, camera, picture)))


class Steady:
    """Plans the same row whatever it sees, and remembers what it was asked with."""

    sees_truth = False
    finished = False

    def __init__(self, row: list[float]) -> None:
        self.rows = np.tile(np.array(row), (4, 1))
        self.asked: list[tuple[float, Any, Any]] = []

    def reset(self, instruction: str) -> None:
        self.instruction = instruction

    def plan(self, observation, state):
        self.asked.append((observation.stamp, observation.images['primary'], state))
        names = load_embodiment('widowx').action_names('eef_delta')
        return Plan(
            rows=self.rows,
            action_space='eef_delta',
            names=names,
            step_duration_s=0.2,
            source='policy',
        )


def forward() -> Steady:
    """One centimetre forward per step, gripper open."""
    return Steady([0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])


def random_rollout(world: World, seed: int, duration_s: float = 1.5) -> Record:
    record, body = Record(), world.embodiment
    brain = RandomBrain(body, np.random.default_rng(seed))
    Rollout(body, default_instruction(body), brain, seed=seed, observer=record, world=world).run(
        duration_s
    )
    return record


def numbers(record: Record) -> np.ndarray:
    commands = record.all('command')
    return np.array([[*c.positions, *c.velocities, c.gripper_opening or 0.0] for c in commands])


@pytest.fixture(scope='module')
def worlds():
    made: dict[str, World] = {}
    yield lambda robot: made.setdefault(robot, World(load_embodiment(robot)))
    for world in made.values():
        world.close()


@pytest.mark.parametrize('robot', ROBOTS)
def test_the_controller_node_would_send_the_same_commands(worlds, robot):
    """Fed with the same states, chunks and times, in the same order, as its callbacks get them."""
    record, body = random_rollout(worlds(robot), seed=3), load_embodiment(robot)
    config = ControllerConfig(robot=robot, control_rate_hz=body.control_rate_hz)
    controller = ChunkController(body, config, collision_model(body))
    controller.activate(BEGIN_S)
    controller.set_instruction(default_instruction(body), BEGIN_S)
    period, sent = 1.0 / body.control_rate_hz, []
    opening, arrival = None, 0.0
    for kind, event in record.events:
        if kind == 'state':
            stamp, positions, told = event
            opening = opening if told is None else told
            controller.on_joint_state(stamp, positions, opening)
        elif kind == 'chunk':
            arrival = event.stamp + 0.08
            controller.on_chunk(action_chunk_from_msg(action_chunk_to_msg(event)), arrival)
        elif kind == 'command':
            now = event.time
            for node in CHAIN:
                controller.watch.heartbeats.hear(node, now, Fault())
            sent.append(controller.step(now))
    commands = record.all('command')
    assert len(commands) == 91  # 60 Hz over 1.5 s, both ends
    assert {command.source for command in commands} == {'hold', 'policy'}
    for ours, theirs in zip(commands, sent, strict=True):
        assert theirs is not None and ours.source == theirs.source
        assert np.array_equal(ours.positions, theirs.positions)
        assert np.array_equal(ours.velocities, theirs.velocities)
        assert ours.gripper_opening == theirs.gripper_opening
        assert ours.time == pytest.approx(theirs.time, abs=period / 100)


def test_same_seed_same_commands(worlds):
    """A world that was used before and a new one give the same episode, bit for bit."""
    first = numbers(random_rollout(worlds('widowx'), seed=5))
    random_rollout(worlds('widowx'), seed=6)
    again = numbers(random_rollout(worlds('widowx'), seed=5))
    fresh = World(load_embodiment('widowx'))
    anew = numbers(random_rollout(fresh, seed=5))
    fresh.close()
    assert np.array_equal(first, again) and np.array_equal(first, anew)
    assert not np.array_equal(first, numbers(random_rollout(worlds('widowx'), seed=6)))


@pytest.mark.parametrize('robot', ROBOTS)
def test_the_robot_follows_through_its_own_driver(worlds, robot):
    """Each vendor's driver gets ready, takes the commands and complains of nothing."""
    world, record = worlds(robot), Record()
    body = world.embodiment
    brain = RandomBrain(body, np.random.default_rng(0))
    result = Rollout(
        body, default_instruction(body), brain, seed=0, observer=record, world=world
    ).run(2.0)
    assert not result.complaints and not result.dropped
    assert result.plans == 11  # 5 Hz over 2 s, both ends
    last = record.all('command')[-1]
    if body.kind == 'arm':
        lag = np.abs(world.joint_positions - last.positions)
        moved = np.abs(last.positions - record.all('command')[0].positions)
        assert lag.max() < 0.15 < moved.max()
    else:
        assert np.linalg.norm(world.base_pose) > 0.05


def test_the_arm_goes_where_the_plan_says(worlds):
    """1 cm a step of 0.2 s for 2 s is 9 cm or so, behind latency and acceleration."""
    world, brain = worlds('widowx'), forward()
    world.reset(1)
    rollout = Rollout(world.embodiment, 'wave', brain, seed=1, world=world, latency_s=0.08)
    start = world.ee_pose[:3, 3].copy()
    rollout.run(2.0)
    moved = world.ee_pose[:3, 3] - start
    assert 0.06 < moved[0] < 0.11
    assert np.abs(moved[1:]).max() < 0.02


def test_plans_come_at_the_planners_rate(worlds):
    """Of thirty pictures a second the first of each period is planned on."""
    brain = forward()
    Rollout(
        worlds('widowx').embodiment,
        'wave',
        brain,
        seed=1,
        world=worlds('widowx'),
        camera_rate_hz=30.0,
    ).run(0.95)
    stamps = np.array([stamp for stamp, _, _ in brain.asked]) - BEGIN_S
    assert stamps == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8], abs=1e-6)


def test_a_slow_plan_leaves_pictures_out(worlds):
    """While one plan is under way no other begins, and the next one is on a new picture."""
    brain, world = forward(), worlds('widowx')
    Rollout(world.embodiment, 'wave', brain, seed=1, world=world, latency_s=0.3).run(1.15)
    stamps = np.array([stamp for stamp, _, _ in brain.asked]) - BEGIN_S
    assert stamps == pytest.approx([0.0, 0.4, 0.8], abs=1e-6)


class Stumbling(Steady):
    """Every plan after the third is no action."""

    def plan(self, observation, state):
        if len(self.asked) == 3:
            raise ActionError('the action tokens are too short')
        return super().plan(observation, state)


def test_a_plan_that_is_no_action_never_moves_the_robot(worlds):
    """It is counted, the robot holds, as when the decoder's heartbeat tells of a fault."""
    record, world = Record(), worlds('widowx')
    brain, words = Stumbling(forward().rows[0].tolist()), 'reach the red cube'
    rollout = Rollout(world.embodiment, words, brain, seed=3, observer=record, world=world)
    result = rollout.run(3.0)
    assert result.plans == 3 and result.refused > 5
    assert result.faults['decoder_error'] > 60 and len(record.all('chunk')) == 3
    places = np.array([c.positions for c in record.all('command')])
    assert np.ptp(places[:40], axis=0).max() > 0.01
    np.testing.assert_allclose(places[-40:], np.tile(places[-1], (40, 1)), atol=1e-6)


def test_the_chain_takes_as_long_as_it_is_told(worlds):
    """From the picture's stamp to the first command that uses its chunk: latency and a tick."""
    record, world = Record(), worlds('widowx')
    Rollout(
        world.embodiment, 'wave', forward(), seed=1, world=world, latency_s=0.12, observer=record
    ).run(0.5)
    chains = [s.chain_latency for _, s in record.all('status') if np.isfinite(s.chain_latency)]
    assert chains
    assert all(0.12 <= chain < 0.12 + 1.0 / 60.0 for chain in chains)


def test_the_decoder_is_told_the_state_at_the_picture(worlds):
    brain, world = forward(), worlds('widowx')
    Rollout(world.embodiment, 'wave', brain, seed=1, world=world).run(1.0)
    for stamp, _, state in brain.asked:
        assert state.stamp == pytest.approx(stamp, abs=0.006)  # the driver tells it at 100 Hz
        assert state.axes.shape == (6,) and 0.0 <= state.opening <= 1.0


def test_pictures_are_those_of_the_camera(worlds):
    """The observer and the brain get the same pictures; noise makes each one new."""
    brain, record, world = forward(), Filming(), worlds('widowx')
    Rollout(world.embodiment, 'wave', brain, seed=1, world=world, observer=record).run(0.5)
    frames = record.all('frame')
    assert [camera for _, camera, _ in frames] == ['primary'] * 3
    assert frames[0][0] == BEGIN_S
    for (_, _, seen), (_, given, _) in zip(frames, brain.asked, strict=False):
        assert seen.shape == (480, 640, 3) and seen is given
    world.reset(1)
    clean = world.render().astype(int)
    noise = frames[0][2].astype(int) - np.clip(clean, 3, 252)
    assert 0.5 < noise.std() < 1.5


def test_nobody_draws_what_nobody_sees(worlds):
    record, world = Record(), worlds('widowx')
    brain = RandomBrain(world.embodiment, np.random.default_rng(0))
    rollout = Rollout(world.embodiment, 'wave', brain, seed=0, world=world, observer=record)
    assert rollout._eyes.look() == {}


def test_unknown_camera_is_named(worlds):
    world = worlds('widowx')
    with pytest.raises(ConfigError, match=r'wrist.*primary'):
        Rollout(world.embodiment, 'wave', forward(), seed=0, world=world, cameras=['wrist'])


def test_expert_reaches(worlds):
    world = worlds('widowx')
    instruction = instruction_for('reach', 'green')
    brain = ExpertBrain(world, np.random.default_rng(0))
    result = Rollout(world.embodiment, instruction, brain, seed=4, world=world).run()
    assert result.outcome.success, result.outcome.text
    assert result.success_time_s < result.duration_s <= result.success_time_s + 0.6
    assert not result.faults.keys() - {'no_chunk'}


def test_an_expert_brings_home_what_a_policy_led_astray(worlds):
    """Chance drives in between; the expert reaches the cube all the same."""
    world = worlds('widowx')
    record, instruction = Record(), instruction_for('reach', 'green')
    lost = RandomBrain(world.embodiment, np.random.default_rng(1))
    brain = DetourBrain(world, lost, np.random.default_rng(1))
    rollout = Rollout(world.embodiment, instruction, brain, seed=4, world=world, observer=record)
    result = rollout.run(max_duration_s=30.0)
    assert result.outcome.success, result.outcome.text
    assert {plan.source for plan in record.all('plan')} == {'detour', 'expert'}
    detours = [plan for plan in record.all('plan') if plan.source == 'detour']
    assert {plan.action_space for plan in detours} == {'eef_delta'}
    assert 4 <= len(detours) < result.plans


def test_a_refused_plan_leaves_the_detour_to_the_expert(worlds):
    class Refuses:
        def reset(self, instruction):
            pass

        def plan(self, observation, state):
            raise ActionError('no action')

    world = worlds('widowx')
    brain = DetourBrain(world, Refuses(), np.random.default_rng(1))
    instruction = instruction_for('reach', 'green')
    result = Rollout(world.embodiment, instruction, brain, seed=4, world=world).run()
    assert result.outcome.success and result.refused == 0


def test_expert_drives_from_the_seat(worlds):
    world = worlds('mobile_base')
    brain = ExpertBrain(world, np.random.default_rng(0))
    result = Rollout(
        world.embodiment, 'drive to the blue pillar', brain, seed=4, world=world
    ).run()
    assert result.outcome.success, result.outcome.text


def test_a_checkpoint_plans_and_its_decoder_moves(worlds):
    """The network of the live graph, with the memory of its planner."""
    record, world = Record(), worlds('widowx')
    brain = CheckpointBrain('untrained', 'widowx')
    result = Rollout(
        world.embodiment, 'reach the red cube', brain, seed=0, world=world, observer=record
    ).run(0.5)
    assert result.plans == len(result.decision_s) == 3
    assert [chunk.latent_sequence for chunk in record.all('chunk')] == [1, 2, 3]
    assert record.all('command')[-1].source == 'policy'


def test_virtual_time_keeps_order_and_does_not_drift():
    time, said = VirtualTime(5.0), []
    time.every(1.0 / 60.0, 3, lambda: said.append(('tick', time.nanoseconds)))
    time.every(0.01, 0, lambda: said.append(('physics', time.nanoseconds)))
    time.after(0.05, 1, lambda: said.append(('plan', time.nanoseconds)))
    assert not time.run(100.0, lambda: False)
    assert time.now == 105.0
    assert said[-1] == ('tick', 105_000_000_000)
    assert said[-2] == ('physics', 105_000_000_000)
    at_once = [what for what, when in said if when == 5_050_000_000]
    assert at_once == ['physics', 'plan', 'tick']
    assert sum(what == 'tick' for what, _ in said) == 6000


def test_an_expert_leads_an_arm_of_slow_joints_without_swaying():
    """Told as increments, every 0.2 s anew, it swayed: 2.0 rad/s² on average instead of 0.9."""
    embodiment = load_embodiment('widowx')
    world = World(embodiment)
    record = Record()
    instruction = instruction_for('pick', 'red')
    brain = ExpertBrain(world)
    options = {'variation': Variation.training(), 'world': world, 'observer': record}
    result = Rollout(embodiment, instruction, brain, seed=2_000_000, **options).run()
    assert result.outcome.success
    assert {chunk.action_space for chunk in record.all('chunk')} == {'eef_pose'}
    positions = np.array([command.positions for command in record.all('command')])
    rate_hz = embodiment.control_rate_hz
    accelerations = np.diff(positions, 2, axis=0) * rate_hz**2
    assert np.sqrt(np.mean(accelerations**2)) < 1.3
