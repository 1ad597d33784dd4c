"""What is evaluated: every robot, task, policy and shift asked for, as one case each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.temporal_ensembling import WHEN
from univla_sim.scene import COLORS
from univla_sim.shifts import SHIFTS
from univla_sim.tasks import TASKS

from univla_ros.evaluation.checkpoints import Checkpoint
from univla_ros.evaluation.checkpoints import checkpoints_for

#: Policies by name; all but the first two come from a checkpoint.
POLICIES = ('random', 'expert', 'univla', 'bc', 'uniact', 'unified_vla')
#: Robots that `all` stands for.
ROBOTS = ('widowx', 'franka', 'airbot', 'mobile_base')
#: Evaluation draws its scenes from seeds below this, training from seeds far above.
SEED_END = 100_000
#: Scenes that belong to one seed of the command.
SEEDS_EACH = 1000


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What the command line asks for; names and lists by comma."""

    robot: str = 'widowx'
    task: str = 'all'
    policy: str = 'univla'
    checkpoint: str = ''
    decoder: str = ''
    action_space: str = ''
    episodes: int = 100
    seed: int = 0
    shift: str = 'none'
    wrong_instruction: bool = False
    ensembling: str = 'auto'
    execute_latency_s: float = 0.08
    workers: int = 0
    device: str = 'cpu'
    output: Path = Path('out/eval')
    json_path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the result.

    Attributes:
        robot: Name of the robot.
        task: One of `univla_sim.tasks.TASKS`.
        policy: One of `POLICIES`.
        shift: One of `univla_sim.shifts.SHIFTS`, or `none`.
        checkpoint: Name or folder, empty for a policy without one.
        decoder: Folder of the decoder, empty for a policy without one.
        wrong: Whether another object is named than the scene's own seed says.
        ensembling: When chunks of several plans are averaged, one of
            `univla_core.temporal_ensembling.WHEN`.
        latency_s: From picture to chunk [s].
        device: Where the policy runs.
    """

    robot: str
    task: str
    policy: str
    shift: str = 'none'
    checkpoint: str = ''
    decoder: str = ''
    wrong: bool = False
    ensembling: str = 'auto'
    latency_s: float = 0.08
    device: str = 'cpu'


def cases_of(options: EvalOptions) -> list[Case]:
    """Every case, in the order of the table.

    Raises:
        UnivlaError: If a name is unknown, a task fits no robot asked for, or a checkpoint or a
            decoder is missing.
    """
    policies = _names(options.policy, POLICIES, 'policy', everything=False)
    shifts = _names(options.shift, ('none', *SHIFTS), 'shift')
    if options.ensembling not in WHEN:
        raise ConfigError(
            f'--ensembling {options.ensembling!r} is unknown; choose one of {", ".join(WHEN)}'
        )
    checkpoints = checkpoints_for(policies, options.checkpoint)
    cases = []
    for robot, task in _pairs(options):
        for policy in policies:
            for found in checkpoints.get(policy, (None,)):
                decoder = _decoder(found, robot, options)
                cases += [
                    Case(
                        robot=robot,
                        task=task,
                        policy=policy,
                        shift=shift,
                        checkpoint=found.name if found else '',
                        decoder=decoder,
                        wrong=options.wrong_instruction,
                        ensembling=options.ensembling,
                        latency_s=options.execute_latency_s,
                        device=options.device,
                    )
                    for shift in shifts
                ]
    return cases


def seeds_of(options: EvalOptions) -> range:
    """Seeds of the scenes, the same for every case.

    Raises:
        ConfigError: If they would leave the seeds that are kept for evaluation.
    """
    if not 1 <= options.episodes <= SEEDS_EACH:
        raise ConfigError(
            f'--episodes {options.episodes} is outside 1 to {SEEDS_EACH}; for more scenes '
            'evaluate with another --seed'
        )
    first = options.seed * SEEDS_EACH
    if not 0 <= first < SEED_END:
        raise ConfigError(
            f'--seed {options.seed} is outside 0 to {SEED_END // SEEDS_EACH - 1}: scenes beyond '
            'are kept for training'
        )
    return range(first, first + options.episodes)


def colors_of(seed: int) -> tuple[str, str]:
    """Colour that a scene's seed asks for, and another one for a wrong instruction."""
    colors = tuple(COLORS)
    own = seed % len(colors)
    other = own + 1 + seed // len(colors) % (len(colors) - 1)
    return colors[own], colors[other % len(colors)]


def _pairs(options: EvalOptions) -> list[tuple[str, str]]:
    robots = _split(options.robot) if options.robot != 'all' else list(ROBOTS)
    kinds = {robot: load_embodiment(robot).kind for robot in robots}
    tasks = _names(options.task, TASKS, 'task')
    fits = {kind: ('drive',) if kind == 'base' else _ARM_TASKS for kind in ('arm', 'base')}
    pairs = [(r, t) for r in robots for t in tasks if t in fits[kinds[r]]]
    # Of all robots, those that can do nothing of it are left out; one that was named is missed.
    for robot in robots if options.robot != 'all' else ():
        if robot not in {r for r, _ in pairs}:
            raise ConfigError(
                f'robot {robot!r} cannot do {", ".join(tasks)}; '
                f'its tasks are {", ".join(fits[kinds[robot]])}'
            )
    idle = [] if options.task == 'all' else [t for t in tasks if t not in {p for _, p in pairs}]
    if idle:
        raise ConfigError(f'none of {", ".join(robots)} can do {", ".join(idle)}')
    return pairs


_ARM_TASKS = tuple(task for task in TASKS if task != 'drive')


def _decoder(checkpoint: Checkpoint | None, robot: str, options: EvalOptions) -> str:
    if checkpoint is None:
        return ''
    return str(checkpoint.decoder(load_embodiment(robot), options.decoder, options.action_space))


def _names(wish: str, known: Sequence[str], what: str, everything: bool = True) -> tuple[str, ...]:
    """Names by comma, or all of them.

    Raises:
        ConfigError: If one is unknown; the known ones are listed.
    """
    if wish == 'all' and everything:
        return tuple(known)
    names = _split(wish)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        every = ', or all' if everything else ''
        raise ConfigError(
            f'unknown {what} {", ".join(unknown) or "(none)"}; known are {", ".join(known)}{every}'
        )
    return tuple(dict.fromkeys(names))


def _split(wish: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in wish.split(',') if name.strip()))
