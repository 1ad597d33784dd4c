"""What `bench record` is judged by: losses, the control loop's jitter, and what it costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from univla_data.bag import Bag

Row = dict[str, Any]

#: The jitter beside a recorder may be so much larger, or so much longer [s], before it counts.
JITTER_RATIO, JITTER_S = 1.25, 0.0005
_MB = 2**20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured.

    Attributes:
        path: The recorded episode.
        details: What the recorder says about it.
        duration_s: Its length [s].
        period_s: Of the control loop [s].
        recording: Gaps between commands while it was recorded [s], (n,).
        baseline: The same without a recorder [s], (m,).
        cpu_s: Processor time of the recorder meanwhile [s].
        memory: Resident memory of the recorder at the end [bytes].
        stall_s: How long the machine itself stood still while it was recorded [s].
        load: Load average of the last minute, per core.
    """

    path: Path
    details: Mapping[str, Any]
    duration_s: float
    period_s: float
    recording: np.ndarray
    baseline: np.ndarray
    cpu_s: float
    memory: int
    stall_s: float
    load: float


def record_rows(measured: Measured, numbered: Sequence[str]) -> list[Row]:
    """The JSON rows.

    Args:
        measured: What was measured.
        numbered: Full names of the topics whose messages carry their number.
    """
    size = sum(file.stat().st_size for file in measured.path.iterdir())
    said = sum(facts['drops'] for facts in measured.details['topics'].values())
    holes = missing_numbers(measured.path, numbered)
    rows = [
        _row('lost messages, by their numbers', sum(holes.values()), '', not any(holes.values())),
        _row('lost messages, as the recorder says', said, '', said == 0),
        *_jitter(measured),
        _row('recorded', size / measured.duration_s / _MB, 'MB/s', True),
        _row('recorder, of one core', measured.cpu_s / measured.duration_s, '', True),
        _row('recorder, memory', measured.memory / _MB, 'MB', True),
        _row('duration', measured.duration_s, 's', True),
        _row('load of the machine, per core', measured.load, '', True),
        _row('machine stood still', measured.stall_s, 's', True),
    ]
    for name, facts in measured.details['topics'].items():
        if facts['expected_hz']:
            short = facts['rate_hz'] / facts['expected_hz']
            rows.append(
                _row(name, facts['rate_hz'], 'Hz', short > 0.95, facts['expected_hz'], short)
            )
    return rows


def missing_numbers(path: Path, names: Sequence[str]) -> dict[str, int]:
    """How many messages are missing between the first and the last of each topic."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    with Bag(path) as bag:
        for name, _, msg in bag.messages(names):
            numbered = msg.header.frame_id
            numbers[name].append(int(numbered) if numbered.isdigit() else msg.sequence)
    found = {}
    for name in names:
        heard = numbers[name]
        found[name] = heard[-1] - heard[0] + 1 - len(set(heard)) if heard else 1
    return found


def show_rows(console: Console, rows: Sequence[Row], path: Path) -> None:
    """Print the rows."""
    table = Table(box=SIMPLE, title=f'bench record, {path}')
    for heading in ('', 'value', 'unit', 'baseline', 'ratio', 'ok'):
        table.add_column(heading, justify='left' if heading in ('', 'unit') else 'right')
    for row in rows:
        numbers = [
            '' if row[k] is None else f'{row[k]:.4g}' for k in ('value', 'baseline', 'ratio')
        ]
        ok = 'yes' if row['ok'] else '[red]NO[/]'
        table.add_row(row['name'], numbers[0], row['unit'], numbers[1], numbers[2], ok)
    console.print(table)


def _jitter(measured: Measured) -> list[Row]:
    """Deviation of the gaps between commands from the period."""
    rows = []
    deviations = [
        1000.0 * np.abs(gaps - measured.period_s)
        for gaps in (measured.recording, measured.baseline)
    ]
    kinds = {
        'control jitter, median': lambda values: np.percentile(values, 50),
        'control jitter, 99th percentile': lambda values: np.percentile(values, 99),
    }
    for name, measure in kinds.items():
        value, baseline = (float(measure(values)) for values in deviations)
        ok = value <= max(JITTER_RATIO * baseline, baseline + 1000.0 * JITTER_S)
        rows.append(_row(name, value, 'ms', ok, baseline, value / baseline))
    value, baseline = (1000.0 * float(g.max()) for g in (measured.recording, measured.baseline))
    rows.append(_row('longest gap of the commands', value, 'ms', True, baseline, value / baseline))
    return rows


def _row(
    name: str,
    value: float,
    unit: str,
    ok: bool,
    baseline: float | None = None,
    ratio: float | None = None,
) -> Row:
    numbers = {'value': value, 'baseline': baseline, 'ratio': ratio}
    rounded = {k: None if v is None else round(float(v), 4) for k, v in numbers.items()}
    return {'name': name, 'unit': unit, 'ok': bool(ok), **rounded}
