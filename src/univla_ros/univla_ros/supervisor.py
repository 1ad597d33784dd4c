"""Run a described graph as processes, where `ros2 launch` is not installed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from univla_core.errors import ConfigError

from univla_ros.graph import PATIENCE_S
from univla_ros.graph import NodeDescription
from univla_ros.stale_memory import sweep_shared_memory
from univla_ros.with_parent import command_prefix


@dataclass
class RunningNode:
    """One process of the graph and where its log goes."""

    description: NodeDescription
    process: subprocess.Popen
    log: Path | None

    @property
    def name(self) -> str:
        """Full name of the node."""
        return self.description.name


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
    own = folder / f'{file_stem(description)}.yaml'
    own.write_text(yaml.safe_dump({'/**': {'ros__parameters': dict(description.parameters)}}))
    files = (*description.parameter_files, str(own), *description.override_files)
    words = [sys.executable, '-m', f'univla_ros.nodes.{description.executable}', '--ros-args']
    words += ['-r', f'__ns:={description.namespace}', '-r', f'__node:={description.executable}']
    for source, target in description.remappings:
        words += ['-r', f'{source}:={target}']
    for path in files:
        words += ['--params-file', path]
    return [*words, '--log-level', description.log_rule]


def file_stem(description: NodeDescription) -> str:
    """The node's full name as a file name."""
    return description.name.strip('/').replace('/', '_')


class Supervisor:
    """Starts the nodes of a graph, watches them, and ends them in order.

    The nodes also end when this process is killed, or when the thread that entered the
    supervisor ends (Linux).

    Args:
        nodes: What to run.
        log_directory: Folder for one log a node; None lets them write to the terminal.
        command: Makes the command line of a node; may write files into the folder it is given.
        patience_s: Time to end after an interrupt before a node is killed [s].
    """

    def __init__(
        self,
        nodes: Sequence[NodeDescription],
        log_directory: Path | None = None,
        *,
        command: Callable[[NodeDescription, Path], list[str]] = node_command,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._descriptions = nodes
        self._log_directory = log_directory
        self._command = command
        self._patience_s = patience_s
        self._folder = tempfile.TemporaryDirectory(prefix='univla_')
        self.running: list[RunningNode] = []

    def __enter__(self) -> Supervisor:
        sweep_shared_memory()  # of nodes that were killed before
        try:
            folder = Path(self._folder.name)
            # All commands first: nothing starts if one of the nodes cannot be run.
            commands = [self._command(description, folder) for description in self._descriptions]
            for description, command in zip(self._descriptions, commands, strict=True):
                self.running.append(self._start(description, command, 'w'))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def ended(self) -> list[RunningNode]:
        """Nodes whose process has ended."""
        return [node for node in self.running if node.process.poll() is not None]

    def node(self, executable: str, namespace: str = '') -> RunningNode:
        """The first node of this executable, in this namespace if one is given.

        Raises:
            ConfigError: If there is none.
        """
        for node in self.running:
            description = node.description
            if description.executable == executable and namespace in ('', description.namespace):
                return node
        known = ', '.join(node.name for node in self.running)
        raise ConfigError(f'no node {executable!r} is supervised; there are {known or "none"}')

    def restart(self, executable: str, namespace: str = '') -> RunningNode:
        """Start a node anew, after killing it if it still runs; its log goes on.

        Call it from the thread that entered the supervisor: the node ends with that thread.

        Raises:
            ConfigError: If there is no such node.
        """
        old = self.node(executable, namespace)
        if old.process.poll() is None:
            old.process.kill()
            old.process.wait(timeout=5.0)
        command = self._command(old.description, Path(self._folder.name))
        new = self._start(old.description, command, 'a')
        self.running[self.running.index(old)] = new
        return new

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
        """Interrupt the nodes, so that each says the safe thing; kill what does not end.

        Simulators end last: a command said on the way out needs a robot that hears it.
        """
        with _undisturbed():
            self._end()
        self._folder.cleanup()

    def _end(self) -> None:
        simulators = [node for node in self.running if _simulates(node)]
        others = [node for node in self.running if not _simulates(node)]
        for wave in (others, simulators):
            _signal(wave, signal.SIGCONT)  # a node that was stopped could not hear the rest
            for number, patience_s in ((signal.SIGINT, self._patience_s), (signal.SIGKILL, 2.0)):
                _signal(wave, number)
                _await(wave, patience_s)

    def _start(
        self, description: NodeDescription, command: list[str], log_mode: str
    ) -> RunningNode:
        log = None
        output: Any = None
        if self._log_directory is not None:
            self._log_directory.mkdir(parents=True, exist_ok=True)
            log = self._log_directory / f'{file_stem(description)}.log'
            output = log.open(log_mode)
        # A session of its own: Ctrl-C reaches the nodes through stop(), once and in order.
        process = subprocess.Popen(
            [*command_prefix(), *command],
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        if output is not None:
            output.close()
        return RunningNode(description, process, log)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C cut the end short: it would leave nodes without their safe command."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _simulates(node: RunningNode) -> bool:
    return node.description.executable == 'sim_node'


def _signal(nodes: Sequence[RunningNode], number: int) -> None:
    for node in nodes:
        if node.process.poll() is None:
            node.process.send_signal(number)


def _await(nodes: Sequence[RunningNode], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    for node in nodes:
        try:
            node.process.wait(timeout=max(0.05, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue
