"""Random scenes of several robots, drawn once by several processes and kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING
from typing import Generic

import numpy as np
from univla_core.embodiment import load_embodiment
from univla_data.provenance import hash_of
from univla_data.provenance import hash_of_robot

from univla_training.counting import counting
from univla_training.stored_arrays import ArraysT
from univla_training.stored_arrays import joined

if TYPE_CHECKING:
    from univla_training.run import TrainingRun

# Scenes that a process draws before it says so.
_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class SceneKind(Generic[ArraysT]):
    """What is drawn of random scenes.

    Attributes:
        name: Tells it from others where it is kept.
        version: Changes when scenes are drawn in another way.
        draw: Draws scenes, given a robot's name, how many, a seed and the picture's side [px].
        stored: What that returns.
    """

    name: str
    version: int
    draw: Callable[[str, int, int, int], ArraysT]
    stored: type[ArraysT]


def drawn_scenes(
    run: TrainingRun,
    kind: SceneKind[ArraysT],
    robots: Sequence[str],
    count: int,
    seed: int,
    side: int,
) -> ArraysT:
    """Scenes of several robots, drawn by the run's processes unless its cache has them.

    Args:
        run: The training that needs them.
        kind: What is drawn.
        robots: Names in config/robots.
        count: How many; each robot has as many as every other.
        seed: Decides all of them, however many processes there are.
        side: Side of the policy's picture [px].
    """
    run.console.print(f'{count} scenes of {", ".join(robots)}', highlight=False)
    folder = run.cache / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    seen = hash_of([hash_of_robot(load_embodiment(robot)) for robot in robots])[:8]
    drawn = f'{kind.name}_{"_".join(robots)}_{count}_{seed}_{side}_{seen}_{kind.version}.npz'
    path = folder / drawn
    if not path.is_file():
        each = -(-count // len(robots))
        jobs = [
            (robot, min(_AT_ONCE, each - start), _seed_of(seed, start), side)
            for robot in robots
            for start in range(0, each, _AT_ONCE)
        ]
        parts = []
        workers = run.workers or os.cpu_count() or 1
        with (
            ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool,
            counting(run.console, 'scenes', each * len(robots)) as advance,
        ):
            for future in [pool.submit(kind.draw, *job) for job in jobs]:
                parts.append(future.result())
                advance(len(parts[-1]))
        joined(parts).save(path)
    return kind.stored.load(path)


def _seed_of(seed: int, start: int) -> int:
    return int(np.random.SeedSequence((seed, start)).generate_state(1)[0])
