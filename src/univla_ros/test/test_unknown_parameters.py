"""A misspelt key is named, with the one that was meant."""

from __future__ import annotations

import pytest
import yaml
from univla_ros.nodes.policy_node import PolicyNode
from univla_ros.unknown_parameters import unknown_parameters


@pytest.fixture
def node(rig, tmp_path):
    """A policy node that was given a parameter file."""

    def make(section, values):
        path = tmp_path / 'mine.yaml'
        path.write_text(yaml.safe_dump({section: {'ros__parameters': values}}))
        made = PolicyNode(namespace='/widowx', cli_args=['--ros-args', '--params-file', str(path)])
        rig.nodes.append(made)
        rig.executor.add_node(made)
        return made

    return make


@pytest.mark.parametrize('section', ['/**', '/widowx/policy_node'])
def test_a_misspelt_key_is_named_with_the_nearest_known_one(node, section):
    made = node(section, {'plan_rate': 2.0, 'seed': 3})
    (sentence,) = unknown_parameters(made)
    assert "'plan_rate' is unknown to policy_node" in sentence
    assert 'did you mean plan_rate_hz?' in sentence
    assert made.config.seed == 3


def test_a_key_like_no_other_lists_what_there_is(node):
    (sentence,) = unknown_parameters(node('/**', {'xyzzy': 1}))
    assert 'plan_rate_hz' in sentence and 'latency_budget_s' in sentence


def test_keys_of_other_nodes_are_no_mistake_in_a_section_for_all(node):
    """The controller has a rate, the simulation a backend, the decoder a declaration."""
    values = {'control_rate_hz': 60.0, 'render_backend': 'ray', 'declaration': ''}
    assert unknown_parameters(node('/**', values)) == []


def test_a_known_key_and_qos_overrides_pass(node):
    values = {'use_sim_time': True, 'plan_rate_hz': 2.0, 'qos_overrides./tf.publisher.depth': 3}
    assert unknown_parameters(node('/**', values)) == []
