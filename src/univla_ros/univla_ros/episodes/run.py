"""`univla episodes` as the user sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from univla_core.errors import DataError
from univla_core.errors import UnivlaError
from univla_data.episode_reader import find_episodes
from univla_data.episode_reader import read_episode
from univla_data.episode_tools import Motion
from univla_data.episode_tools import outliers
from univla_data.episode_tools import read_motion
from univla_data.episode_tools_files import drop
from univla_data.episode_tools_files import merge

from univla_ros.episodes import plots
from univla_ros.episodes.progress import complain
from univla_ros.episodes.progress import progress
from univla_ros.episodes.summary import groups_of
from univla_ros.episodes.summary import in_words
from univla_ros.episodes.summary import row_of
from univla_ros.episodes.summary import shares_in_words


def run_list(paths: Sequence[Path], failures: bool, json_path: Path | None) -> int:
    """One line an episode; the exit status is 1 if some cannot be read."""
    console = _console()
    motions, problems = _read(console, paths)
    odd = outliers(motions)
    rows = [row_of(motion, odd) for motion in motions]
    if failures:
        rows = [row for row in rows if not row['success']]
    table = _table('episode', 'robot', 'task', 'success', 's', 'MB', 'idle', 'driven by', 'odd')
    for row in rows:
        remarks = [*row['outlier'], *(['interrupted'] if row['interrupted'] else [])]
        table.add_row(
            row['path'],
            row['robot'],
            row['task'],
            in_words(row['success']),
            f'{row["seconds"]:.1f}',
            f'{row["megabytes"]:.1f}',
            f'{row["idle_share"]:.0%}',
            shares_in_words(row['sources']),
            '; '.join(remarks),
        )
    console.print(table)
    _write(json_path, rows)
    complain(console, problems)
    return 1 if problems else 0


def run_stats(paths: Sequence[Path], json_path: Path | None) -> int:
    """Figures of each robot and task; the exit status is 1 if some episodes cannot be read."""
    console = _console()
    motions, problems = _read(console, paths)
    odd = outliers(motions)
    groups = groups_of(motions, odd)
    table = _table(
        *('robot', 'task', 'episodes', 'success', 'min', 'median s', 'MB', 'idle', 'odd'),
        'driven by',
    )
    for group in groups:
        table.add_row(
            group['robot'],
            group['task'],
            str(group['episodes']),
            f'{group["successes"]}/{group["judged"]}',
            f'{group["seconds"] / 60:.1f}',
            f'{group["median_s"]} ({group["shortest_s"]}–{group["longest_s"]})',
            f'{group["megabytes"]:.0f}',
            f'{group["idle_share"]:.0%}',
            str(group['outliers']),
            shares_in_words(group['sources']),
        )
    console.print(table)
    for path, reasons in odd.items():
        console.print(f'odd: {path}: {"; ".join(reasons)}', soft_wrap=True, markup=False)
    problem_rows = [{'path': str(path), 'error': text} for path, text in problems]
    _write(json_path, {'groups': groups, 'problems': problem_rows})
    complain(console, problems)
    return 1 if problems else 0


def run_show(path: Path, out: Path) -> int:
    """Everything about one episode.

    Raises:
        DataError: If it is no single episode or cannot be read.
    """
    console = _console()
    if find_episodes(path) != [path]:
        raise DataError(f'{path}: is not one episode; `./univla episodes list {path}` shows them')
    motion, episode = read_motion(path), read_episode(path)
    known = motion.provenance
    facts = {
        **row_of(motion, {}),
        'instruction': episode.instruction,
        'frames': len(episode),
        'not fresh': dict(episode.metadata['faults']),
        'seed': known.seed,
        'driver': known.driver,
        'revision': known.git_revision,
        'hashes': dict(known.hashes),
        'details': dict(known.details),
    }
    del facts['outlier']
    for name, value in facts.items():
        console.print(f'{name:<12} {value}', soft_wrap=True, markup=False, highlight=False)
    table = _table('topic', 'messages', 'per second')
    for topic, count in sorted(motion.counts.items()):
        table.add_row(topic, str(count), f'{count / max(motion.seconds, 1e-9):.1f}')
    console.print(table)
    picture = plots.plot_episode(out / f'{path.name}.png', episode)
    console.print(f'Thumbnails in {picture}')
    return 0


def run_plot(paths: Sequence[Path], out: Path) -> int:
    """Pictures of many episodes; the exit status is 1 if some cannot be read."""
    console = _console()
    motions, problems = _read(console, paths)
    overview = plots.plot_overview(out / 'episodes.png', motions, outliers(motions))
    sheet = plots.plot_sheet(out / 'contact_sheet.png', [motion.path for motion in motions])
    console.print(f'{overview}, {sheet}', soft_wrap=True)
    complain(console, problems)
    return 1 if problems else 0


def run_drop(paths: Sequence[Path], trash: Path) -> int:
    """Move episodes into the trash."""
    console = _console()
    for before, after in drop(paths, trash):
        console.print(f'{before} is in {after}; back: mv {after} {before}', soft_wrap=True)
    return 0


def run_merge(paths: Sequence[Path], out: Path) -> int:
    """Copy episodes into one folder; the exit status is 1 if some cannot be read."""
    console = _console()
    report = merge(paths, out)
    complain(console, list(report.problems))
    console.print(f'{len(report.made)} copied to {out}, {len(report.there)} were there already')
    return 1 if report.problems else 0


def _read(
    console: Console, paths: Sequence[Path]
) -> tuple[list[Motion], list[tuple[object, str]]]:
    """What can be read, and what cannot.

    Raises:
        DataError: If nothing can be read.
    """
    found = find_episodes(paths)
    motions: list[Motion] = []
    problems: list[tuple[object, str]] = []
    with progress(console) as bar:
        for path in bar.track(found, description='reading'):
            try:
                motions.append(read_motion(path))
            except UnivlaError as error:
                problems.append((path, str(error)))
    if motions:
        return motions, problems
    complain(console, problems)
    listed = ', '.join(str(path) for path in paths)
    raise DataError(f'{listed}: holds no episode that can be read; see `./univla collect`')


def _console() -> Console:
    """A terminal as it is; what goes to a file or pipe is not folded to 80 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow='fold')
    return table


def _write(path: Path | None, value: Any) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + '\n')
