"""The time of a graph that runs on `/clock`, which the bench can set."""

from __future__ import annotations

import threading
import time

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from univla_ros.bench.repeater import Repeater
from univla_ros.conversions import seconds_to_msg

_RATE_HZ = 250.0


class SettableClock:
    """Publishes steady time plus an offset on `/clock`; it begins at the system's time.

    Args:
        node: Node to publish with.
    """

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(Clock, '/clock', 10)
        self._offset = time.time() - time.monotonic()
        self._lock = threading.Lock()
        self._repeater = Repeater(self._publish, _RATE_HZ)

    def jump(self, seconds: float) -> float:
        """Set the time on or back; returns when that was said [s, system time]."""
        with self._lock:
            self._offset += seconds
            said = time.time()
            self._say()
        return said

    def close(self) -> None:
        """Let time stand still."""
        self._repeater.stop()

    def _publish(self) -> None:
        with self._lock:
            self._say()

    def _say(self) -> None:
        now = time.monotonic() + self._offset
        self._publisher.publish(Clock(clock=seconds_to_msg(now)))
