"""Signs of life of a node, from a thread that neither its callbacks nor its work can delay."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from univla_core.fault import Fault

from univla_msgs.msg import Heartbeat as HeartbeatMsg
from univla_ros.conversions import header_to_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.qos import SENSOR

#: Beats per second while nothing changes [Hz].
RATE_HZ = 40.0

#: Gaps between beats that listeners take for silence [s].
SILENCE_S = 0.08

#: Time between two looks at the node's health [s].
_LOOK_S = 0.005


class Heartbeat:
    """Publishes `<what>/heartbeat` forty times a second, and a new fault at once.

    Args:
        node: Node to publish with.
        what: Part of the chain: `policy` or `decoder`.
        judge: Says what is wrong now; called from the heartbeat's own thread, some two hundred
            times a second, so it must be quick and must not wait.
        priority: SCHED_FIFO priority asked for the heartbeat's thread alone; 0 asks for nothing.

    Attributes:
        health: What the last beat said.
        beats: How many were sent.
    """

    def __init__(
        self, node: Any, what: str, judge: Callable[[], Fault], priority: int = 0
    ) -> None:
        self._node = node
        self._judge = judge
        self._priority = priority
        self._farewell = Fault(
            f'{what}_silent', f'{what}_node was deactivated; activate it to go on'
        )
        self._publisher = node.create_publisher(HeartbeatMsg, f'{what}/heartbeat', SENSOR)
        self._wake = threading.Event()
        self._alive = False
        self._thread: threading.Thread | None = None
        self._gaps: deque[float] = deque(maxlen=200)
        self.health = self._farewell
        self.beats = 0

    def start(self) -> None:
        """Begin to beat."""
        self._alive = True
        self._gaps.clear()
        self._thread = threading.Thread(target=self._beat_for_ever, name='heartbeat', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say that the node goes, then be silent."""
        if self._thread is None:
            return
        self._alive = False
        self._wake.set()
        self._thread.join()
        self._thread = None
        self._publish(self._farewell)

    def look(self) -> None:
        """Judge now: something may have gone wrong."""
        self._wake.set()

    def report(self) -> None:
        """Set the status `heartbeat` of the node's diagnostics."""
        diagnostics = self._node.diagnostics
        if self._thread is None:
            diagnostics.set('heartbeat', STALE, 'not active')
            return
        gaps = tuple(self._gaps)
        gap = max(gaps, default=0.0)
        values = {
            'beats': self.beats,
            'rate [Hz]': len(gaps) / sum(gaps) if gaps else 0.0,
            'expected rate [Hz]': RATE_HZ,
            'longest gap [s]': gap,
        }
        if not self._thread.is_alive():
            diagnostics.set('heartbeat', ERROR, 'stopped by an error, see the log', values)
        elif self.health.name:
            text = f'{self.health.name}: {self.health.reason}'
            diagnostics.set('heartbeat', ERROR, text, values)
        elif gap > SILENCE_S:
            text = 'beats come late and stop the robot; give this process a core of its own'
            diagnostics.set('heartbeat', WARN, text, values)
        else:
            diagnostics.set('heartbeat', OK, self.health.reason or 'healthy', values)

    def _ask_for_realtime(self) -> None:
        """A busy computer shall not pass for a dead node; the controller asks for more."""
        if self._priority <= 0:
            return
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(self._priority))

    def _beat_for_ever(self) -> None:
        self._ask_for_realtime()
        due = last = time.monotonic()
        said: str | None = None
        while self._alive and self._node.context.ok():
            health = self._judge()
            now = time.monotonic()
            if now >= due or health.name != said:
                said = health.name
                self._publish(health)
                self._gaps.append(now - last)
                # From the beat that was due, or from now after a delay: never two at once.
                due, last = max(due, now - 0.5 / RATE_HZ) + 1.0 / RATE_HZ, now
            self._wake.wait(max(0.0, min(_LOOK_S, due - time.monotonic())))
            self._wake.clear()

    def _publish(self, health: Fault) -> None:
        self.health = health
        self.beats += 1
        self._publisher.publish(
            HeartbeatMsg(
                header=header_to_msg(self._node.now()),
                healthy=not health.name,
                fault=health.name,
                reason=health.reason,
            )
        )
