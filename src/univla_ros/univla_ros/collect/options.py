"""What is collected: robots, tasks, scenes, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_sim.tasks import TASKS

#: Scenes from here on are for training; evaluation draws its scenes from seeds far below.
FIRST_SEED = 1_000_000


@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """What the command line asks for.

    Attributes:
        robot: Robots by comma.
        task: Tasks by comma, or `all` that fit the robot.
        episodes: Episodes of each robot and task that there shall be.
        seed: First scene, counted from `FIRST_SEED`.
        out: Folder; episodes are in `<out>/<robot>/<task>/<seed>`.
        kicks: Whether random motions disturb the demonstrations.
        detours: Checkpoint whose policy drives in between; empty for none.
        camera_rate_hz: Pictures per second.
        keep_failures: Whether episodes that failed are kept too.
        raw: Whether pictures are stored as they are instead of as JPEG.
        workers: Processes; 0 takes one per core.
    """

    robot: str
    task: str
    episodes: int
    seed: int = 0
    out: Path = Path('data')
    kicks: bool = True
    detours: str = ''
    camera_rate_hz: float = 5.0
    keep_failures: bool = False
    raw: bool = False
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One scene to record.

    Attributes:
        robot: Name of the robot.
        task: Name of the task.
        seed: Seed of the scene.
        folder: Where the episodes of this robot and task are.
        options: How.
    """

    robot: str
    task: str
    seed: int
    folder: Path
    options: CollectOptions

    @property
    def path(self) -> Path:
        """Folder of the episode."""
        return self.folder / f'{self.seed:07d}'


def pairs_of(options: CollectOptions) -> list[tuple[str, str]]:
    """Every robot with each of its tasks.

    Raises:
        ConfigError: If a name is unknown, a task does not fit a robot, or a number is no use.
    """
    if options.episodes < 1:
        raise ConfigError(f'--episodes {options.episodes} collects nothing; give 1 or more')
    if options.seed < 0:
        raise ConfigError(f'--seed {options.seed} would reach scenes kept for evaluation')
    pairs = []
    for robot in _names(options.robot):
        kind = load_embodiment(robot).kind
        fitting = [task for task in TASKS if (task == 'drive') == (kind == 'base')]
        for task in fitting if options.task == 'all' else _names(options.task):
            if task not in fitting:
                raise ConfigError(
                    f'robot {robot!r} has no task {task!r}; its tasks are {", ".join(fitting)}'
                )
            pairs.append((robot, task))
    if not pairs:
        raise ConfigError('--robot and --task name nothing; say for example widowx and reach')
    return pairs


def _names(wish: str) -> Sequence[str]:
    return list(dict.fromkeys(name.strip() for name in wish.split(',') if name.strip()))
