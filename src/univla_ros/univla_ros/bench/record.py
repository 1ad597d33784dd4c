"""`univla bench record`: is anything lost, and does the control loop notice the recorder?"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import rclpy
import yaml
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory
from univla_data.episode_reader import read_provenance

from univla_ros.bench import record_load as load
from univla_ros.bench.live_graph import BenchError
from univla_ros.bench.live_graph import end_in_order
from univla_ros.bench.live_graph import own_domain
from univla_ros.bench.memory import resident_bytes
from univla_ros.bench.record_report import Measured
from univla_ros.bench.record_report import record_rows
from univla_ros.bench.record_report import show_rows
from univla_ros.bench.run_safety import document
from univla_ros.bench.run_safety import wide_console
from univla_ros.bench.watch import Ear
from univla_ros.bench.watch import be_realtime
from univla_ros.bench.watch import wait_until
from univla_ros.command_recorder import CommandRecorder
from univla_ros.command_recorder import record_commands
from univla_ros.demo.stall_watch import StallWatch
from univla_ros.demo.stall_watch import stalled
from univla_ros.graph import NodeDescription
from univla_ros.graph import build_graph
from univla_ros.recorder.client import RecorderClient
from univla_ros.supervisor import Supervisor
from univla_ros.with_parent import command_prefix

_START_S, _SETTLE_S = 60.0, 3.0
_TICKS = os.sysconf('SC_CLK_TCK')


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """What the command line asks for.

    Attributes:
        duration_s: How long is recorded [s]; half of it is measured without a recorder.
        raw: Record raw pictures.
        output: Folder for the episode and the logs.
        keep: Keep the episode.
        json_path: Write the results there.
    """

    duration_s: float = 300.0
    raw: bool = False
    output: Path = Path('out/bench')
    keep: bool = False
    json_path: Path | None = None


def run_record(options: RecordOptions) -> int:
    """Measure, print and write; returns the exit status.

    Raises:
        BenchError: If the graph does not come up.
    """
    signal.signal(signal.SIGTERM, end_in_order)
    own_domain()
    folder = options.output / f'record_{datetime.now():%Y-%m-%d_%H-%M-%S}'
    with tempfile.TemporaryDirectory(prefix='univla_') as temporary:
        robot = _two_cameras(Path(temporary))
        measured = _measure(options, robot, folder)
    rows = record_rows(measured, _numbered(options.raw))
    console = wide_console()
    show_rows(console, rows, measured.path)
    if options.json_path is not None:
        options.json_path.parent.mkdir(parents=True, exist_ok=True)
        options.json_path.write_text(json.dumps(document('bench record', rows), indent=1))
    if not options.keep:
        for file in measured.path.iterdir():
            file.unlink()
        measured.path.rmdir()
    return 0 if all(row['ok'] for row in rows) else 1


def _numbered(raw: bool) -> list[str]:
    end = '' if raw else '/compressed'
    cameras = [f'/{load.ROBOT}/camera/{name}/image_raw' for name in load.CAMERAS]
    rest = [f'/{load.ROBOT}/{name}' for name in ('joint_states', 'latent_action', 'action_chunk')]
    return [*(f'{name}{end}' for name in cameras), *rest]


def _two_cameras(folder: Path) -> Path:
    """The robot's YAML with two cameras and a driver as fast as the load."""
    document = read_yaml(config_directory() / 'robots' / f'{load.ROBOT}.yaml')
    (camera,) = (document['cameras'][name] for name in list(document['cameras'])[:1])
    document['cameras'] = {n: {**camera, 'rate_hz': load.CAMERA_HZ} for n in load.CAMERAS}
    document['driver']['state_rate_hz'] = load.STATE_HZ
    path = folder / f'{load.ROBOT}.yaml'
    path.write_text(yaml.safe_dump(document))
    return path


def _nodes(robot: Path, options: RecordOptions, folder: Path) -> dict[str, NodeDescription]:
    given = {'record': 'true', 'monitor': 'false', 'record_to': str(folder), 'checkpoint': ''}
    nodes = {}
    for node in build_graph(load.ROBOT, given):
        parameters = {**node.parameters, 'robot': str(robot)}
        if node.executable == 'recorder_node':
            parameters['raw_pictures'] = options.raw
        nodes[node.executable] = dataclasses.replace(node, parameters=parameters)
    return nodes


def _measure(options: RecordOptions, robot: Path, folder: Path) -> Measured:
    nodes, quarter = _nodes(robot, options, folder), max(10.0, options.duration_s / 4.0)
    with _loads(folder), _hearing() as commands, StallWatch() as watch:
        with Supervisor([nodes['controller_node']], folder) as control:
            _await(lambda: len(commands.times) > 100, control, 'commands')
            time.sleep(_SETTLE_S)
            before = _gaps(commands, quarter)
            with Supervisor([nodes['recorder_node']], folder) as recording:
                pid = recording.node('recorder_node').process.pid
                with RecorderClient(load.ROBOT, _START_S) as recorder:
                    time.sleep(_SETTLE_S)
                    recorder.start('', 'bench', 0.0)
                    begin, cpu_s = time.time(), _cpu_s(pid)
                    during = _gaps(commands, options.duration_s)
                    end, cpu_s = time.time(), _cpu_s(pid) - cpu_s
                    load_average = os.getloadavg()[0] / (os.cpu_count() or 1)
                    memory = resident_bytes(pid) or 0
                    recorder.ask('stop')
                    said = recorder.wait_complete()
            after = _gaps(commands, quarter)
        stall_s = stalled(watch.stop(), begin, end)
    if not said.uri:
        raise BenchError(f'nothing was recorded: {said.reason}; see the logs in {folder}')
    details = read_provenance(said.uri).details
    return Measured(
        path=Path(said.uri),
        details=details,
        duration_s=details['duration_s'],
        period_s=1.0 / load_embodiment(robot).control_rate_hz,
        recording=during,
        baseline=np.concatenate([before, after]),
        cpu_s=cpu_s,
        memory=memory,
        stall_s=stall_s,
        load=load_average,
    )


@contextmanager
def _loads(folder: Path) -> Iterator[None]:
    """Cameras and robot, each a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    try:
        for part in ('cameras', 'robot'):
            words = [sys.executable, '-m', load.__name__, part]
            with (folder / f'load_{part}.log').open('w') as log:
                processes.append(
                    subprocess.Popen(
                        [*command_prefix(), *words], stdout=log, stderr=log, start_new_session=True
                    )
                )
        yield
        if any(process.poll() is not None for process in processes):
            raise BenchError(f'the load ended; see load_*.log in {folder}')
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=10.0)


@contextmanager
def _hearing() -> Iterator[CommandRecorder]:
    """The commands to the driver, by the time at which they were published."""
    be_realtime()
    rclpy.init()
    node = rclpy.create_node('bench')
    be_realtime(0)
    commands = record_commands(node, load_embodiment(load.ROBOT))
    ear = Ear(node)
    try:
        yield commands
    finally:
        ear.close()
        rclpy.try_shutdown()


def _gaps(commands: CommandRecorder, duration_s: float) -> np.ndarray:
    begin = time.time()
    time.sleep(duration_s)
    heard = commands.between(begin, time.time())
    if len(heard.times) < 10:
        raise BenchError('the controller fell silent; see its log')
    return heard.gaps()


def _await(condition: Callable[[], object], control: Supervisor, what: str) -> None:
    if not wait_until(condition, _START_S) or control.ended():
        raise BenchError(f'no {what} after {_START_S:.0f} s; see the logs')


def _cpu_s(pid: int) -> float:
    """Processor time that a process has taken [s]."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except FileNotFoundError as error:
        raise DataError('the recorder ended; see its log') from error
    return (int(fields[11]) + int(fields[12])) / _TICKS
