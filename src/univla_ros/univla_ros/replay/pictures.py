"""What a replay leaves to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from univla_core.action_space import action_space
from univla_data.episode import Episode

from univla_ros.demo.report import write_video
from univla_ros.replay.comparison import unit_of
from univla_ros.replay.motion import Motion
from univla_ros.replay.other_body import BodyReplay

matplotlib.use('Agg')

_COLUMNS = 3
_MOMENTS = 5
_COLORS = {
    'teleop': 'tab:orange',
    'kick': 'tab:red',
    'detour': 'tab:brown',
    'random': 'tab:purple',
    'hold': 'tab:gray',
}


def write_chunks(
    path: Path,
    title: str,
    times: np.ndarray,
    step_s: float,
    space: str,
    names: Sequence[str],
    drawn: Sequence[tuple[str, str, np.ndarray]],
    sources: tuple[np.ndarray, np.ndarray] | None = None,
) -> Path:
    """One panel a dimension: every chunk as a short line from the time it was planned for.

    Args:
        path: The picture.
        title: Its heading.
        times: Stamps of the chunks [s], (n,).
        step_s: Time between two rows [s].
        space: Action space.
        names: One per dimension.
        drawn: Label, colour and chunks (n, horizon, dim), in the order of drawing.
        sources: Times [s] and names of who drove, for the background; None leaves it white.
    """
    rows = -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(15.0, 2.6 * rows + 0.6), dpi=80, layout='constrained')
    reference = drawn[0][2]
    for number, name in enumerate(names):
        axes = figure.add_subplot(rows, _COLUMNS, number + 1)
        if sources is not None:
            _shade(axes, *sources, legend=number == 0)
        for label, color, chunks in drawn:
            values = _near(chunks, reference, space)[..., number]
            _draw_chunks(axes, times, step_s, values, color, label)
        unit = unit_of(space, number, name)
        axes.set_title(f'{name} [{unit}]' if unit else name, fontsize=9)
        axes.autoscale_view()
        axes.margins(x=0.01)
        if number == 0:
            axes.legend(fontsize=7)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def write_bodies(
    path: Path,
    title: str,
    names: tuple[str, str],
    recorded: Sequence[tuple[float, np.ndarray]],
    replayed: BodyReplay,
    motions: tuple[Motion, Motion],
) -> Path:
    """Moments of both bodies above each other, and how they moved."""
    figure = Figure(figsize=(15.0, 8.5), dpi=80, layout='constrained')
    grid = figure.add_gridspec(3, _MOMENTS, height_ratios=[1.0, 1.0, 1.1])
    end = min(replayed.pictures[-1][0], recorded[-1][0])
    for column, moment in enumerate(np.linspace(0.0, end, _MOMENTS)):
        for row, (name, frames) in enumerate(
            zip(names, (recorded, replayed.pictures), strict=True)
        ):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            axes.imshow(frame_at(frames, float(moment)))
            axes.set_title(f'{name} {moment:.1f} s', fontsize=9)
    for number, axis in enumerate('xyz'):
        axes = figure.add_subplot(grid[2, number])
        for name, motion in zip(names, motions, strict=True):
            axes.plot(
                motion.times, motion.places[:, number] - motion.places[0, number], label=name
            )
        axes.set(title=f'{axis}, from where it began [m]', xlabel='time [s]')
        axes.legend(fontsize=8)
    axes = figure.add_subplot(grid[2, 3:])
    for name, motion in zip(names, motions, strict=True):
        axes.plot(motion.times, motion.openings, label=name)
    axes.set(title='gripper opening', xlabel='time [s]', ylim=(-0.05, 1.05))
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def write_side_by_side(
    path: Path, recorded: Sequence[tuple[float, np.ndarray]], replayed: BodyReplay
) -> bool:
    """Video: the recorded pictures on the left, the other body on the right."""
    frames = [
        (time, _beside(frame_at(recorded, time), picture)) for time, picture in replayed.pictures
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, frames)


def recorded_frames(episode: Episode, begin: float) -> list[tuple[float, np.ndarray]]:
    """Pictures of the first camera at half size, with their times from `begin` [s] on."""
    pictures = next(iter(episode.images.values()))
    return [
        (float(stamp - begin), picture[::2, ::2])
        for stamp, picture in zip(episode.stamps, pictures, strict=True)
    ]


def frame_at(frames: Sequence[tuple[float, np.ndarray]], time: float) -> np.ndarray:
    """The newest picture at a time [s], the first one before."""
    before = [picture for stamp, picture in frames if stamp <= time + 1e-6]
    return before[-1] if before else frames[0][1]


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures in one, of even size; the lower one is filled up with black."""
    height = max(len(left), len(right)) // 2 * 2
    parts = [
        np.pad(part[:height], ((0, height - min(len(part), height)), (0, 0), (0, 0)))
        for part in (left, right)
    ]
    both = np.hstack(parts)
    return both[:, : both.shape[1] // 2 * 2]


def _draw_chunks(
    axes: Axes, times: np.ndarray, step_s: float, values: np.ndarray, color: str, label: str
) -> None:
    """Values (n, horizon), row i due `i + 1` steps after its stamp."""
    due = times[:, None] + step_s * np.arange(1, values.shape[1] + 1)
    lines = np.stack([due, values], axis=-1)
    axes.add_collection(LineCollection(list(lines), colors=color, linewidths=1.0, label=label))


def _near(chunks: np.ndarray, reference: np.ndarray, space: str) -> np.ndarray:
    """The same rotations in vectors near those of a reference: v and v less a whole turn mean one.

    A hand that points down has a turn near π, where the vector changes its sign at the least
    motion.
    """
    if not action_space(space).cartesian:
        return chunks
    near = chunks.copy()
    for place in np.ndindex(near.shape[:2]):
        # All of a picture lie near its first one, or the lines would jump between each other.
        wanted, vector = reference[0, 0, 3:6], near[place][3:6]
        angle = float(np.linalg.norm(vector))
        if angle > 1e-9:
            other = vector * (1.0 - 2.0 * np.pi / angle)
            if np.linalg.norm(other - wanted) < np.linalg.norm(vector - wanted):
                near[place][3:6] = other
    return near


def _shade(axes: Axes, times: np.ndarray, sources: np.ndarray, *, legend: bool) -> None:
    ends = np.append(times[1:], times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0.2))
    for name, color in _COLORS.items():
        for number in np.flatnonzero(sources == name):
            axes.axvspan(times[number], ends[number], color=color, alpha=0.12, linewidth=0)
        if legend and (sources == name).any():
            axes.axvspan(times[0], times[0], color=color, alpha=0.3, label=f'{name} drove')
