"""Show how a policy uses its codes: table, picture and JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from univla_training.code_use import CodeUse
from univla_training.code_use import divergences
from univla_training.code_use import summary
from univla_training.training_state import write_atomically

#: Words for what two groups have in common.
_SAME = {'task': 'same task, other robot', 'robot': 'same robot, other task', 'nothing': 'neither'}


def document(uses: Sequence[CodeUse], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of an analysis; `facts` stand beside the results."""
    pairs = divergences(uses)
    return {
        'command': 'analyse codes',
        'ok': True,
        **facts,
        'results': [{**use.row(), 'shares': use.shares.round(6).tolist()} for use in uses],
        'divergences': pairs,
        'mean_divergence': summary(pairs),
        'versions': {
            'python': platform.python_version(),
            **{name: metadata.version(name) for name in ('torch', 'transformers', 'numpy')},
        },
    }


def show(console: Console, uses: Sequence[CodeUse]) -> None:
    """Print one line for each group, the divergences as a triangle, and their means."""
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ('', 'robot', 'task', 'plans', 'codes', 'bits', 'most frequent'):
        table.add_column(heading, no_wrap=heading != 'most frequent')
    for number, use in enumerate(uses, start=1):
        row = use.row()
        most = ', '.join(f'{code} {100.0 * share:.0f} %' for code, share in row['most'].items())
        counted = (row['plans'], row['codes'], f'{row["entropy_bits"]:.2f}')
        table.add_row(str(number), use.robot, use.task, *map(str, counted), most)
    console.print(table)
    if len(uses) < 2:
        return
    triangle = Table(title='Jensen-Shannon divergence [bit]', box=SIMPLE, pad_edge=False)
    triangle.add_column('')
    for number in range(1, len(uses)):
        triangle.add_column(str(number), no_wrap=True)
    grid = matrix(uses)
    for row, use in enumerate(uses[1:], start=1):
        cells = [f'{grid[row, column]:.2f}' for column in range(row)]
        triangle.add_row(f'{row + 1} {use.robot} {use.task}', *cells)
    console.print(triangle)
    for kind, mean in summary(divergences(uses)).items():
        console.print(f'{_SAME.get(kind, kind)}: {mean:.3f} bit on average', highlight=False)


def matrix(uses: Sequence[CodeUse]) -> np.ndarray:
    """Divergence of every pair [bit], symmetric, (groups, groups)."""
    grid = np.zeros((len(uses), len(uses)))
    for row, pair in zip(np.argwhere(np.triu(grid == 0, 1)), divergences(uses), strict=True):
        grid[tuple(row)] = grid[tuple(row[::-1])] = pair['divergence']
    return grid


def draw(uses: Sequence[CodeUse], path: Path, title: str) -> None:
    """Draw the use of the codes and the divergences into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [f'{use.robot} {use.task}' for use in uses]
    shares = np.stack([use.shares.mean(axis=0) for use in uses])  # (groups, codes)
    used = np.flatnonzero(shares.max(axis=0) > 0.0)
    used = used[np.argsort(-shares[:, used].sum(axis=0), kind='stable')][:64]
    figure = Figure(figsize=(14.0, 1.6 + 0.32 * len(uses)), layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, width_ratios=(2.0, 1.0))
    shown = left.imshow(shares[:, used], aspect='auto', cmap='viridis', vmin=0.0)
    left.set_title('share of the plans', fontsize=9)
    left.set_xlabel('code, most frequent first')
    left.set_xticks(range(len(used)), [str(code) for code in used], fontsize=6, rotation=90)
    left.set_yticks(range(len(names)), names, fontsize=8)
    figure.colorbar(shown, ax=left)
    grid = matrix(uses)
    image = right.imshow(grid, cmap='magma_r', vmin=0.0, vmax=1.0)
    right.set_title('Jensen-Shannon divergence [bit]', fontsize=9)
    right.set_xticks(range(len(names)), names, fontsize=7, rotation=90)
    right.set_yticks(range(len(names)), names, fontsize=7)
    for row, column in np.ndindex(grid.shape):
        color = 'white' if grid[row, column] > 0.5 else 'black'
        text = f'{grid[row, column]:.2f}'
        right.text(column, row, text, ha='center', va='center', fontsize=6, color=color)
    figure.colorbar(image, ax=right)
    write_atomically(path, lambda file: figure.savefig(file, dpi=110, format='png'))
