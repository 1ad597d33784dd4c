"""`univla bench policy`: how long a plan and its chunk take, beside ordinary ways to generate."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.robot_state import RobotState
from univla_core.robot_state import proprioception
from univla_models.ordinary_generation import ordinary_ways
from univla_models.policy import load_policy

from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.checkpoints import own_checkpoint
from univla_ros.policy_parameters import policy_parameters
from univla_ros.robot_decoders import decoder_path
from univla_ros.robot_decoders import load_decoder

Row = dict[str, Any]
Way = Callable[[], np.ndarray]

#: What the policy is asked; any words will do.
INSTRUCTION = 'pick up the red cube'
#: Calls that are not timed: memory is asked for and kernels are chosen.
_WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class PlanningOptions:
    """What the command line asks for."""

    policy: str = 'univla'
    checkpoint: str = 'auto'
    robot: str = 'widowx'
    device: str = 'auto'
    dtype: str = 'auto'
    threads: int = 1
    repeats: int = 50
    json_path: Path | None = None


def run_planning(options: PlanningOptions) -> int:
    """Measure and show; 0 if all ways plan the same codes, within the policy's latency budget."""
    torch.set_num_threads(options.threads)
    checkpoint = own_checkpoint(options.checkpoint, options.policy)
    folder = ensure_checkpoint(checkpoint)
    embodiment = load_embodiment(options.robot)
    policy = load_policy(
        options.policy,
        folder,
        device=options.device,
        dtype=options.dtype,
        preprocessing='auto',
        camera='primary',
    )
    ways = _ways(policy, options.policy, embodiment, checkpoint)
    times, codes = measure(ways, options.repeats, getattr(policy, 'device', None))
    rows = planning_rows(times, codes, policy_parameters(options.policy)['latency_budget_s'])
    console = Console()
    where = _device(getattr(policy, 'device', None))
    _show(console, rows, f'{options.policy}, {checkpoint}, {where}, {options.threads} threads')
    if options.json_path is not None:
        names = ('torch', 'transformers', 'numpy')
        versions = {name: metadata.version(name) for name in names}
        document = {'command': 'bench policy', 'ok': all(row['ok'] for row in rows)}
        document |= {'policy': options.policy, 'checkpoint': checkpoint, 'device': where}
        document |= {'threads': options.threads, 'results': rows, 'versions': versions}
        options.json_path.parent.mkdir(parents=True, exist_ok=True)
        options.json_path.write_text(json.dumps(document, indent=1))
    return 0 if all(row['ok'] for row in rows) else 1


def measure(
    ways: Mapping[str, Way], repeats: int, device: torch.device | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Call every way in turn, again and again, so that what else the machine does hits all alike.

    Returns:
        Times [s], (repeats,), and what each way returned last.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    last: dict[str, np.ndarray] = {}
    for turn in track(range(_WARM_UP + repeats), 'planning', transient=True):
        for name, way in ways.items():
            _wait_for(device)
            begin = time.perf_counter()
            last[name] = way()
            _wait_for(device)
            if turn >= _WARM_UP:
                times[name].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in times.items()}, last


def planning_rows(
    times: Mapping[str, np.ndarray], codes: Mapping[str, np.ndarray], budget_s: float
) -> list[Row]:
    """The JSON rows: `plan` first, the ratio of its median to that of each other way to plan.

    Args:
        times: Of each way [s]; `decode` is none of the ways to plan.
        codes: What each returned.
        budget_s: Longest plan and chunk [s].
    """
    rows = []
    chain = float(np.median(times['plan']) + np.median(times['decode']))
    for name, values in times.items():
        row: Row = {'name': name, 'median_ms': 1e3 * float(np.median(values))}
        row['p99_ms'] = 1e3 * float(np.quantile(values, 0.99))
        row['ok'] = True
        if name == 'plan':
            row |= {'budget_ms': 1e3 * budget_s, 'ok': chain <= budget_s}
        elif name != 'decode':
            row['ratio'] = float(np.median(times['plan']) / np.median(values))
            row['ok'] = bool(np.array_equal(codes[name], codes['plan']))
        if not row['ok']:
            over = (
                f'plan and chunk take {1e3 * chain:.0f} ms, the budget is {1e3 * budget_s:.0f} ms'
            )
            other = f'says {codes[name]}, not {codes["plan"]}'
            row['problem'] = over if name == 'plan' else other
        rows.append(row)
    return rows


def _ways(policy: Any, name: str, embodiment: Embodiment, checkpoint: str) -> dict[str, Way]:
    # Smooth and different everywhere; what it shows does not change how long a plan takes.
    rows, columns = np.mgrid[0:480, 0:640]
    picture = np.stack([rows // 2, columns // 3, (rows + columns) // 5], axis=-1).astype(np.uint8)
    decoder = load_decoder(decoder_path(embodiment, checkpoint), embodiment, allow_untrained=True)
    latent = policy.plan({'primary': picture}, INSTRUCTION)
    state = RobotState(0.0, embodiment.home, 1.0 if embodiment.gripper else None)
    body = proprioception(state) if decoder.declaration.proprioception_dim else None

    def plan() -> np.ndarray:
        policy.reset()
        return np.asarray(policy.plan({'primary': picture}, INSTRUCTION).codes)

    ways: dict[str, Way] = {'plan': plan, 'decode': lambda: decoder.decode(latent, body)}
    return {**ways, **(ordinary_ways(policy, picture, INSTRUCTION) if name == 'univla' else {})}


def _wait_for(device: torch.device | None) -> None:
    if device is not None and device.type == 'cuda':
        torch.cuda.synchronize(device)


def _device(device: torch.device | None) -> str:
    if device is not None and device.type == 'cuda':
        return str(torch.cuda.get_device_name(device))
    return f'CPU ({platform.machine()})'


def _show(console: Console, rows: list[Row], title: str) -> None:
    table = Table(box=SIMPLE, title=title)
    for heading in ('', 'median', '99 %', 'plan / this', ''):
        table.add_column(heading, justify='left' if not heading else 'right')
    for row in rows:
        ratio = f'{row["ratio"]:.2f}' if 'ratio' in row else ''
        problem = f'[red]{row["problem"]}[/]' if 'problem' in row else ''
        figures = (f'{row["median_ms"]:.1f} ms', f'{row["p99_ms"]:.1f} ms')
        table.add_row(row['name'], *figures, ratio, problem)
    console.print(table)
