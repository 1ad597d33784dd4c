"""Publishers, clients and answers that are plain function calls."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


class LocalAnswer:
    """An answer that is there already; what drivers ask of `rclpy.task.Future`."""

    def __init__(self, result: object) -> None:
        self._result = result

    def result(self) -> Any:
        """The answer."""
        return self._result

    def cancelled(self) -> bool:
        """An answer cannot be taken back."""
        return False

    def exception(self) -> None:
        """What went wrong was raised by the call."""
        return None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Hand the answer over, at once."""
        callback(self)


@dataclass(frozen=True, eq=False)
class LocalSubscription:
    """One listener of a topic."""

    kind: type
    topic_name: str
    callback: Callable[[Any], None]


@dataclass(frozen=True, eq=False)
class LocalPublisher:
    """One speaker on a topic."""

    kind: type
    topic_name: str
    node: Any
    subscriptions: list[LocalSubscription]

    def publish(self, msg: Any) -> None:
        """Hand a message to every listener."""
        assert isinstance(msg, self.kind), f'{self.topic_name} carries {self.kind.__name__}'
        for subscription in self.subscriptions:
            subscription.callback(msg)

    def wait_for_all_acked(self, timeout: object) -> bool:
        """Every message has arrived."""
        return True


@dataclass(frozen=True, eq=False)
class LocalClient:
    """Asks a service."""

    name: str
    services: Mapping[str, tuple[type, Callable[[Any, Any], Any]]]

    def service_is_ready(self) -> bool:
        """Whether somebody answers it."""
        return self.name in self.services

    def call_async(self, request: Any) -> LocalAnswer:
        """Ask; the answer is there when this returns."""
        kind, callback = self.services[self.name]
        return LocalAnswer(callback(request, kind.Response()))  # type: ignore[attr-defined]

    def remove_pending_request(self, answer: LocalAnswer) -> None:
        """No request is ever pending."""


@dataclass(frozen=True, eq=False)
class LocalActionClient:
    """Sends goals to an action."""

    name: str
    actions: Mapping[str, Callable[[Any], Any]]

    def server_is_ready(self) -> bool:
        """Whether somebody carries it out."""
        return self.name in self.actions

    def send_goal_async(self, goal: Any) -> LocalAnswer:
        """Have a goal carried out as far as its server does before it answers."""
        handle = SimpleNamespace(
            request=goal, accepted=True, succeed=lambda: None, abort=lambda: None
        )
        self.actions[self.name](handle)
        return LocalAnswer(handle)

    def destroy(self) -> None:
        """Nothing is held for a client."""
