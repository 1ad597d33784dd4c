"""What a soak is judged by: stops, exceptions, memory, and processes that ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from univla_ros.bench.memory import growth

if TYPE_CHECKING:
    from univla_ros.bench.soak import Record

matplotlib.use('Agg')

Row = dict[str, Any]

#: Memory may grow by this share from the second minute to the end.
GROWTH = 0.02
_WARM_S = 120.0
_EXCEPTION = 'Traceback (most recent call last)'


@dataclass(frozen=True)
class Stop:
    """What came of one injected fault.

    Attributes:
        passed: When, since the beginning [s].
        robot: Robot that it was injected into.
        fault: Name of the fault.
        time_to_safe: From fault to safety [s]; NaN if never, None if it could not be tried.
        problems: What was not as it must be.
    """

    passed: float
    robot: str
    fault: str
    time_to_safe: float | None
    problems: tuple[str, ...]


def soak_rows(record: Record, logs: Sequence[Path]) -> list[Row]:
    """The JSON rows of a soak; a row of memory for every process."""
    return [
        _stops_row(record),
        _exceptions_row(logs),
        {
            'name': 'processes',
            'value': len(record.ended),
            'unit': 'ended by themselves',
            'ok': not record.ended,
            'details': record.ended,
        },
        *(_memory_row(name, record.times, values) for name, values in record.memory.items()),
    ]


def warm(times: Sequence[float]) -> int:
    """First sample that counts: after two minutes, or a fifth of a shorter run."""
    begin = min(_WARM_S, 0.2 * times[-1]) if times else 0.0
    return int(np.searchsorted(times, begin))


def _stops_row(record: Record) -> Row:
    times = [stop.time_to_safe for stop in record.stops if stop.time_to_safe is not None]
    seen = [time for time in times if not math.isnan(time)]
    wrong = [stop for stop in record.stops if stop.problems]
    details = [f'{s.passed:.0f} s {s.robot} {s.fault}: {"; ".join(s.problems)}' for s in wrong]
    return {
        'name': 'stops',
        'value': len(wrong),
        'unit': f'missed or wrong of {len(record.stops)}',
        'ok': bool(record.stops) and not wrong,
        'missed': len(record.stops) - len(seen),
        'tasks': record.tasks,
        'median_ms': 1000.0 * float(np.median(seen)) if seen else None,
        'max_ms': 1000.0 * max(seen) if seen else None,
        'details': details,
    }


def _exceptions_row(logs: Sequence[Path]) -> Row:
    counts = {log.stem: log.read_text(errors='replace').count(_EXCEPTION) for log in logs}
    found = [f'{name}: {count}' for name, count in counts.items() if count]
    return {
        'name': 'exceptions',
        'value': sum(counts.values()),
        'unit': f'unhandled in {len(logs)} logs',
        'ok': bool(logs) and not found,
        'details': found,
    }


def _memory_row(name: str, times: Sequence[float], values: Sequence[float]) -> Row:
    begin = warm(times)
    grown = growth(times[begin : len(values)], values[begin:])
    return {
        'name': f'memory {name}',
        'value': round(100.0 * grown, 2),
        'unit': '% growth',
        'ok': grown < GROWTH,
        'start_mb': round(1e-6 * values[begin], 1),
        'end_mb': round(1e-6 * values[-1], 1),
        'details': [],
    }


def show_soak(console: Console, rows: Sequence[Row]) -> None:
    """Print the rows and what was wrong."""
    table = Table(box=SIMPLE)
    for name in ('what', 'value', '', 'ok'):
        table.add_column(name, justify='right' if name == 'value' else 'left')
    for row in rows:
        ok = '[green]yes' if row['ok'] else '[red]NO'
        table.add_row(row['name'], f'{row["value"]:g}', row['unit'], ok)
    console.print(table)
    for row in rows:
        for detail in row['details']:
            console.print(f'  [red]{row["name"]}: {detail}[/]', highlight=False)


def draw_memory(path: Path, record: Record) -> None:
    """Resident memory of every process, relative to when it was warm."""
    figure = Figure(figsize=(9.0, 5.0), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    begin = warm(record.times)
    for name, values in record.memory.items():
        if len(values) > begin:
            minutes = np.array(record.times[: len(values)]) / 60.0
            axes.plot(minutes, 100.0 * (np.array(values) / values[begin] - 1.0), label=name)
    axes.axhline(100.0 * GROWTH, color='crimson', linestyle='--', linewidth=1.0)
    for stop in record.stops:
        axes.axvline(stop.passed / 60.0, color='0.85', linewidth=0.6, zorder=0)
    axes.set(
        xlabel='time [min]; grey lines: injected faults',
        ylabel='resident memory, change since warm [%]',
    )
    axes.legend(fontsize=7, ncol=2)
    figure.savefig(path)
