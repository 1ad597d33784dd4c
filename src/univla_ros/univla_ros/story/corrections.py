"""Episodes in which a policy fails and a scripted operator corrects it, recorded as live ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from univla_core.embodiment import load_embodiment
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance
from univla_data.provenance import hash_of_path
from univla_data.provenance import hash_of_robot
from univla_data.provenance import software
from univla_sim.tasks import instruction_for
from univla_sim.variation import Variation
from univla_sim.world import World

from univla_ros.collect.episode_recorder import EpisodeRecorder
from univla_ros.evaluation.cases import colors_of
from univla_ros.rollout import CheckpointBrain
from univla_ros.rollout import ExpertOperator
from univla_ros.rollout import Rollout
from univla_ros.rollout.rollout import time_limit_s

#: Scenes of corrections: for training, and not those that `univla collect` begins with.
FIRST_SEED = 1_900_000
CAMERA_RATE_HZ = 5.0
#: An episode ends so long after success [s].
_REST_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """What came of one episode.

    Attributes:
        path: The bag.
        seed: Seed of its scene.
        took_over_s: When the operator took over [s], None if the policy did the task itself.
        success: Whether the task was done in the end.
    """

    path: Path
    seed: int
    took_over_s: float | None
    success: bool


def record_corrections(
    robot: str,
    task: str,
    checkpoint: str,
    decoder: Path,
    seeds: Iterable[int],
    out: Path,
    *,
    patience_s: float = 3.0,
) -> Iterable[Corrected]:
    """Let the policy try, and the operator mend it; one bag each, replaced if it is there.

    The operator speaks to the controller as a teleoperation device does, while the policy goes on
    planning: modes, limits, recorded sources are those of the running graph.

    Args:
        robot: Which robot.
        task: One of its tasks.
        checkpoint: Folder or name of the policy's checkpoint.
        decoder: Folder of the decoder in use.
        seeds: Scenes.
        out: Folder; episodes are in `<out>/<seed>`.
        patience_s: Time that the policy gets [s].

    Raises:
        UnivlaError: If the weights cannot be used or the disk is full.
    """
    embodiment = load_embodiment(robot)
    brain = CheckpointBrain(checkpoint, embodiment, str(decoder))
    world = World(embodiment)
    try:
        for seed in seeds:
            instruction = instruction_for(task, colors_of(seed)[0])
            provenance = Provenance(
                robot=robot,
                task=task,
                instruction=instruction,
                namespace=f'/{robot}',
                seed=seed,
                driver=checkpoint,
                cameras={'primary': CAMERA_RATE_HZ},
                hashes={'robot': hash_of_robot(embodiment), 'decoder': hash_of_path(decoder)},
                details={'simulated': True, 'operator': 'scripted', 'variation': 'training'},
                **software(),
            )
            operator = ExpertOperator(world, patience_s)
            with EpisodeWriter(out / str(seed), embodiment, provenance) as writer:
                recorder = EpisodeRecorder(writer, embodiment, instruction)
                outcome = (
                    Rollout(
                        embodiment,
                        instruction,
                        brain,
                        seed=seed,
                        variation=Variation.training(),
                        camera_rate_hz=CAMERA_RATE_HZ,
                        observer=recorder,
                        world=world,
                        after_success_s=_REST_S,
                        operator=operator,
                    )
                    .run(patience_s + 2.0 * time_limit_s(instruction))
                    .outcome
                )
                person = ['teleop'] if operator.took_over_s is not None else []
                writer.close(bool(outcome.success), [*person, *recorder.sources])
            yield Corrected(
                path=out / str(seed),
                seed=seed,
                took_over_s=operator.took_over_s,
                success=bool(outcome.success),
            )
    finally:
        world.close()
