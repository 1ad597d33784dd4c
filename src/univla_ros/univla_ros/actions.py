"""Clients and servers of actions, on whatever stands in for the node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient
from rclpy.action import ActionServer


def open_action_client(node: Any, kind: type, name: str) -> Any:
    """A client of an action; a node that is no node of rclpy makes its own."""
    make = getattr(node, 'create_action_client', None)
    return make(kind, name) if make else ActionClient(node, kind, name)


def open_action_server(node: Any, kind: type, name: str, execute: Callable[[Any], Any]) -> Any:
    """A server of an action; a node that is no node of rclpy makes its own."""
    make = getattr(node, 'create_action_server', None)
    return make(kind, name, execute) if make else ActionServer(node, kind, name, execute)
