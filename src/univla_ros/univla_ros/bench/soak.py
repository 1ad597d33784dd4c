"""`univla bench soak`: the demo graph for a long time, with tasks and faults that come and go."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError

from univla_ros.bench.injector import Injector
from univla_ros.bench.judgement import Trial
from univla_ros.bench.live_graph import BenchError
from univla_ros.bench.live_graph import GraphOptions
from univla_ros.bench.live_graph import LiveGraph
from univla_ros.bench.memory import resident_bytes
from univla_ros.bench.run_safety import ALL
from univla_ros.bench.run_safety import document
from univla_ros.bench.run_safety import wide_console
from univla_ros.bench.safety import FAULTS
from univla_ros.bench.safety import Fault
from univla_ros.bench.soak_report import Stop
from univla_ros.bench.soak_report import draw_memory
from univla_ros.bench.soak_report import show_soak
from univla_ros.bench.soak_report import soak_rows
from univla_ros.bench.timing import first_said
from univla_ros.bench.trial import Trials
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.demo.stall_watch import StallWatch
from univla_ros.demo.stall_watch import stalled

#: Faults after which every process is still the same one, and that concern one robot alone …
_OWN = (
    'nan_chunk',
    'exploding_chunk',
    'joint_stall',
    'joint_nan',
    'decoder_hang',
    'estop',
    'deadman_release',
    'teleop_takeover',
    'second_publisher',
)
#: … or all that follow the policy: the first robot is tried and the others must stop with it.
_SHARED = (
    'nan_latent',
    'out_of_range_codes',
    'camera_stall',
    'camera_freeze',
    'camera_black',
    'policy_hang',
)
_FAULT_EVERY_S, _TASK_EVERY_S, _SAMPLE_EVERY_S = (20.0, 30.0), 47.0, 5.0
_OTHERS_STOP_S = 1.0
_STALL_S = 0.004


@dataclass(frozen=True, kw_only=True)
class SoakOptions:
    """What the command line asks for."""

    minutes: float = 30.0
    robot: str = 'widowx,mobile_base'
    policy: str = 'univla'
    checkpoint: str = 'untrained'
    device: str = 'auto'
    seed: int = 0
    params_file: str = ''
    output: Path = Path('out/bench')
    json_path: Path | None = None

    @property
    def robots(self) -> tuple[str, ...]:
        """The robots, together under the first one's policy."""
        names = ALL if self.robot == 'all' else tuple(n.strip() for n in self.robot.split(','))
        for name in names:
            load_embodiment(name)
        if self.minutes <= 0.0:
            raise ConfigError('--minutes must be more than 0')
        return names


@dataclass
class Record:
    """What a soak leaves behind.

    Attributes:
        begin: When it began [s, system time].
        times: When memory was sampled, since the beginning [s].
        memory: Resident bytes at those times by node.
        stops: What came of every injected fault.
        tasks: How often the task was changed.
        ended: Nodes that ended by themselves.
    """

    begin: float = field(default_factory=time.time)
    times: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=dict)
    stops: list[Stop] = field(default_factory=list)
    tasks: int = 0
    ended: list[str] = field(default_factory=list)


def run_soak(options: SoakOptions) -> int:
    """Run the soak; the exit status is 0 when nothing broke, leaked or failed to stop."""
    console = wide_console()
    ensure_checkpoint(options.checkpoint)
    options.output.mkdir(parents=True, exist_ok=True)
    logs = options.output / 'logs' / 'soak'
    graph_options = GraphOptions(
        robots=options.robots,
        log_directory=logs,
        policy=options.policy,
        checkpoint=options.checkpoint,
        device=options.device,
        seed=options.seed,
        params_file=options.params_file,
    )
    for old in logs.glob('*.log'):
        old.unlink()  # of another run with other robots
    columns = (TextColumn('{task.description}'), BarColumn(), TimeElapsedColumn())
    with (
        StallWatch() as stalls,
        LiveGraph(graph_options) as graph,
        Progress(*columns, console=console, transient=True) as bar,
    ):
        task = bar.add_task('starting', total=60.0 * options.minutes)
        record = _Soak(options, graph, stalls).run(
            lambda what, passed: bar.update(task, description=what, completed=passed)
        )
    rows = soak_rows(record, sorted(logs.glob('*.log')))
    show_soak(console, rows)
    draw_memory(options.output / 'soak.png', record)
    if options.json_path is not None:
        options.json_path.parent.mkdir(parents=True, exist_ok=True)
        options.json_path.write_text(json.dumps(document('bench soak', rows), indent=1))
    return 0 if all(row['ok'] for row in rows) else 1


class _Soak:
    """One long run."""

    def __init__(self, options: SoakOptions, graph: LiveGraph, stalls: StallWatch) -> None:
        self._duration_s, self._graph, self._stalls = 60.0 * options.minutes, graph, stalls
        self._random = random.Random(options.seed)
        self._robots = options.robots
        self._trials = {
            name: Trials(graph, options.seed + index, name)
            for index, name in enumerate(self._robots)
        }
        self._injector = Injector(graph)
        self._faults = {fault.name: fault for fault in FAULTS}
        self._record = Record()

    def run(self, progress: Callable[[str, float], None]) -> Record:
        """Let time pass, with faults and tasks; ends early when a node does."""
        with ExitStack() as stack:
            for trials in self._trials.values():
                stack.enter_context(closing(trials))
                trials.wait_for_start()
            self._record.begin = time.time()
            due = {'fault': self._pause(), 'task': _TASK_EVERY_S, 'sample': 0.0}
            while (passed := time.time() - self._record.begin) < self._duration_s:
                if self._graph.supervisor.ended():
                    break
                self._act(due, passed, progress)
                time.sleep(0.1)
        self._record.ended = [node.name for node in self._graph.supervisor.ended()]
        return self._record

    def _act(
        self, due: dict[str, float], passed: float, progress: Callable[[str, float], None]
    ) -> None:
        """Do what is due after `passed` seconds."""
        progress(f'{len(self._record.stops)} faults, {self._record.tasks} tasks', passed)
        if passed >= due['sample']:
            due['sample'] += _SAMPLE_EVERY_S
            self._sample(passed)
        if passed >= due['task']:
            due['task'] += _TASK_EVERY_S
            self._change_task()
        if passed >= due['fault']:
            due['fault'] = passed + self._pause()
            self._break(passed)

    def _pause(self) -> float:
        return self._random.uniform(*_FAULT_EVERY_S)

    def _sample(self, passed: float) -> None:
        self._record.times.append(passed)
        for node in self._graph.supervisor.running:
            resident = resident_bytes(node.process.pid)
            if resident is not None:
                self._record.memory.setdefault(node.name, []).append(float(resident))
        for watch in self._graph.watches.values():
            watch.forget(time.time() - 5.0)

    def _change_task(self) -> None:
        self._record.tasks += 1
        if self._record.tasks % 2:
            self._injector.change_task()
        else:
            self._injector.restore_task()

    def _break(self, passed: float) -> None:
        """Inject one fault into one robot and see every robot stop that must."""
        robot = self._random.choice(self._robots)
        names = (*_OWN, *_SHARED) if robot == self._robots[0] else _OWN
        fault = self._faults[self._random.choice(names)]
        try:
            trial = self._trials[robot].run(fault)
        except BenchError as error:
            self._record.stops.append(Stop(passed, robot, fault.name, None, (str(error),)))
            self._trials[robot].mend()
            return
        problems = list(trial.problems)
        if fault.name in _SHARED:
            problems += self._followers(fault, trial)
        if stalled(self._stalls.so_far(), trial.began, trial.safe) > _STALL_S:
            problems = [text for text in problems if not text.startswith('safe after')]
        time_s = trial.time_to_safe
        self._record.stops.append(Stop(passed, robot, fault.name, time_s, tuple(problems)))

    def _followers(self, fault: Fault, trial: Trial) -> Sequence[str]:
        """Robots that went on with a plan that can no longer be trusted."""
        problems = []
        for name in self._robots[1:]:
            states = list(self._graph.watches[name].states)
            said = first_said(states, trial.at, lambda s: s.source != 'policy')
            if said is None or said.time > trial.at + _OTHERS_STOP_S:
                problems.append(f'{name} went on under {fault.name}')
        return problems
