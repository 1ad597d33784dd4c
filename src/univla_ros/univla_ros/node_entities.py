"""What a node had before it was configured, so that cleaning up can take away the rest."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode

_KINDS = ('publishers', 'subscriptions', 'timers', 'services', 'clients', 'guards')


class NodeEntities:
    """The publishers, subscriptions, timers, services, clients and guards of one moment.

    Args:
        node: Whose.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._kept = {kind: list(getattr(node, kind)) for kind in _KINDS}

    def destroy_others(self) -> None:
        """Destroy what the node made since, so that it can be configured again from nothing."""
        node = self._node
        destroyers: dict[str, Any] = {
            'publishers': node.destroy_lifecycle_publisher,  # takes plain ones too
            'subscriptions': node.destroy_subscription,
            'timers': node.destroy_timer,
            'services': node.destroy_service,
            'clients': node.destroy_client,
            'guards': node.destroy_guard_condition,
        }
        for kind, destroy in destroyers.items():
            for entity in list(getattr(node, kind)):
                if not any(entity is kept for kept in self._kept[kind]) and not _is_clock(entity):
                    destroy(entity)


def _is_clock(entity: Any) -> bool:
    """The subscription that rclpy makes itself when `use_sim_time` is set on a running node."""
    return getattr(entity, 'topic_name', '') == '/clock' and hasattr(entity, 'callback')
