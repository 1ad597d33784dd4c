"""The demo as the user sees it: progress, table, files."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.table import Table
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_sim.tasks import instruction_for

from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.checkpoints import first_posture
from univla_ros.checkpoints import is_trained
from univla_ros.checkpoints import own_checkpoint
from univla_ros.demo.report import write_picture
from univla_ros.demo.report import write_video
from univla_ros.demo.scenario import Scenario
from univla_ros.demo.scenario import play
from univla_ros.demo.summary import summarize

#: Order in which `--robot all` shows them.
ALL = ('widowx', 'franka', 'airbot', 'mobile_base')


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the command line asks for."""

    robot: str = 'widowx'
    policy: str = 'univla'
    checkpoint: str = 'auto'
    decoder: str = ''
    device: str = 'auto'
    instruction: str = ''
    episodes: int = 1
    duration_s: float = 12.0
    seed: int = 0
    output: Path = Path('out/demo')
    json_path: Path | None = None


def run_demo(options: DemoOptions) -> int:
    """Run the demo; the exit status is 0 when every robot's loop did its duty."""
    console = Console()
    begin = time.monotonic()
    name = own_checkpoint(options.checkpoint, options.policy)
    options = dataclasses.replace(options, checkpoint=name)
    trained = is_trained(ensure_checkpoint(options.checkpoint))
    if not trained:
        console.print(
            f'[yellow]Checkpoint {options.checkpoint!r} is untrained:[/] everything below is real '
            '(ROS 2, physics, policy, control), but the plans are not sensible yet.'
        )
    options.output.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for robots, seed in _runs(options):
        rows += _one_run(console, options, robots, seed, trained)
    _show(console, rows)
    console.print(
        f'{time.monotonic() - begin:.0f} s; pictures and videos in [bold]{options.output}[/]'
    )
    if options.json_path is not None:
        options.json_path.parent.mkdir(parents=True, exist_ok=True)
        options.json_path.write_text(json.dumps(_document(rows), indent=1))
    return 0 if all(row['ok'] for row in rows) else 1


def first_instruction(kind: str) -> str:
    """What an arm or a base is told where nobody says otherwise: its first task."""
    return instruction_for('drive' if kind == 'base' else 'reach', 'red')


def _runs(options: DemoOptions) -> list[tuple[tuple[str, ...], int]]:
    """Which robots run together, and the seed of each run."""
    if options.robot == 'all':
        groups: list[tuple[str, ...]] = [(name,) for name in ALL] + [_together()]
    else:
        groups = [tuple(name.strip() for name in options.robot.split(','))]
    if options.decoder and len(groups[0]) + len(groups) > 2:
        raise ConfigError(
            f'--decoder {options.decoder} is of one robot, and --robot {options.robot} are '
            'several; name the one that it moves'
        )
    for name in {name for group in groups for name in group}:
        load_embodiment(name)
    if options.episodes < 1:
        raise ConfigError('--episodes must be at least 1')
    return [(group, options.seed + e) for e in range(options.episodes) for group in groups]


def _together() -> tuple[str, ...]:
    """Robots that run together: as many as there are cores, since each fills about one."""
    return ALL[: max(2, os.cpu_count() or 1)]


def _one_run(
    console: Console, options: DemoOptions, robots: tuple[str, ...], seed: int, trained: bool
) -> list[dict[str, Any]]:
    leader = load_embodiment(robots[0])
    scenario = Scenario(
        robots=robots,
        instruction=options.instruction or first_instruction(leader.kind),
        policy=options.policy,
        checkpoint=options.checkpoint,
        decoder=options.decoder,
        device=options.device,
        duration_s=options.duration_s,
        seed=seed,
        log_directory=options.output / 'logs' / '+'.join(robots),
        posture=first_posture(options.checkpoint),
    )
    columns = (TextColumn('{task.description}'), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(scenario.name, total=1.0)
        observers = play(
            scenario,
            lambda what, share: bar.update(
                task, description=f'{scenario.name}: {what}', completed=share
            ),
        )
        bar.update(task, description=f'{scenario.name}: writing picture and video')
        rows = []
        for name, observer in observers.items():
            stem = name if len(robots) == 1 else f'together_{name}'
            stem += f'_{seed - options.seed}' if options.episodes > 1 else ''
            row = summarize(
                observer,
                {
                    'policy': options.policy,
                    'instruction': scenario.instruction,
                    'checkpoint': options.checkpoint,
                    'trained': trained,
                    'together': list(robots) if len(robots) > 1 else [],
                    'seed': seed,
                },
            )
            row['picture'] = str(options.output / f'{stem}.png')
            row['video'] = str(options.output / f'{stem}.mp4')
            write_picture(Path(row['picture']), observer, row)
            if not write_video(Path(row['video']), observer.frames):
                row['video'] = ''
                row['problems'].append('no pictures came from the monitor')
                row['ok'] = False
            rows.append(row)
    return rows


def _show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """One line of figures per robot, then what came of each."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ('robot', 'plans', 'chain (p99)', 'control', 'gap', 'limits', 'loop'):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        latency, limits = row['chain_latency_ms'], row['limits']
        shares = (
            [limits[key] for key in ('position', 'velocity', 'acceleration')] if limits else []
        )
        table.add_row(
            _label(row),
            f'{row["plans"]} at {row["plan_rate_hz"]:.1f} Hz',
            f'{latency["median"]:.0f} ({latency["p99"]:.0f}) ms' if latency else '-',
            f'{row.get("control_rate_hz", 0):.1f} Hz',
            f'{row.get("largest_gap_periods", 0):.2f} T',
            f'{100 * max(shares):.0f} %' if shares else '-',
            '[green]ok[/]' if row['ok'] else '[red]failed[/]',
        )
    console.print(table)
    for row in rows:
        codes = ' '.join(str(code) for code in row['codes'][0]) if row['codes'] else 'none'
        console.print(
            f'{_label(row)}: "{row["instruction"]}" - {row["outcome"].get("text", "not judged")} '
            f'(most frequent codes {codes}, {row["distinct_plans"]} different plans)',
            highlight=False,
        )
        for problem in row['problems']:
            console.print(f'  [red]{problem}[/]', highlight=False)


def _label(row: dict[str, Any]) -> str:
    return f'{row["robot"]}{" shared" if row["together"] else ""}'


def _document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    packages = ('torch', 'transformers', 'mujoco', 'ruckig', 'numpy')
    versions = {name: metadata.version(name) for name in packages}
    return {
        'command': 'demo',
        'ok': all(row['ok'] for row in rows),
        'results': rows,
        'versions': {'python': platform.python_version(), **versions},
    }
