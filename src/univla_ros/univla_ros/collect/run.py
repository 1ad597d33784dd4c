"""`univla collect` as the user sees it: progress, table, contact sheet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.progress import TimeRemainingColumn
from rich.table import Table
from univla_data.episode_reader import find_episodes

from univla_ros.collect.contact_sheet import write_contact_sheet
from univla_ros.collect.demonstration import Report
from univla_ros.collect.options import CollectOptions
from univla_ros.collect.options import pairs_of
from univla_ros.collect.pool import Collection

_SHEET = 'contact_sheet.png'


def run_collect(options: CollectOptions) -> int:
    """Collect; the exit status is 0 when there are as many episodes as asked for.

    Raises:
        UnivlaError: If a name is unknown, the disk is full, or nearly all scenes fail.
    """
    console = Console()
    rows = []
    for robot, task in pairs_of(options):
        begin = time.monotonic()
        collection = _collected(console, robot, task, options)
        rows.append(_row(robot, task, collection, time.monotonic() - begin))
        write_contact_sheet(collection.folder / _SHEET, find_episodes(collection.folder))
    _show(console, rows)
    console.print(f'Episodes in [bold]{options.out}[/], a look at them in each {_SHEET}')
    return 0


def _collected(console: Console, robot: str, task: str, options: CollectOptions) -> Collection:
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task(f'{robot} {task}', total=options.episodes)

        def done(report: Report) -> None:
            failed = sum(not report.success for report in collection.reports)
            text = f'{robot} {task}' + (f', {failed} failed' if failed else '')
            bar.update(shown, advance=int(report.kept), description=text)
            if report.error:
                console.print(f'scene {report.seed}: {report.error}', style='red', markup=False)

        collection = Collection(robot, task, options, done)
        bar.update(shown, completed=min(collection.before, options.episodes))
        collection.run()
    return collection


def _row(robot: str, task: str, collection: Collection, wall_s: float) -> dict[str, Any]:
    reports = collection.reports
    kept = [report for report in reports if report.kept]
    size = sum(report.bytes for report in kept) / 2**20
    return {
        'robot': robot,
        'task': task,
        'new': len(kept),
        'before': collection.before,
        'tried': len(reports),
        'successes': sum(report.success for report in reports),
        'frames': sum(report.frames for report in kept),
        'megabytes': size,
        'simulated_s': sum(report.duration_s for report in reports),
        'wall_s': wall_s,
    }


def _show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    headings = 'robot task new there success frames frames/s MB time'
    for heading in headings.split():
        table.add_column(heading, no_wrap=True)
    for row in rows:
        rate = f'{row["successes"]}/{row["tried"]}' if row['tried'] else '-'
        table.add_row(
            row['robot'],
            row['task'],
            str(row['new']),
            str(row['before']),
            rate,
            str(row['frames']),
            f'{row["frames"] / row["wall_s"]:.1f}' if row['frames'] else '-',
            f'{row["megabytes"]:.1f}',
            f'{row["wall_s"]:.0f} s',
        )
    console.print(table)
