"""The operator's side of the recorder of one robot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from univla_msgs.msg import EpisodeStatus
from univla_ros.qos import EVENT
from univla_ros.qos import STATUS
from univla_ros.recorder.operator import RELABEL
from univla_ros.teleop.record_keys import VERBS


class RecordLink:
    """Clients of the recorder's services, and what it says.

    Args:
        node: Node to speak with.
        name: Full name of a topic or service in the robot's namespace.

    Attributes:
        clients: By verb.
        status: Newest report of the recorder, None if there is none.
    """

    def __init__(self, node: Node, name: Callable[[str], str]) -> None:
        self.status: EpisodeStatus | None = None
        self.clients: dict[str, Any] = {
            verb: node.create_client(Trigger, name(f'record/{verb}')) for verb in VERBS.values()
        }
        self._labels = node.create_publisher(String, name(RELABEL), EVENT)
        node.create_subscription(EpisodeStatus, name('episode_status'), self._on_status, STATUS)

    def relabel(self, label: str) -> str:
        """Say what is done in the episode; returns what is to be told about it."""
        if not self._labels.get_subscription_count():
            return NOBODY
        self._labels.publish(String(data=label))
        return f'the episode shows: {label}'

    def _on_status(self, msg: EpisodeStatus) -> None:
        self.status = msg


#: Told when there is no recorder.
NOBODY = 'nobody records; launch with record:=true'
