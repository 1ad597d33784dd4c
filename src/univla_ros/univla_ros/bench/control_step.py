"""`univla bench control`: how long one tick of the chunk controller takes, limits and all."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table
from univla_control.controller import ChunkController
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.poses import vector_from_rotation

from univla_ros.nodes.controller_node import ControllerConfig
from univla_ros.nodes.controller_node import collision_model

Row = dict[str, Any]

#: Share of a control period that a tick may take, at its 99th percentile.
SHARE = 0.25
#: A chunk every 0.2 s that sways by so much, back and forth [m, rad, m/s].
_SWAY = 0.02
_HORIZON, _STEP_S = 4, 0.2


@dataclass(frozen=True, kw_only=True)
class ControlOptions:
    """What the command line asks for."""

    robot: str = 'all'
    seconds: float = 10.0
    json_path: Path | None = None


def run_control(options: ControlOptions) -> int:
    """Measure and show; 0 if every tick stays within its share of the period."""
    names = ('widowx', 'franka', 'airbot', 'mobile_base')
    wish = names if options.robot == 'all' else [n.strip() for n in options.robot.split(',')]
    bodies = [load_embodiment(name) for name in wish]
    cases = [(body, space) for body in bodies for space in body.action_spaces]
    rows = [
        control_row(body, space, options.seconds)
        for body, space in track(cases, 'ticking', transient=True)
    ]
    _show(Console(), rows)
    ok = all(row['ok'] for row in rows)
    if options.json_path is not None:
        document = {'command': 'bench control', 'ok': ok, 'results': rows}
        document['versions'] = {name: metadata.version(name) for name in ('numpy', 'ruckig')}
        options.json_path.parent.mkdir(parents=True, exist_ok=True)
        options.json_path.write_text(json.dumps(document, indent=1))
    return 0 if ok else 1


def control_row(body: Embodiment, space: str, seconds: float) -> Row:
    """Ticks of a controller that executes chunks in an action space, in made-up time.

    Args:
        body: The robot.
        space: One that it takes.
        seconds: Length of the motion [s].
    """
    config = ControllerConfig(
        robot=body.name, control_rate_hz=body.control_rate_hz, heartbeat_timeout_s=0.0
    )
    controller = ChunkController(body, config, collision_model(body))
    controller.activate(0.0)
    joints = body.postures['ready'] if body.kind == 'arm' else body.home
    opening = 1.0 if body.gripper else None
    every = round(_STEP_S * body.control_rate_hz)
    moved = 0.0
    took = np.zeros(round(seconds * body.control_rate_hz))
    for tick in range(len(took)):
        now = 10.0 + tick / body.control_rate_hz
        controller.on_joint_state(now, joints, opening)
        if tick % every == 0:
            refused = controller.on_chunk(_chunk(body, space, joints, tick // every, now), now)
            assert refused is None, refused
        begin = time.perf_counter()
        command = controller.step(now)
        took[tick] = time.perf_counter() - begin
        assert command is not None
        if command.twist is None:
            moved += float(np.abs(command.positions - joints).sum())
            joints = command.positions
        else:
            moved += float(np.abs(command.twist).sum())
    period_s = 1.0 / body.control_rate_hz
    p99 = float(np.quantile(took, 0.99))
    return {
        'robot': body.name,
        'action_space': space,
        'ticks': len(took),
        'moved': moved,
        'median_ms': 1e3 * float(np.median(took)),
        'p99_ms': 1e3 * p99,
        'share_of_period': p99 / period_s,
        'ok': moved > 0.0 and p99 <= SHARE * period_s,
    }


def _chunk(
    body: Embodiment, space: str, joints: np.ndarray, number: int, now: float
) -> ActionChunk:
    names = body.action_names(space)
    count = len(names) - bool(body.gripper)
    rows = np.zeros((_HORIZON, len(names)))
    rows[:, :count] = _SWAY * (-1) ** number / _HORIZON
    if space == 'joint_position':
        rows[:, :count] = joints + np.cumsum(rows[:, :count], axis=0)
    elif space == 'eef_pose':
        assert body.chain is not None
        place = body.chain.forward(joints)
        rows[:, :3] = place[:3, 3] + np.cumsum(rows[:, :3], axis=0)
        rows[:, 3:6] = vector_from_rotation(place[:3, :3])
    if body.gripper:
        rows[:, -1] = number % 2
    return ActionChunk(
        robot=body.name,
        action_space=space,
        names=names,
        data=rows,
        step_duration_s=_STEP_S,
        stamp=now,
        sequence=number + 1,
    )


def _show(console: Console, rows: list[Row]) -> None:
    table = Table(box=SIMPLE, title='one tick of the chunk controller')
    for heading in ('robot', 'action space', 'median', '99 %', 'of the period'):
        table.add_column(heading, justify='left' if heading[0] in 'ra' else 'right')
    for row in rows:
        share = f'{100.0 * row["share_of_period"]:.1f} %'
        figures = (f'{row["median_ms"]:.2f} ms', f'{row["p99_ms"]:.2f} ms')
        mark = share if row['ok'] else f'[red]{share}[/]'
        table.add_row(row['robot'], row['action_space'], *figures, mark)
    console.print(table)
