"""Health of a node on `/diagnostics` (REP-107): one status per function."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from rclpy.node import Node
from univla_core.work_watch import WorkWatch

OK = DiagnosticStatus.OK
WARN = DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR
STALE = DiagnosticStatus.STALE


class Diagnostics:
    """Collects the statuses of one node and publishes them once a second.

    Args:
        node: Owner; its namespace becomes the hardware id.
        period_s: Time between two publications [s].
    """

    def __init__(self, node: Node, period_s: float = 1.0) -> None:
        self._node = node
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._timer = node.create_timer(period_s, self.publish)
        self.before_publish = lambda: None

    def set(
        self, function: str, level: bytes, message: str, values: Mapping[str, object] | None = None
    ) -> None:
        """Replace the status of one function, such as `observation/primary` or `inference`."""
        self._statuses[function] = DiagnosticStatus(
            level=level,
            name=f'{self._node.get_fully_qualified_name()}: {function}',
            message=message,
            hardware_id=self._node.get_namespace().strip('/') or 'univla',
            values=[KeyValue(key=k, value=_text(v)) for k, v in (values or {}).items()],
        )

    def publish(self) -> None:
        """Publish all statuses now."""
        self.before_publish()
        msg = DiagnosticArray(status=list(self._statuses.values()))
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(msg)


def work_values(work: WorkWatch, steady: float) -> dict[str, object]:
    """What a status tells about repeated work: latency against its budget, and rate.

    Args:
        work: Times of the work.
        steady: Present time on the clock of `work` [s].
    """
    return {
        'latency median [s]': work.latency(0.5),
        'latency p95 [s]': work.latency(0.95),
        'latency budget [s]': work.budget_s,
        'rate [Hz]': work.rate_hz(steady),
    }


def _text(value: object) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
