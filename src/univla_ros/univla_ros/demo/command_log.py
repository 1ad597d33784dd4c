"""A process of its own that records driver commands, so that nothing it does delays a message.

python -m univla_ros.demo.command_log OUT.npz ROBOT…
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from univla_core.embodiment import load_embodiment

from univla_ros.command_recorder import CommandRecorder
from univla_ros.command_recorder import record_commands
from univla_ros.node_executor import node_executor


class CommandLog:
    """Runs the recording process; `stop` returns what it heard.

    Args:
        path: File for the record.
        robots: Robots to listen to.
    """

    def __init__(self, path: Path, robots: tuple[str, ...]) -> None:
        self._path = path
        self._robots = robots

    def __enter__(self) -> CommandLog:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, '-m', __name__, str(self._path), *self._robots],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> dict[str, CommandRecorder]:
        """End the process and read its record: commands by robot, empty if it heard none."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if not self._path.is_file():
            return {}
        with np.load(self._path) as record:
            return {
                robot: CommandRecorder(
                    record[f'{robot}/times'].tolist(), list(record[f'{robot}/values'])
                )
                for robot in self._robots
            }


def main() -> None:
    """Record until SIGINT."""
    path, robots = Path(sys.argv[1]), sys.argv[2:]
    # Before the middleware makes its threads, which inherit it: a publisher may wait for a lock
    # that one of them holds. Without permission the record is as good as the machine is idle.
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    asked: list[int] = []  # a flag: an exception from the handler could end in a callback
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    node = rclpy.create_node('command_log')
    recorders = {name: record_commands(node, load_embodiment(name)) for name in robots}
    executor = node_executor()
    executor.add_node(node)
    while not asked:
        executor.spin_once(timeout_sec=0.2)
    arrays = {}
    for name, recorder in recorders.items():
        arrays[f'{name}/times'] = np.array(recorder.times)
        arrays[f'{name}/values'] = np.array(recorder.values)
    np.savez(path, **arrays)
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
