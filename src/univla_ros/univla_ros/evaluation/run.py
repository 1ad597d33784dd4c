"""`univla eval` as the user sees it: progress, table, files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
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

from univla_ros.evaluation.cases import Case
from univla_ros.evaluation.cases import EvalOptions
from univla_ros.evaluation.cases import cases_of
from univla_ros.evaluation.cases import seeds_of
from univla_ros.evaluation.episodes import EpisodeRecord
from univla_ros.evaluation.pictures import series_of
from univla_ros.evaluation.pictures import write_failures
from univla_ros.evaluation.pictures import write_rates
from univla_ros.evaluation.pool import Result
from univla_ros.evaluation.pool import run_jobs
from univla_ros.evaluation.rows import document_of
from univla_ros.evaluation.rows import row_of


def run_eval(options: EvalOptions) -> int:
    """Evaluate; the exit status is 0 when every episode could be run.

    Raises:
        UnivlaError: If a name, checkpoint or decoder asked for is not there.
    """
    console = Console()
    begin = time.monotonic()
    seeds, cases = seeds_of(options), cases_of(options)
    rows: list[dict[str, Any]] = []

    def complete(case: Case, found: Sequence[EpisodeRecord]) -> None:
        rows.append(row_of(case, found))
        _save(options, rows)  # what was measured survives whatever ends this run early

    records = _run(console, cases, seeds, options.workers, complete)
    rows = [row_of(case, found) for case, found in zip(cases, records, strict=True)]
    _show(console, rows)
    _write(options, cases, records, rows)
    console.print(f'{time.monotonic() - begin:.0f} s; pictures in [bold]{options.output}[/]')
    return 0 if all(row['ok'] for row in rows) else 1


def _run(
    console: Console,
    cases: Sequence[Case],
    seeds: range,
    workers: int,
    complete: Callable[[Case, Sequence[EpisodeRecord]], None],
) -> list[list[EpisodeRecord]]:
    """Records of each case, by seed; `complete` hears of each case when it is."""
    records: list[list[EpisodeRecord]] = [[] for _ in cases]
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task('episodes', total=len(cases) * len(seeds))

        def done(result: Result) -> None:
            number, found = result
            records[number] += found
            case, own = cases[number], records[number]
            share = sum(record.success for record in own)
            text = f'{case.robot} {case.task} {case.policy}: {share} of {len(own)}'
            bar.update(task, advance=len(found), description=text)
            if len(own) == len(seeds):
                own.sort(key=lambda record: record.seed)
                complete(case, own)

        run_jobs(cases, seeds, workers, done)
    return records


def _show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    wrong = any(row['instruction'] == 'wrong' for row in rows)
    headings = ['robot', 'task', 'policy', 'success', '95 %', 'done', 'time', 'decision']
    headings += ['original'] if wrong else []
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        cells = [
            row['robot'],
            row['task'],
            series_of(row),
            f'{100 * row["rate"]:.0f} %',
            f'{100 * row["ci_low"]:.0f} to {100 * row["ci_high"]:.0f}',
            f'{row["successes"]}/{row["episodes"]}',
            f'{row["mean_duration_s"]:.1f} s',
            f'{row["decision_ms"]:.1f} ms',
        ]
        if wrong:
            cells.append(f'{row["original_successes"]}/{row["episodes"]}')
        table.add_row(*cells, style='' if row['ok'] else 'red')
    console.print(table)
    for row in rows:
        for problem in row.get('problems', ()):
            text = f'{row["robot"]} {row["task"]} {row["policy"]}, {row["errors"]} episodes could '
            console.print(f'{text}not be run: {problem}', style='red', highlight=False)


def _write(
    options: EvalOptions,
    cases: Sequence[Case],
    records: Sequence[Sequence[EpisodeRecord]],
    rows: Sequence[dict[str, Any]],
) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    write_rates(options.output / 'rates.png', rows)
    failures = [
        (case, record)
        for case, found in zip(cases, records, strict=True)
        for record in found
        if record.still is not None
    ]
    sheet = options.output / 'failures.png'
    if not write_failures(sheet, failures):
        sheet.unlink(missing_ok=True)  # of an earlier run
    _save(options, rows)


def _save(options: EvalOptions, rows: Sequence[dict[str, Any]]) -> None:
    text = json.dumps(document_of(rows), indent=1)
    for path in (options.output / 'results.json', options.json_path):
        if path is not None:
            _write_text(path, text)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
