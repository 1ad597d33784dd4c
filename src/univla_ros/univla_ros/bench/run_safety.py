"""`univla bench safety`: the matrix of faults on the live graph of each robot."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from univla_core.embodiment import load_embodiment

from univla_ros.bench.clean_run import clean_run
from univla_ros.bench.judgement import Trial
from univla_ros.bench.live_graph import BenchError
from univla_ros.bench.live_graph import GraphOptions
from univla_ros.bench.live_graph import LiveGraph
from univla_ros.bench.safety import CLEAN
from univla_ros.bench.safety import FAULTS
from univla_ros.bench.safety import Fault
from univla_ros.bench.safety import faults_named
from univla_ros.bench.safety_report import draw
from univla_ros.bench.safety_report import markdown
from univla_ros.bench.safety_report import show
from univla_ros.bench.trial import Trials
from univla_ros.bench.verdict import Row
from univla_ros.bench.verdict import broken_row
from univla_ros.bench.verdict import clean_row
from univla_ros.bench.verdict import fault_row
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.demo.stall_watch import StallWatch
from univla_ros.demo.stall_watch import stalled

#: Order in which `--robot all` goes through them.
ALL = ('widowx', 'franka', 'airbot', 'mobile_base')
#: A stall of the machine this long within a trial's time spoils it [s].
_STALL_S = 0.004
#: So does a silence this long of what the bench says steadily: a robot rightly stops then [s].
_OWN_GAP_S = 0.06
_MOST_DISCARDED = 4

Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class SafetyOptions:
    """What the command line asks for."""

    robot: str = 'widowx'
    faults: str = 'all'
    repeats: int = 3
    clean_s: float = 20.0
    policy: str = 'univla'
    checkpoint: str = 'untrained'
    device: str = 'auto'
    seed: int = 0
    params_file: str = ''
    output: Path = Path('out/bench')
    json_path: Path | None = None

    @property
    def robots(self) -> tuple[str, ...]:
        """The robots, one after the other."""
        names = ALL if self.robot == 'all' else tuple(n.strip() for n in self.robot.split(','))
        for name in names:
            load_embodiment(name)
        return names


def run_safety(options: SafetyOptions) -> int:
    """Run the matrix; the exit status is 0 when every row is as it must be."""
    console = wide_console()
    begin = time.monotonic()
    robots, faults = options.robots, faults_named(options.faults)
    clean = CLEAN in options.faults or options.faults == 'all'
    ensure_checkpoint(options.checkpoint)
    options.output.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with StallWatch() as stalls:
        for robot in robots:
            with _progress(console, robot, len(faults) * options.repeats + clean) as step:
                rows += _matrix(options, robot, faults, clean, stalls, step)
    show(console, rows)
    _write(console, options, rows)
    console.print(f'{time.monotonic() - begin:.0f} s')
    return 0 if all(row['ok'] for row in rows) else 1


def wide_console() -> Console:
    """The terminal; what is written to a file has room for a whole table."""
    console = Console()
    return console if console.is_terminal else Console(width=130)


def document(command: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The JSON object of a bench command."""
    packages = ('torch', 'transformers', 'mujoco', 'ruckig', 'numpy', 'rclpy')
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        'command': command,
        'ok': all(row['ok'] for row in rows),
        'results': list(rows),
        'versions': {'python': platform.python_version(), **versions},
    }


def _write(console: Console, options: SafetyOptions, rows: Sequence[Row]) -> None:
    (options.output / 'safety.md').write_text(markdown(rows) + '\n')
    draw(options.output / 'safety.png', rows)
    if options.json_path is not None:
        options.json_path.parent.mkdir(parents=True, exist_ok=True)
        options.json_path.write_text(json.dumps(document('bench safety', rows), indent=1))
    console.print(
        f'picture and table in [bold]{options.output}[/]: median / worst time to safe [ms]'
    )


def _matrix(
    options: SafetyOptions,
    robot: str,
    faults: Sequence[Fault],
    clean: bool,
    stalls: StallWatch,
    step: Step,
) -> list[Row]:
    """All rows of one robot: on the system's time, then what needs a clock that can be set."""
    kind = load_embodiment(robot).kind
    own = [fault for fault in faults if kind in fault.bodies]
    rows: list[Row] = []
    for settable in (False, True):
        chosen = [fault for fault in own if fault.settable_clock == settable]
        watched = clean and not settable
        if chosen or watched:
            rows += _Session(options, robot, settable, stalls, step).rows(chosen, watched)
    order = [fault.name for fault in FAULTS]
    return sorted(rows, key=lambda r: order.index(r['name']) if r['name'] in order else -1)


class _Session:
    """The trials of one robot on graphs that are started anew only when one has broken down."""

    def __init__(
        self, options: SafetyOptions, robot: str, settable: bool, stalls: StallWatch, step: Step
    ) -> None:
        self._options, self._robot = options, robot
        self._stalls, self._step = stalls, step
        self._settable = settable
        suffix = '_clock' if settable else ''
        self._graph_options = GraphOptions(
            robots=(robot,),
            log_directory=options.output / 'logs' / f'{robot}{suffix}',
            policy=options.policy,
            checkpoint=options.checkpoint,
            device=options.device,
            seed=options.seed,
            params_file=options.params_file,
            settable_clock=settable,
        )

    def rows(self, faults: Sequence[Fault], clean: bool) -> list[Row]:
        """Clean run, then every fault; what breaks the graph costs its own row only."""
        jobs: list[Fault | None] = [*([None] if clean else []), *faults]
        rows: list[Row] = []
        while jobs:
            moved = False
            try:
                with (
                    LiveGraph(self._graph_options) as graph,
                    closing(Trials(graph, self._options.seed)) as trials,
                ):
                    self._step('starting')
                    trials.wait_for_start()
                    moved = True
                    while jobs:
                        rows.append(self._do(jobs[0], trials, graph))
                        jobs.pop(0)
            except BenchError as error:
                lost = [jobs.pop(0)] if moved else jobs
                names = [CLEAN if job is None else job.name for job in lost]
                rows += [broken_row(self._robot, name, str(error)) for name in names]
                if not moved:
                    break
        return rows

    def _do(self, job: Fault | None, trials: Trials, graph: LiveGraph) -> Row:
        return self._clean(graph) if job is None else self._fault(trials, job)

    def _clean(self, graph: LiveGraph) -> Row:
        self._step(CLEAN)
        run = clean_run(graph, self._options.clean_s)
        return clean_row(self._robot, run, stalled(self._stalls.so_far(), run.begin, run.end))

    def _fault(self, trials: Trials, fault: Fault) -> Row:
        done: list[Trial] = []
        discarded = 0
        while len(done) < self._options.repeats:
            self._step(fault.name)
            trial = trials.run(fault)
            if self._spoilt(trial) and discarded < _MOST_DISCARDED:
                discarded += 1
            else:
                done.append(trial)
        limit_s = fault.limit_s(load_embodiment(self._robot))
        return fault_row(self._robot, fault.name, done, limit_s, discarded)

    def _spoilt(self, trial: Trial) -> bool:
        """Whether the machine stood still between fault and safety, or our own voice failed."""
        stall = stalled(self._stalls.so_far(), trial.began, trial.safe)
        return stall > _STALL_S or trial.own_gap > _OWN_GAP_S


@contextmanager
def _progress(console: Console, robot: str, steps: int) -> Iterator[Step]:
    columns = (TextColumn('{task.description}'), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(robot, total=steps)

        def step(what: str) -> None:
            bar.update(task, description=f'{robot}: {what}', advance=what != 'starting')

        yield step
