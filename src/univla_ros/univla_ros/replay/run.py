"""`univla replay` as the user sees it: a bar, tables, pictures, JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_core.errors import UnivlaError
from univla_data.episode_reader import find_episodes

from univla_ros.episodes.progress import complain
from univla_ros.episodes.progress import progress
from univla_ros.replay.options import ReplayOptions
from univla_ros.replay.options import Weights
from univla_ros.replay.rows import MODES
from univla_ros.replay.rows import Row

__all__ = ['ReplayOptions', 'run_replay']

_PACKAGES = ('torch', 'transformers', 'mujoco', 'numpy')


def run_replay(paths: Sequence[Path], options: ReplayOptions) -> int:
    """Replay every episode; the exit status is 1 if some could not be replayed.

    Raises:
        UnivlaError: If there are no episodes, or weights, robot or options are of no use.
    """
    console = Console()
    replay = MODES[options.mode]
    sources = find_episodes(paths)
    if not sources:
        raise DataError(f'{", ".join(map(str, paths))}: holds no recorded episode')
    if options.robot:
        load_embodiment(options.robot)
    weights, rows = Weights(options), []
    problems: list[tuple[object, str]] = []
    with progress(console) as bar:
        task = bar.add_task(options.mode.replace('_', ' '), total=len(sources))
        for path in sources:
            try:
                rows.append(replay(path, options, weights))
            except UnivlaError as error:
                problems.append((path, str(error)))
            bar.update(task, advance=1)
    for row in rows:
        _show(console, row)
    complain(console, problems)
    ok = not problems and all(row['ok'] for row in rows)
    if options.json_path is not None:
        options.json_path.parent.mkdir(parents=True, exist_ok=True)
        options.json_path.write_text(json.dumps(_document(rows, problems, ok), indent=1) + '\n')
    return 0 if ok else 1


def _document(rows: list[Row], problems: list[tuple[object, str]], ok: bool) -> dict[str, Any]:
    failed = [{'episode': str(path), 'ok': False, 'error': text} for path, text in problems]
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return {
        'command': 'replay',
        'ok': ok,
        'results': [*rows, *failed],
        'versions': {'python': platform.python_version(), **versions},
    }


def _show(console: Console, row: Row) -> None:
    console.print(f'[bold]{row["episode"]}[/]  "{row["instruction"]}"', highlight=False)
    if row['mode'] == 'body':
        _show_body(console, row)
    else:
        _show_errors(console, row)
    seen = row['picture'] + (f' and {row["video"]}' if 'video' in row else '')
    console.print(f'{seen}\n', highlight=False, soft_wrap=True)


def _show_errors(console: Console, row: Row) -> None:
    first = {'open_loop': 'planned', 'redecode': 'decoded anew'}[row['mode']]
    _print_errors(
        console, f'{first} against executed, {row["robot"]} {row["action_space"]}', row['errors']
    )
    if row['mode'] == 'redecode':
        if 'against_recorded' in row:
            _print_errors(console, f'{first} against recorded chunks', row['against_recorded'])
            _print_errors(console, 'recorded chunks against executed', row['recorded_errors'])
        else:
            console.print(f'no comparison with recorded chunks: {row["not_compared"]}')
        return
    told = f'{row["frames"]} frames; chunks {row["chunks_sha256"][:16]}'
    told += f' from weights {row["weights_sha256"][:16]}'
    if row['recorded_plans']:
        told += f'; the codes of {row["same_codes"]} of {row["recorded_plans"]} recorded plans'
        if row['largest_difference'] is not None:
            told += f', chunks differ by {row["largest_difference"]:.2g} at most'
    if not row['trained']:
        told += f'; checkpoint {row["checkpoint"]} is UNTRAINED, its plans are not sensible'
    console.print(told, highlight=False, soft_wrap=True)
    for name, errors in row['mae_by_source'].items():
        if len(row['mae_by_source']) > 1:
            axes = [error['axis'] for error in row['errors']]
            each = ', '.join(f'{a} {e:.4f}' for a, e in zip(axes, errors, strict=True))
            told = f'{name} drove {row["sources"][name]} of them: mean {each}'
            console.print(told, highlight=False, soft_wrap=True)


def _print_errors(console: Console, title: str, errors: list[Row]) -> None:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), title=title)
    table.title_justify = 'left'
    for heading in ('axis', 'unit', 'mean', 'first row', 'rms', 'worst', 'standing still'):
        table.add_column(heading, no_wrap=True, justify='left' if heading == 'axis' else 'right')
    for error in errors:
        values = [error[name] for name in ('mae', 'first', 'rmse', 'worst', 'still')]
        table.add_row(error['axis'], error['unit'], *(f'{value:.4f}' for value in values))
    console.print(table)


def _show_body(console: Console, row: Row) -> None:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ('body', '', 'time', 'path', 'net x, y, z [m]', 'turned', 'closed'):
        table.add_column(heading, no_wrap=True)
    bodies = {'recorded': row['recorded_on'], 'replayed': row['robot']}
    for kind, robot in bodies.items():
        motion = row['motion'][kind]
        table.add_row(
            robot,
            kind,
            f'{motion["seconds"]:.1f} s',
            f'{motion["path_m"]:.2f} m',
            ' '.join(f'{value:+.2f}' for value in motion['net_m']),
            f'{motion["turned_rad"]:.2f} rad',
            f'{motion["closings"]}',
        )
    console.print(table)
    told = f'{row["chunks"]} chunks of {row["latent_actions"]} latent actions'
    if row['dropped']:
        told += f', dropped: {row["dropped"]}'
    if row['alignment'] is not None:
        told += f'; cosine between the ways {row["alignment"]:+.2f}'
    console.print(told, highlight=False, soft_wrap=True)
