"""Say something again and again on a thread of its own, as a driver or a gamepad does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from univla_ros.bench.watch import be_realtime


class Repeater:
    """Calls a function at a steady rate from its making until `stop`.

    Args:
        say: What to call.
        rate_hz: How often [Hz].

    Attributes:
        begun: When it was first called [s, system time].
        last: When it was last called [s, system time].
        period_s: Time between two calls [s].
        largest_gap: Longest time between two calls so far [s].
    """

    def __init__(self, say: Callable[[], None], rate_hz: float) -> None:
        self._say = say
        self.period_s = 1.0 / rate_hz
        self.largest_gap = 0.0
        self._stopped = threading.Event()
        self.begun = self.last = time.time()
        self._say()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        be_realtime()  # a gamepad does not fall silent because this machine is busy
        due = time.monotonic() + self.period_s
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            now = time.time()
            self.largest_gap = max(self.largest_gap, now - self.last)
            self.last = now
            self._say()
            due = max(due + self.period_s, time.monotonic())

    def stop(self) -> float:
        """Fall silent; returns when the next call was due [s, system time]."""
        self._stopped.set()
        self._thread.join()
        return self.last + self.period_s
