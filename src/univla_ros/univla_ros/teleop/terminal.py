"""The terminal as a keyboard: keys one by one, and the terminal as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from types import TracebackType

from univla_core.errors import ConfigError


class Terminal:
    """Reads keys as they are pressed, without echo, until the `with` block ends in any way.

    Raises:
        ConfigError: If there is no terminal.
    """

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConfigError(
                'teleop reads keys from a terminal and there is none here; start it in one '
                '(docker run -it, ssh -t), not through a pipe or a launch file'
            )
        self._file = sys.stdin.fileno()

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)  # what was typed before is not meant for the robot
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Keys that are still waiting belong to us, not to the shell that comes next.
        with contextlib.suppress(termios.error):  # the terminal itself may be gone
            termios.tcsetattr(self._file, termios.TCSAFLUSH, self._before)

    def read(self, timeout_s: float) -> bytes | None:
        """What was typed, empty after the timeout [s]; None once the terminal is gone."""
        ready, _, _ = select.select([self._file], [], [], max(timeout_s, 0.0))
        if not ready:
            return b''
        try:
            return os.read(self._file, 1024) or None
        except OSError:
            return None
