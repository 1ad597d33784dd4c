"""A node that is cleaned up and configured again is as it was, not doubled."""

from __future__ import annotations

import pytest
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import Trigger
from univla_ros.node_entities import NodeEntities
from univla_ros.nodes.controller_node import ControllerNode
from univla_ros.nodes.decoder_node import DecoderNode
from univla_ros.nodes.monitor_node import MonitorNode
from univla_ros.nodes.policy_node import PolicyNode
from univla_ros.nodes.sim_node import SimNode
from univla_ros.suite_node import SUCCESS

UNTRAINED = {'allow_untrained': True}
NODES = [
    (PolicyNode, UNTRAINED),
    (DecoderNode, UNTRAINED),
    (ControllerNode, {}),
    (MonitorNode, {}),
    (SimNode, {'render_backend': 'ray'}),
]


def entities(node) -> dict[str, list[str]]:
    """What a node has, by kind and name."""
    return {
        'publishers': sorted(p.topic_name for p in node.publishers),
        'subscriptions': sorted(s.topic_name for s in node.subscriptions),
        'services': sorted(s.service_name for s in node.services),
        'clients': sorted(c.service_name for c in node.clients),
        'timers': [str(t.timer_period_ns) for t in node.timers],
        'guards': [''] * len(list(node.guards)),
    }


@pytest.mark.parametrize(('kind', 'values'), NODES, ids=[kind.__name__ for kind, _ in NODES])
def test_every_node_leaves_nothing_behind(rig, kind, values):
    """Twice through its whole life, in one process, also through activation."""
    node = rig.add(kind, 'widowx', start=False, **values)
    bare = entities(node)
    seen = []
    for _ in range(2):
        assert node.trigger_configure() == SUCCESS, node.last_error
        seen.append(entities(node))
        assert node.trigger_activate() == SUCCESS, node.last_error
        rig.spin(0.1)
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
        assert entities(node) == bare
        rig.spin(0.1)
    assert seen[0] == seen[1]
    assert len(seen[0]['publishers']) > len(bare['publishers'])


def test_a_refused_configuration_leaves_nothing_behind(rig):
    node = rig.add(PolicyNode, 'widowx', start=False)  # untrained weights are not allowed
    bare = entities(node)
    assert not node.start()
    assert entities(node) == bare


def test_services_of_the_life_cycle_and_the_clock_stay(rig):
    node = rig.add(MonitorNode, 'widowx', start=False)
    kept = NodeEntities(node)
    before = entities(node)
    node.create_service(Trigger, 'mine', lambda request, response: response)
    node.create_subscription(String, 'word', lambda msg: None, 1)
    node.create_lifecycle_publisher(String, 'answer', 1)
    node.create_timer(1.0, lambda: None)
    node.create_client(Trigger, 'yours')
    node.create_subscription(Clock, '/clock', lambda msg: None, 1)
    kept.destroy_others()
    after = entities(node)
    assert after.pop('subscriptions') == sorted([*before.pop('subscriptions'), '/clock'])
    assert after == before
