"""The matrix as a table, as markdown for the docs, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from univla_ros.bench.safety import ARM_LIMIT_S
from univla_ros.bench.safety import BASE_LIMIT_S
from univla_ros.bench.safety import CLEAN
from univla_ros.bench.verdict import Row

matplotlib.use('Agg')

_COLUMNS = (
    'fault',
    'reported as',
    'to safe [ms]',
    'worst [ms]',
    'limit [ms]',
    'limit use',
    'recovery [s]',
    'ok',
)
_MARKERS = {'widowx': 'o', 'franka': 's', 'airbot': '^', 'mobile_base': 'D'}


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print one table a robot, and what was wrong."""
    for robot in dict.fromkeys(row['robot'] for row in rows):
        own = [row for row in rows if row['robot'] == robot]
        table = Table(box=SIMPLE, title=robot, title_justify='left')
        for name in _COLUMNS:
            table.add_column(name, justify='left' if name in _COLUMNS[:2] else 'right')
        for row in own:
            ok = '[green]yes' if row['ok'] else '[red]NO'
            table.add_row(*cells(row)[:-1], ok)
        console.print(table)
        for problem in dict.fromkeys(problem for row in own for problem in row['problems']):
            names = ', '.join(row['name'] for row in own if problem in row['problems'])
            console.print(f'  [red]{names}: {problem}[/]', highlight=False)


def markdown(rows: Sequence[Row]) -> str:
    """The same for the docs: one line a fault, median and worst time of every robot."""
    robots = list(dict.fromkeys(row['robot'] for row in rows))
    names = list(dict.fromkeys(row['name'] for row in rows))
    lines = [
        '| fault | reported as | ' + ' | '.join(robots) + ' |',
        '| --- | --- |' + ' ---: |' * len(robots),
    ]
    for name in names:
        own = {row['robot']: row for row in rows if row['name'] == name}
        said = ', '.join(dict.fromkeys(r['detected'] for r in own.values() if r['detected']))
        figures = [_figure(own.get(robot)) for robot in robots]
        lines.append(f'| {name} | {said or "–"} | ' + ' | '.join(figures) + ' |')
    return '\n'.join(lines)


def _figure(row: Row | None) -> str:
    if row is None:
        return '–'
    mark = '' if row['ok'] else ' ✗'
    if row['name'] == CLEAN and 'false_stops' in row:
        return f'{100.0 * row["false_stops"]:.1f} % held{mark}'
    if row['time_to_safe_ms'] is None:
        return f'–{mark}'
    return f'{row["time_to_safe_ms"]:.0f} / {_number(row["time_to_safe_max_ms"], 0)}{mark}'


def cells(row: Row) -> tuple[str, ...]:
    """One row of the table, as text, in the order of its columns."""
    time = _number(row['time_to_safe_ms'], 0)
    if row['name'] == CLEAN and 'false_stops' in row:
        time = f'{100.0 * row["false_stops"]:.1f} % held'
    return (
        row['name'],
        row['detected'] or '–',
        time,
        _number(row['time_to_safe_max_ms'], 0),
        _number(row['limit_ms'], 0),
        '–' if row['limit_use'] is None else f'{100.0 * row["limit_use"]:.0f} %',
        _number(row['recovery_s'], 2),
        'yes' if row['ok'] else 'NO',
    )


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Time to safe as dots, one line a fault, with the limits of arms and bases."""
    shown = [row for row in rows if row['times_ms']]
    names = list(dict.fromkeys(row['name'] for row in shown))[::-1]
    figure = Figure(figsize=(9.0, 1.4 + 0.28 * max(4, len(names))), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    robots = list(dict.fromkeys(row['robot'] for row in shown))
    for index, robot in enumerate(robots):
        points = _points(shown, robot, names, 0.16 * (index - 0.5 * (len(robots) - 1)))
        axes.scatter(
            *points, label=robot, marker=_MARKERS.get(robot, 'o'), s=22, alpha=0.8, linewidths=0
        )
    for limit_s, words in ((ARM_LIMIT_S, 'arms'), (BASE_LIMIT_S, 'base, standstill')):
        axes.axvline(1000.0 * limit_s, color='crimson', linestyle='--', linewidth=1.0)
        axes.text(
            1000.0 * limit_s,
            1.005,
            words,
            transform=axes.get_xaxis_transform(),
            color='crimson',
            fontsize=8,
            ha='center',
        )
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(left=-10.0)
    axes.grid(axis='y', linewidth=0.3)
    axes.set_xlabel('time from fault to safe [ms]; faults that were never safe are not shown')
    if robots:
        axes.legend(fontsize=8, loc='lower right')
    figure.savefig(path)


def _points(
    rows: Sequence[Row], robot: str, names: Sequence[str], offset: float
) -> tuple[list[float], list[float]]:
    across: list[float] = []
    down: list[float] = []
    for row in rows:
        if row['robot'] != robot:
            continue
        times: list[Any] = [time for time in row['times_ms'] if time is not None]
        across += times
        down += [names.index(row['name']) + offset] * len(times)
    return across, down


def _number(value: float | None, digits: int) -> str:
    return '–' if value is None else f'{value:.{digits}f}'
