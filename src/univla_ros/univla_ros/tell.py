"""`univla tell`: give a running robot its task in words."""

from __future__ import annotations

import time

import rclpy
from rclpy.node import Node
from std_msgs.msg import String
from univla_core.errors import ConfigError

from univla_ros.qos import EVENT


def tell(robot: str, instruction: str, patience_s: float = 5.0) -> None:
    """Publish an instruction once the policy and all other listeners are connected.

    Args:
        robot: Namespace of the robot, with or without a leading slash.
        instruction: The task in words.
        patience_s: How long to look for the policy [s].

    Raises:
        ConfigError: If the instruction is empty, or no policy listens there.
    """
    if not instruction.strip():
        raise ConfigError('the instruction is empty; say what the robot shall do')
    rclpy.init()
    try:
        node = rclpy.create_node('teller')
        topic = f'/{robot.strip("/")}/instruction'
        publisher = node.create_publisher(String, topic, EVENT)
        deadline = time.monotonic() + patience_s
        while not _policy_listens(node, topic, publisher.get_subscription_count()):
            if time.monotonic() > deadline:
                raise ConfigError(
                    f'no policy listens on {topic}; is the graph running (univla launch {robot}), '
                    'and with the same ROS_DOMAIN_ID?'
                )
            time.sleep(0.05)
        publisher.publish(String(data=instruction))
        time.sleep(0.3)
    finally:
        rclpy.try_shutdown()


def _policy_listens(node: Node, topic: str, connected: int) -> bool:
    listeners = node.get_subscriptions_info_by_topic(topic)
    named = any(listener.node_name == 'policy_node' for listener in listeners)
    return named and connected >= len(listeners)
