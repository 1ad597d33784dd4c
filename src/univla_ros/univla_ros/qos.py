"""Quality of service by kind of stream; `docs/architecture.md` shows the table."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy
from rclpy.qos import HistoryPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

#: Cameras and joint states, subscribing: matches reliable and best-effort publishers alike.
SENSOR = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)

#: Latent actions and action chunks: every one counts, an old one does not.
PLAN = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)

#: Instructions and other rare events.
EVENT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)

#: Control state and robot description: whoever joins late gets the last one.
STATUS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def command(period_s: float) -> QoSProfile:
    """Driver commands: reliable, newest only, forgotten by the sender after a few periods.

    The receiver judges by its own lifespan, so drivers need not have synchronised clocks.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        lifespan=Duration(seconds=6.0 * period_s),
    )
