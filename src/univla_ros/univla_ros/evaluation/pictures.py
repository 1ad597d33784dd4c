"""What an evaluation leaves to look at: rates with their intervals, and how failures ended."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from univla_ros.evaluation.cases import Case
from univla_ros.evaluation.episodes import EpisodeRecord

matplotlib.use('Agg')

_COLUMNS, _MOST_STILLS = 4, 24


def series_of(row: dict[str, Any]) -> str:
    """What a row's bar is coloured by: its policy, checkpoint and shift."""
    words = [row['policy']]
    words += [Path(row['checkpoint']).name] if row['checkpoint'] else []
    words += [f'shift {row["shift"]}'] if row['shift'] != 'none' else []
    return ', '.join(words)


def write_rates(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Bars of success rates with 95 % intervals, one group per robot and task."""
    groups = list(dict.fromkeys((row['robot'], row['task']) for row in rows))
    series = list(dict.fromkeys(series_of(row) for row in rows))
    width = 0.8 / len(series)
    size = (max(6.0, 2.0 + 0.5 * len(groups) * (len(series) + 0.5)), 4.5)
    figure = Figure(figsize=size, dpi=110, layout='constrained')
    axes = figure.add_subplot()
    for index, name in enumerate(series):
        own = [row for row in rows if series_of(row) == name]
        places = [groups.index((row['robot'], row['task'])) for row in own]
        left = np.array(places) + (index - 0.5 * (len(series) - 1)) * width
        rates = 100.0 * np.array([row['rate'] for row in own])
        ends = 100.0 * np.array([[row['ci_low'], row['ci_high']] for row in own]).T
        errors = np.abs(ends - rates).tolist()
        axes.bar(left, rates, width, yerr=errors, capsize=3.0, label=name)
    axes.set_xticks(range(len(groups)), [f'{robot}\n{task}' for robot, task in groups])
    most = max(row['episodes'] for row in rows)
    axes.set(ylim=(0.0, 105.0), ylabel='success [%]', title=f'{most} scenes a bar, 95 % intervals')
    axes.yaxis.grid(alpha=0.4)
    figure.legend(fontsize=8, loc='outside lower center', ncol=4)
    figure.savefig(path)


def write_failures(path: Path, failures: Sequence[tuple[Case, EpisodeRecord]]) -> bool:
    """The last pictures of failures, with what was asked for; false if there are none."""
    shown = failures[:_MOST_STILLS]
    if not shown:
        return False
    lines = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(3.4 * _COLUMNS, 3.1 * lines), dpi=90)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1.0 - 0.13 / lines, 0.02, 0.17)
    for index, (case, record) in enumerate(shown):
        axes = figure.add_subplot(lines, _COLUMNS, index + 1)
        axes.set_axis_off()
        axes.imshow(record.still)
        words = f'"{record.instruction}" {case.robot}, {case.policy}, seed {record.seed}'
        axes.set_title('\n'.join(textwrap.wrap(words, 46)), fontsize=8)
        axes.text(
            0.02,
            0.02,
            '\n'.join(textwrap.wrap(record.text, 52)),
            transform=axes.transAxes,
            fontsize=7,
            color='white',
            bbox={'facecolor': 'black', 'alpha': 0.6, 'pad': 2.0},
        )
    figure.savefig(path)
    return True
