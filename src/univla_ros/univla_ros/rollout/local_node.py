"""What driver adapters and simulated drivers ask of a ROS node, answered by function calls.

The same adapters that speak over DDS thus run in one process and in virtual time: a message is
delivered when it is published, a service or an action answers before the call returns.
"""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from rclpy.time import Time

from univla_ros.rollout.local_calls import LocalActionClient
from univla_ros.rollout.local_calls import LocalClient
from univla_ros.rollout.local_calls import LocalPublisher
from univla_ros.rollout.local_calls import LocalSubscription
from univla_ros.rollout.virtual_time import VirtualTime

#: Timers of drivers come after everything else that is due at an instant.
_TIMER_RANK = 9


class LocalBus:
    """Topics, services and actions of one process.

    Args:
        time: The clock that every node on it lives by.

    Attributes:
        complaints: Warnings and errors of its nodes, and how often each was said.
    """

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.subscriptions: defaultdict[str, list[LocalSubscription]] = defaultdict(list)
        self.publishers: defaultdict[str, list[LocalPublisher]] = defaultdict(list)
        self.services: dict[str, tuple[type, Callable[[Any, Any], Any]]] = {}
        self.actions: dict[str, Callable[[Any], Any]] = {}
        self.complaints: Counter[str] = Counter()


class LocalNode:
    """The part of `rclpy.node.Node` that drivers use.

    Args:
        bus: Where it speaks and listens.
        name: Its name.
        remappings: Other names for some of its topics.
    """

    def __init__(
        self, bus: LocalBus, name: str, remappings: Mapping[str, str] | None = None
    ) -> None:
        self._bus, self._name, self._remappings = bus, name, dict(remappings or {})

    def get_name(self) -> str:
        """Name of the node."""
        return self._name

    def get_namespace(self) -> str:
        """Every node lives at the root."""
        return '/'

    def get_clock(self) -> Any:
        """A clock whose `now` is the virtual time."""
        return SimpleNamespace(now=lambda: Time(nanoseconds=self._bus.time.nanoseconds))

    def get_logger(self) -> Any:
        """A logger that counts what is wrong and is silent about the rest."""
        return SimpleNamespace(
            debug=lambda text, **options: None,
            info=lambda text, **options: None,
            warning=self._complain,
            error=self._complain,
        )

    def resolve_topic_name(self, topic: str) -> str:
        """Full name of a topic."""
        topic = self._remappings.get(topic, topic)
        return topic if topic.startswith('/') else f'/{topic}'

    def create_publisher(self, kind: type, topic: str, qos: object) -> LocalPublisher:
        """A publisher; every message is delivered at once, whatever the quality of service."""
        name = self.resolve_topic_name(topic)
        publisher = LocalPublisher(kind, name, self, self._bus.subscriptions[name])
        self._bus.publishers[name].append(publisher)
        return publisher

    def destroy_publisher(self, publisher: LocalPublisher) -> None:
        """Leave a topic."""
        self._bus.publishers[publisher.topic_name].remove(publisher)

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: object
    ) -> LocalSubscription:
        """Listen to a topic."""
        subscription = LocalSubscription(kind, self.resolve_topic_name(topic), callback)
        self._bus.subscriptions[subscription.topic_name].append(subscription)
        return subscription

    def destroy_subscription(self, subscription: LocalSubscription) -> None:
        """Listen no more."""
        self._bus.subscriptions[subscription.topic_name].remove(subscription)

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        """Who publishes on a topic."""
        publishers = self._bus.publishers[self.resolve_topic_name(topic)]
        return [
            SimpleNamespace(
                node_name=publisher.node.get_name(),
                node_namespace=publisher.node.get_namespace(),
                endpoint_gid=(id(publisher),),
            )
            for publisher in publishers
        ]

    def create_service(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """Answer a service."""
        self._bus.services[name] = (kind, callback)

    def create_client(self, kind: type, name: str) -> LocalClient:
        """A client of a service, there or not."""
        return LocalClient(name, self._bus.services)

    def destroy_client(self, client: LocalClient) -> None:
        """Nothing is held for a client."""

    def create_action_server(self, kind: type, name: str, execute: Callable[[Any], Any]) -> None:
        """Carry out the goals of an action; each is accepted."""
        self._bus.actions[name] = execute

    def create_action_client(self, kind: type, name: str) -> LocalActionClient:
        """A client of an action, there or not."""
        return LocalActionClient(name, self._bus.actions)

    def create_timer(
        self, period_s: float, callback: Callable[[], None], clock: object = None
    ) -> Any:
        """Call back every `period_s` [s] of virtual time, whichever clock is asked for."""
        return self._bus.time.every(period_s, _TIMER_RANK, callback)

    def destroy_timer(self, timer: Any) -> None:
        """Call back no more."""
        timer.cancel()

    def _complain(self, text: str, **options: object) -> None:
        self._bus.complaints[text] += 1
