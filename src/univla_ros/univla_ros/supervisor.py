"""Run a described graph as processes, where `ros2 launch` is not installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from univla_core.errors import ConfigError
from univla_ros.graph import NodeDescription


@dataclass
class RunningNode:
    """One process of the graph and where its log goes."""

    description: NodeDescription
    process: subprocess.Popen
    log: Path | None

    @property
    def name(self) -> str:
        """Full name of the node."""
        return f'{self.description.namespace.rstrip("/")}/{self.description.executable}'


class Supervisor:
    """Starts the nodes of a graph, watches them, and ends them in order.

    Args:
        nodes: What to run.
        log_directory: Folder for one log a node; None lets them write to the terminal.
    """

    def __init__(self, nodes: Sequence[NodeDescription], log_directory: Path | None = None) -> None:
        self._descriptions = nodes
        self._log_directory = log_directory
        self._folder = tempfile.TemporaryDirectory(prefix='univla_')
        self.running: list[RunningNode] = []

    def __enter__(self) -> Supervisor:
        for description in self._descriptions:
            self.running.append(self._start(description))
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def ended(self) -> list[RunningNode]:
        """Nodes whose process has ended."""
        return [node for node in self.running if node.process.poll() is not None]

    def wait(self) -> int:
        """Wait until any node ends or the user interrupts; returns an exit status."""
        try:
            while not self.ended():
                time.sleep(0.1)
        except KeyboardInterrupt:
            return 0
        node = self.ended()[0]
        print(f'{node.name} ended with status {node.process.returncode}', file=sys.stderr)
        return node.process.returncode or 1

    def stop(self) -> None:
        """Interrupt all nodes, so that each says the safe thing; kill what does not end."""
        for number, patience_s in ((signal.SIGINT, 8.0), (signal.SIGKILL, 2.0)):
            alive = [node for node in self.running if node.process.poll() is None]
            for node in alive:
                node.process.send_signal(number)
            deadline = time.monotonic() + patience_s
            for node in alive:
                try:
                    node.process.wait(timeout=max(0.05, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
        self._folder.cleanup()

    def _start(self, description: NodeDescription) -> RunningNode:
        command = node_command(description, Path(self._folder.name))
        log = None
        output: Any = None
        if self._log_directory is not None:
            self._log_directory.mkdir(parents=True, exist_ok=True)
            stem = f'{description.namespace.strip("/").replace("/", "_")}_{description.executable}'
            log = self._log_directory / f'{stem}.log'
            output = log.open('w')
        # A session of its own: Ctrl-C reaches the nodes through stop(), once and in order.
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, 'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', '1')},
        )
        if output is not None:
            output.close()
        return RunningNode(description, process, log)


def node_command(description: NodeDescription, folder: Path) -> list[str]:
    """Command line of one node; its parameters go into a YAML file in `folder`.

    Raises:
        ConfigError: If the package is not one that can be run without `ros2 run`.
    """
    if description.package != 'univla_ros':
        raise ConfigError(
            f'{description.package} is not part of this environment; install ROS 2 and use '
            '`ros2 launch univla_ros …` for it'
        )
    stem = f'{description.namespace.strip("/").replace("/", "_")}_{description.executable}'
    own = folder / f'{stem}.yaml'
    own.write_text(yaml.safe_dump({'/**': {'ros__parameters': dict(description.parameters)}}))
    files = (*description.parameter_files, str(own), *description.override_files)
    words = [sys.executable, '-m', f'univla_ros.nodes.{description.executable}', '--ros-args']
    words += ['-r', f'__ns:={description.namespace}', '-r', f'__node:={description.executable}']
    for source, target in description.remappings:
        words += ['-r', f'{source}:={target}']
    for path in files:
        words += ['--params-file', path]
    return [*words, '--log-level', description.log_level]
