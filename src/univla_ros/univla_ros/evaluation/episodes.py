"""Episodes of one case as a worker runs them; worlds and networks are kept between them."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import load_embodiment
from univla_sim.shifts import shifted
from univla_sim.tasks import instruction_for
from univla_sim.variation import Variation
from univla_sim.world import World

from univla_ros.evaluation.cases import Case
from univla_ros.evaluation.cases import colors_of
from univla_ros.evaluation.checkpoints import CLONED
from univla_ros.policy_parameters import policy_parameters
from univla_ros.rollout import Brain
from univla_ros.rollout import CheckpointBrain
from univla_ros.rollout import ExpertBrain
from univla_ros.rollout import RandomBrain
from univla_ros.rollout import Rollout
from univla_ros.rollout.rollout import PLAN_RATE_HZ

#: Failures whose last picture a job keeps.
_STILLS = 3


@dataclass(frozen=True, kw_only=True)
class EpisodeRecord:
    """What came of one episode.

    Attributes:
        seed: Seed of its scene.
        instruction: What the policy was told.
        success: Whether the object named was the first.
        original: With a wrong instruction, whether the scene's own object was.
        duration_s: Simulated time [s].
        decision_s: Wall time of each plan [s].
        plans: How many plans became chunks.
        refused: How many were no action.
        text: The referee's words.
        error: What went wrong with the evaluation itself; empty if nothing did.
        still: The last picture of a failure, half size, None if it was not kept.
    """

    seed: int
    instruction: str = ''
    success: bool = False
    original: bool | None = None
    duration_s: float = 0.0
    decision_s: tuple[float, ...] = ()
    plans: int = 0
    refused: int = 0
    text: str = ''
    error: str = ''
    still: np.ndarray | None = None


def run_job(case: Case, seeds: Sequence[int]) -> list[EpisodeRecord]:
    """Run the episodes of some seeds; what goes wrong in one is told in its record."""
    records: list[EpisodeRecord] = []
    room = _STILLS
    for seed in seeds:
        try:
            record = _episode(case, seed, room > 0)
        except Exception as error:  # the next episode begins with a new world; this one is told
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = (
                f'{type(error).__name__}: {error} ({where.name}, {where.filename}:{where.lineno})'
            )
            record = EpisodeRecord(seed=seed, error=text)
        room -= record.still is not None
        records.append(record)
    return records


def _episode(case: Case, seed: int, keep_still: bool) -> EpisodeRecord:
    world = _world(case.robot)
    own, other = colors_of(seed)
    goal = instruction_for(case.task, other if case.wrong else own)
    variation, instruction = Variation.training(), goal
    if case.shift != 'none':
        shift = shifted(case.shift, seed)
        variation, instruction = shift.variation, shift.rewrite(goal)
    rollout = Rollout(
        world.embodiment,
        instruction,
        _brain(case, world, seed),
        seed=seed,
        variation=variation,
        latency_s=case.latency_s,
        plan_rate_hz=_plan_rate_hz(case.policy),
        world=world,
        goal=goal,
    )
    result = rollout.run()
    success = result.outcome.success
    if success is None:
        raise ValueError(f'the referee does not judge "{goal}"')
    original = world.outcome(instruction_for(case.task, own)).success if case.wrong else None
    still = _still(world) if keep_still and not success else None
    return EpisodeRecord(
        seed=seed,
        instruction=instruction,
        success=success,
        original=original,
        duration_s=result.duration_s,
        decision_s=result.decision_s,
        plans=result.plans,
        refused=result.refused,
        text=result.outcome.text,
        still=still,
    )


def _still(world: World) -> np.ndarray:
    """The scene at half size, from outside where the robot carries its own camera."""
    mounted = world.embodiment.cameras['primary'].simulation['mount'] != 'world'
    return world.render('overview' if mounted else 'primary')[::2, ::2].copy()


def _brain(case: Case, world: World, seed: int) -> Brain:
    # Chance of its own: the scene's seed alone would move the robot as the objects were placed.
    rng = np.random.default_rng((seed, 1))
    if case.policy == 'random':
        return RandomBrain(world.embodiment, rng)
    if case.policy == 'expert':
        return ExpertBrain(world, rng)
    policy = _deployed(case.policy)
    return _checkpoint_brain(
        case.checkpoint, case.robot, case.decoder, case.device, policy, case.ensembling
    )


@functools.lru_cache(maxsize=2)
def _world(robot: str) -> World:
    return World(load_embodiment(robot))


@functools.lru_cache(maxsize=2)
def _checkpoint_brain(
    checkpoint: str, robot: str, decoder: str, device: str, policy: str, ensembling: str
) -> Brain:
    return CheckpointBrain(
        checkpoint, robot, decoder, device=device, policy=policy, ensembling=ensembling
    )


@functools.lru_cache
def _plan_rate_hz(policy: str) -> float:
    """How often the deployed node plans with this policy, at most [Hz]."""
    if policy in ('random', 'expert'):
        return PLAN_RATE_HZ
    return float(policy_parameters(_deployed(policy))['plan_rate_hz'])


def _deployed(policy: str) -> str:
    """The policy as the node knows it: a cloned one is UniVLA's."""
    return 'univla' if policy == CLONED else policy
