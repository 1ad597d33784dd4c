"""The picture and the video of one robot's run."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from univla_core.embodiment import Embodiment

from univla_ros.demo.observer import RobotObserver

matplotlib.use('Agg')


def write_video(path: Path, frames: Sequence[tuple[float, np.ndarray]]) -> bool:
    """H.264 video of stamped RGB pictures, each shown as long as it lasted; false without any."""
    if len(frames) < 2:
        return False
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=30, options={'preset': 'veryfast'})
        stream.height, stream.width = frames[0][1].shape[:2]
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 1000)
        last = -1
        for stamp, picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
            last = max(last + 1, round(1000 * (stamp - frames[0][0])))
            frame.pts, frame.time_base = last, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return True


def write_picture(path: Path, observer: RobotObserver, row: dict[str, Any]) -> None:
    """What the run looked like: four moments, the commands in their limits, the latencies."""
    figure = Figure(figsize=(13.0, 7.0), dpi=110, layout='constrained')
    grid = figure.add_gridspec(2, 4, height_ratios=[1.0, 1.35])
    moments = np.linspace(0, max(0, len(observer.frames) - 1), 4).astype(int)
    for column, index in enumerate(moments):
        axes = figure.add_subplot(grid[0, column])
        axes.set_axis_off()
        if observer.frames:
            stamp, picture = observer.frames[index]
            axes.imshow(picture)
            axes.set_title(f'{stamp - observer.frames[0][0]:.1f} s', fontsize=9)
    _draw_commands(figure.add_subplot(grid[1, :2]), observer, observer.embodiment)
    _draw_codes(figure.add_subplot(grid[1, 2]), observer)
    _draw_latency(figure.add_subplot(grid[1, 3]), observer)
    figure.suptitle(
        f'{row["robot"]}: "{row["instruction"]}"   {row["outcome"].get("text", "")}', fontsize=12
    )
    figure.savefig(path)


def _draw_commands(axes: Axes, observer: RobotObserver, embodiment: Embodiment) -> None:
    """Commands as shares of their limits: ±1 is the limit that the suite uses."""
    values = np.array(observer.commands.values)
    limits = embodiment.limits
    if len(values):
        times = np.array(observer.commands.times) - observer.commands.times[0]
        if embodiment.kind == 'arm':
            middle = 0.5 * (limits.lower + limits.upper)
            shares = (values - middle) / (0.5 * (limits.upper - limits.lower))
        else:
            shares = values / limits.velocity
        for index, name in enumerate(embodiment.axis_names):
            axes.plot(times, shares[:, index], label=name, linewidth=1.2)
        axes.legend(fontsize=7, ncol=4, loc='upper center')
    for limit in (-1.0, 1.0):
        axes.axhline(limit, color='crimson', linestyle='--', linewidth=1.0)
    axes.set(
        title='driver commands, as a share of the limits used',
        xlabel='time [s]',
        ylabel='share of limit',
        ylim=(-1.15, 1.4),
    )


def _draw_codes(axes: Axes, observer: RobotObserver) -> None:
    """Latent codes of every plan: one row per token."""
    if observer.plans:
        codes = np.array(observer.plans).T
        axes.imshow(codes, aspect='auto', cmap='tab20', vmin=0, vmax=15, interpolation='nearest')
        axes.set_yticks(range(codes.shape[0]))
    axes.set(title='latent codes (colour = code)', xlabel='plan', ylabel='token')


def _draw_latency(axes: Axes, observer: RobotObserver) -> None:
    latencies = 1000.0 * np.array(list(observer.chain_latencies.values()))
    if len(latencies):
        axes.hist(latencies, bins=24, color='steelblue')
        axes.axvline(float(np.median(latencies)), color='black', linewidth=1.0)
    axes.set(title='camera stamp to driver command', xlabel='latency [ms]', ylabel='chunks')
