"""One demonstration: the expert drives the deployed code, and the episode is written."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import time
import traceback
from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_data.episode_writer import QUALITY
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance
from univla_data.provenance import hash_of
from univla_data.provenance import hash_of_robot
from univla_data.provenance import software
from univla_models.policy import policy_of
from univla_sim.tasks import instruction_for
from univla_sim.variation import Variation
from univla_sim.world import World

from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.collect.episode_recorder import EpisodeRecorder
from univla_ros.collect.options import Job
from univla_ros.evaluation.cases import colors_of
from univla_ros.nodes.controller_node import ControllerConfig
from univla_ros.rollout import CheckpointBrain
from univla_ros.rollout import DetourBrain
from univla_ros.rollout import ExpertBrain
from univla_ros.rollout import Rollout
from univla_ros.rollout import RolloutResult
from univla_ros.rollout.checkpoint_brain import read_checkpoint_config
from univla_ros.rollout.rollout import time_limit_s

#: Room that must be left on the disk before an episode begins [bytes].
ROOM = 200 * 2**20
#: An episode ends so long after success [s], or before when the expert says that it has rested.
_REST_S = 1.0
#: How many times as long an episode with detours may take.
_DETOURED = 2.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of one scene.

    Attributes:
        seed: Seed of the scene.
        success: Whether the expert did the task.
        kept: Whether the episode is on the disk.
        frames: Pictures.
        duration_s: Simulated time [s].
        wall_s: Time that it took [s].
        bytes: Size on the disk.
        text: The referee's words.
        error: What went wrong with the recording itself; empty if nothing did.
        fatal: Whether the next episode would go wrong in the same way.
    """

    seed: int
    success: bool = False
    kept: bool = False
    frames: int = 0
    duration_s: float = 0.0
    wall_s: float = 0.0
    bytes: int = 0
    text: str = ''
    error: str = ''
    fatal: bool = False


def demonstrate(job: Job) -> Report:
    """Record one scene; what goes wrong is told in the report."""
    try:
        free = shutil.disk_usage(job.folder).free
        if free < ROOM:
            raise DataError(
                f'{job.folder}: {free / 2**20:.0f} MB are free, an episode begins with '
                f'{ROOM / 2**20:.0f} MB only; make room, then run the same command again'
            )
        return _recorded(job)
    except DataError as error:
        return Report(seed=job.seed, error=str(error), fatal=True)
    except Exception as error:  # the next scene begins anew; this one is told
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f'{type(error).__name__}: {error} ({where.name}, {where.filename}:{where.lineno})'
        return Report(seed=job.seed, error=text)


def _recorded(job: Job) -> Report:
    begin = time.perf_counter()
    options, world = job.options, _world(job.robot)
    instruction = instruction_for(job.task, colors_of(job.seed)[0])
    brain = _brain(job, world)
    provenance = _provenance(job, world.embodiment, instruction)
    quality = None if options.raw else QUALITY
    with EpisodeWriter(job.path, world.embodiment, provenance, quality=quality) as writer:
        recorder = EpisodeRecorder(writer, world.embodiment, instruction)
        result = Rollout(
            world.embodiment,
            instruction,
            brain,
            seed=job.seed,
            variation=Variation.training(),
            camera_rate_hz=options.camera_rate_hz,
            observer=recorder,
            world=world,
            after_success_s=_REST_S,
        ).run(_DETOURED * time_limit_s(instruction) if options.detours else None)
        success = bool(result.outcome.success)
        kept = success or options.keep_failures
        if kept:
            _close(writer, provenance, recorder, result)
        else:
            writer.discard()
    return Report(
        seed=job.seed,
        success=success,
        kept=kept,
        frames=recorder.frames,
        duration_s=result.duration_s,
        wall_s=time.perf_counter() - begin,
        bytes=sum(p.stat().st_size for p in job.path.iterdir()) if kept else 0,
        text=result.outcome.text,
    )


def _brain(job: Job, world: World) -> ExpertBrain:
    # Chance of its own: the scene's seed alone would move the robot as the objects were placed.
    rng = np.random.default_rng((job.seed, 1))
    if job.options.detours:
        return DetourBrain(world, _policy(job.options.detours, job.robot), rng)
    return ExpertBrain(world, rng, kicks=job.options.kicks)


def _close(
    writer: EpisodeWriter,
    provenance: Provenance,
    recorder: EpisodeRecorder,
    result: RolloutResult,
) -> None:
    details = {
        **provenance.details,
        'outcome': result.outcome.text,
        'duration_s': result.duration_s,
        'success_time_s': result.success_time_s,
    }
    sources = [name for name, _ in recorder.sources.most_common()]
    writer.close(bool(result.outcome.success), sources, details=details)


def _provenance(job: Job, embodiment: Embodiment, instruction: str) -> Provenance:
    config = ControllerConfig(robot=job.robot, control_rate_hz=embodiment.control_rate_hz)
    limits = {
        'controller': dataclasses.asdict(config),
        'limits': {k: np.asarray(v).tolist() for k, v in _numbers(embodiment.limits).items()},
        'safety': embodiment.document.get('safety'),
    }
    return Provenance(
        robot=job.robot,
        task=job.task,
        instruction=instruction,
        namespace=f'/{job.robot}',
        seed=job.seed,
        driver='expert',
        cameras={'primary': job.options.camera_rate_hz},
        hashes={'robot': hash_of_robot(embodiment), 'safety_limits': hash_of(limits)},
        details={
            'simulated': True,
            'kicks': job.options.kicks,
            'detours': job.options.detours,
            'variation': 'training',
        },
        **software(),
    )


def _numbers(limits: object) -> dict[str, np.ndarray]:
    return {k: v for k, v in vars(limits).items() if isinstance(v, np.ndarray)}


@functools.lru_cache(maxsize=2)
def _world(robot: str) -> World:
    return World(load_embodiment(robot))


@functools.lru_cache(maxsize=2)
def _policy(checkpoint: str, robot: str) -> CheckpointBrain:
    config = read_checkpoint_config(ensure_checkpoint(checkpoint))
    return CheckpointBrain(checkpoint, robot, policy=policy_of(config))
