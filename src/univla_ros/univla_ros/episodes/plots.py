"""Pictures of recorded episodes."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from univla_core.embodiment import load_embodiment
from univla_data.episode import Episode
from univla_data.episode_tools import Motion

from univla_ros.collect.contact_sheet import write_contact_sheet

matplotlib.use('Agg')

_THUMBNAILS = 8
_COLORS = {
    'expert': 'tab:green',
    'teleop': 'tab:orange',
    'policy': 'tab:blue',
    'kick': 'tab:red',
    'detour': 'tab:brown',
    'random': 'tab:purple',
    'hold': 'tab:gray',
}


def plot_sheet(path: Path, episodes: Sequence[Path]) -> Path:
    """Thumbnails of up to eight episodes.

    Raises:
        DataError: If an episode cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(path, episodes)
    return path


def plot_episode(path: Path, episode: Episode) -> Path:
    """One episode: thumbnails of each camera, commanded and measured axes, and who drove."""
    cameras = list(episode.images)
    rows = len(cameras) + 2
    figure = Figure(figsize=(14.0, 2.0 * rows + 2.0), dpi=80, layout='constrained')
    grid = figure.add_gridspec(rows, _THUMBNAILS, height_ratios=[1.0] * len(cameras) + [2.0, 0.6])
    times = episode.stamps - episode.stamps[0]
    for row, camera in enumerate(cameras):
        for column in range(_THUMBNAILS):
            index = round(column * (len(episode) - 1) / (_THUMBNAILS - 1))
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            axes.imshow(episode.images[camera][index][::2, ::2])
            axes.set_title(f'{camera} {times[index]:.1f} s', fontsize=7)
    lines = figure.add_subplot(grid[-2, :])
    names = load_embodiment(episode.robot).axis_names
    for axis, name in enumerate(names):
        (drawn,) = lines.plot(times, episode.commands[:, axis], label=name, linewidth=1.2)
        lines.plot(times, episode.positions[:, axis], ':', color=drawn.get_color(), linewidth=1.0)
    if np.isfinite(episode.command_opening).any():
        lines.step(times, episode.command_opening, 'k', where='post', label='opening')
    lines.set_title(f'{episode.robot} "{episode.instruction}": commanded (dotted: measured)')
    lines.legend(fontsize=7, ncols=4)
    lines.margins(x=0.0)
    _draw_sources(figure.add_subplot(grid[-1, :], sharex=lines), episode, times)
    return _saved(figure, path)


def plot_overview(
    path: Path, motions: Sequence[Motion], odd: Mapping[Path, Sequence[str]]
) -> Path:
    """Many episodes: lengths, idle frames and speeds by task, who drove; outliers crossed."""
    groups = sorted({(m.provenance.robot, m.provenance.task) for m in motions})
    figure = Figure(figsize=(14.0, 8.0), dpi=80, layout='constrained')
    panels = figure.subplots(2, 2)
    measures = (
        ('seconds', 'length [s]'),
        ('idle_share', 'share of idle frames'),
        ('speed', 'largest commanded speed [rad/s], base [m/s, rad/s]'),
    )
    labels = [' '.join(group) for group in groups]
    for axes, (measure, title) in zip(panels.flat, measures, strict=False):
        for place, group in enumerate(groups):
            mine = [m for m in motions if (m.provenance.robot, m.provenance.task) == group]
            spread = np.linspace(-0.25, 0.25, len(mine)) + place
            for strange, mark in ((False, '.'), (True, 'rx')):
                chosen = [i for i, m in enumerate(mine) if (m.path in odd) == strange]
                values = [getattr(mine[i], measure) for i in chosen]
                axes.plot(spread[chosen], values, mark, alpha=0.6)
        axes.set_xticks(range(len(groups)), labels, rotation=20, fontsize=8)
        axes.set_title(title)
        axes.set_ylim(bottom=0.0)
    _draw_shares(panels[1, 1], motions, groups, labels)
    figure.suptitle(f'{len(motions)} episodes, {len(odd)} stand out (x)')
    return _saved(figure, path)


def _draw_sources(axes: Axes, episode: Episode, times: np.ndarray) -> None:
    names = list(dict.fromkeys(episode.sources.tolist()))
    for name in names:
        begins = [
            (time, episode.period_s)
            for time, source in zip(times.tolist(), episode.sources, strict=True)
            if source == name
        ]
        axes.broken_barh(begins, (0.0, 1.0), color=_COLORS.get(name, 'k'), label=name)
    axes.set_yticks([])
    axes.set_xlabel('time [s]')
    axes.legend(fontsize=7, ncols=len(names), loc='upper right')


def _draw_shares(
    axes: Axes,
    motions: Sequence[Motion],
    groups: Sequence[tuple[str, str]],
    labels: Sequence[str],
) -> None:
    left = np.zeros(len(groups))
    everything = [
        np.concatenate(
            [m.sources for m in motions if (m.provenance.robot, m.provenance.task) == group]
        )
        for group in groups
    ]
    for name in sorted({source for sources in everything for source in sources.tolist()}):
        share = np.array([(sources == name).mean() for sources in everything])
        axes.barh(labels, share, left=left, color=_COLORS.get(name, 'k'), label=name)
        left += share
    axes.set_title('who drove')
    axes.legend(fontsize=8)


def _saved(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
