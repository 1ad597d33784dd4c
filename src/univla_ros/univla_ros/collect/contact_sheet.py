"""A look at what was collected: how some episodes begin, go on and end."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from univla_data.episode_reader import read_episode

matplotlib.use('Agg')

_ROWS, _COLUMNS = 8, 6


def write_contact_sheet(path: Path, episodes: Sequence[Path]) -> None:
    """Pictures of up to eight episodes, evenly spaced in time, read back from the disk.

    Raises:
        DataError: If an episode cannot be read.
    """
    count = min(_ROWS, len(episodes))
    chosen = [episodes[round(i * (len(episodes) - 1) / max(1, count - 1))] for i in range(count)]
    figure = Figure(figsize=(2.4 * _COLUMNS, 2.1 * count), dpi=80, layout='constrained')
    for row, folder in enumerate(chosen):
        episode = read_episode(folder)
        pictures = next(iter(episode.images.values()))
        for column in range(_COLUMNS):
            index = round(column * (len(episode) - 1) / (_COLUMNS - 1))
            axes = figure.add_subplot(count, _COLUMNS, row * _COLUMNS + column + 1)
            axes.set_axis_off()
            axes.imshow(pictures[index][::3, ::3])
            title = f'{episode.stamps[index] - episode.stamps[0]:.1f} s {episode.sources[index]}'
            if column == 0:
                title = '\n'.join(textwrap.wrap(f'{folder.name} "{episode.instruction}"', 30))
            axes.set_title(title, fontsize=7)
    figure.savefig(path)
