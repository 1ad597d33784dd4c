"""Draws how two chunks that disagree become one smooth motion; writes the PNG beside itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot
from univla_control.chunk_plan import ChunkPlan
from univla_control.command import Command
from univla_control.config import ControlConfig
from univla_control.controller import ChunkController
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment

_AXIS = 0
_BLUE, _COLORS = '#1f4e79', ('#7d8c99', '#d68910')
_UNITS = {'velocity': 'rad/s', 'acceleration': 'rad/s²'}
_FIELDS = {'velocity': 'velocities', 'acceleration': 'accelerations'}
_STAMPS, _DELAY = (0.1, 0.6), 0.12  # of the two observations, and until their chunks arrive [s]


def chunks(embodiment: Embodiment) -> list[ActionChunk]:
    """Two chunks of one joint; the second one changes its mind."""
    made = []
    for sequence, (stamp, size) in enumerate(zip(_STAMPS, (0.35, -0.2), strict=True), start=1):
        due = stamp + 0.1 * np.arange(1, 9)
        rows = np.tile(embodiment.home, (8, 1))
        rows[:, _AXIS] += 0.175 * (1.0 - np.cos(3.0 * np.clip(due - 0.1, 0.0, 1.05)))
        if sequence == 2:
            rows[:, _AXIS] += size * np.clip((due - 0.6) / 0.4, 0.0, 1.0)
        made.append(
            ActionChunk(
                robot=embodiment.name,
                action_space='joint_position',
                names=embodiment.axis_names,
                data=rows,
                step_duration_s=0.1,
                stamp=stamp,
                sequence=sequence,
            )
        )
    return made


def execute(
    embodiment: Embodiment, made: list[ActionChunk], seconds: float = 2.2
) -> list[Command]:
    """Commands of an ideal robot that is handed the chunks `_DELAY` after their stamps."""
    config = ControlConfig()
    controller = ChunkController(embodiment, config)
    controller.activate(0.0)
    joints, commands, waiting = embodiment.home, [], list(made)
    for tick in range(int(seconds * config.control_rate_hz)):
        time = tick / config.control_rate_hz
        controller.on_joint_state(time, joints)
        if waiting and time >= waiting[0].stamp + _DELAY:
            controller.on_chunk(waiting.pop(0), time)
        command = controller.step(time)
        if command is not None:
            joints = command.positions
            commands.append(command)
    return commands


def draw(out: Path) -> None:
    """Write the picture to `out` (.png)."""
    embodiment = load_embodiment('widowx')
    made = chunks(embodiment)
    commands = execute(embodiment, made)
    times = np.array([command.time for command in commands])
    figure, panels = pyplot.subplots(
        3, 1, figsize=(8.0, 6.2), sharex=True, height_ratios=(3.0, 1.2, 1.2)
    )
    for chunk, color in zip(made, _COLORS, strict=True):
        _draw_chunk(panels[0], embodiment, chunk, color)
    joint = [command.positions[_AXIS] for command in commands]
    panels[0].plot(times, joint, '.-', color=_BLUE, lw=1.2, ms=3, label='commands, 60 Hz')
    panels[0].set_ylabel('joint [rad]')
    panels[0].set_ylim(-0.06, 0.5)
    panels[0].legend(loc='upper right', fontsize=8, frameon=False)
    for axes, (name, unit) in zip(panels[1:], _UNITS.items(), strict=True):
        values = [getattr(command, _FIELDS[name]) for command in commands]
        axes.plot(times, np.array(values)[:, _AXIS], color=_BLUE, lw=1.4)
        limit = getattr(embodiment.limits, name)[_AXIS]
        for side in (-limit, limit):
            axes.axhline(side, color='#b03a2e', lw=1.0, ls='--')
        axes.set_ylabel(f'{name}\n[{unit}]')
    panels[2].set_xlabel('time [s]')
    figure.align_ylabels()
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    pyplot.close(figure)


def _draw_chunk(axes: Any, embodiment: Embodiment, chunk: ActionChunk, color: str) -> None:
    """Rows of a chunk, the curve through them, and when it arrived."""
    due = chunk.stamp + chunk.step_duration_s * np.arange(1, chunk.horizon + 1)
    arrival = chunk.stamp + _DELAY
    past, rows = due <= arrival, chunk.data[:, _AXIS]
    name = f'chunk {chunk.sequence}'
    axes.plot(due[~past], rows[~past], 'o', color=color, ms=5, label=f'rows of {name}')
    axes.plot(due[past], rows[past], 'x', color=color, label=f'{name}: already past, dropped')
    motion = ChunkPlan(chunk, embodiment, ControlConfig(), embodiment.home, arrival).motion
    assert motion is not None
    fine = np.arange(arrival, chunk.end, 0.005)
    still = np.zeros(embodiment.axis_count)
    curve = [motion.sample(float(time), still, still)[0][_AXIS] for time in fine]
    axes.plot(fine, curve, '--', color=color, lw=1.0, label=f'{name}, up-sampled')
    axes.axvline(arrival, color=color, lw=1.0, ls=':')
    axes.text(arrival + 0.01, 0.44, f'{name}\narrives', color=color, fontsize=8)


if __name__ == '__main__':
    matplotlib.use('Agg')
    draw(Path(__file__).with_suffix('.png'))
