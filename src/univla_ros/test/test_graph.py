"""Laws of the graph: which nodes run, under which names, with which parameters."""

from __future__ import annotations

import dataclasses
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_topic_name import validate_topic_name
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_core.parameters import config_from_mapping
from univla_core.parameters import default_of
from univla_core.parameters import load_config
from univla_core.paths import config_directory
from univla_ros.drivers.driver import driver_topic
from univla_ros.graph import FOLLOWER_CAMERA_HZ
from univla_ros.graph import NodeDescription
from univla_ros.graph import build_graph
from univla_ros.graph import build_together
from univla_ros.launch_arguments import launch_arguments
from univla_ros.launch_arguments import resolve_arguments
from univla_ros.launch_arguments import together_arguments
from univla_ros.nodes.controller_node import ControllerConfig
from univla_ros.nodes.controller_node import with_driver_namespace
from univla_ros.nodes.decoder_node import DecoderConfig
from univla_ros.nodes.monitor_node import MonitorConfig
from univla_ros.nodes.policy_node import PolicyConfig
from univla_ros.nodes.recorder_node import RecorderConfig
from univla_ros.nodes.sim_node import SimConfig

ROBOTS = robot_names()
WIDOWX = launch_arguments('widowx')
POLICIES = sorted((config_directory() / 'policies').glob('*.yaml'))
CONFIGS = {
    'policy_node': PolicyConfig,
    'decoder_node': DecoderConfig,
    'controller_node': ControllerConfig,
    'monitor_node': MonitorConfig,
    'recorder_node': RecorderConfig,
    'sim_node': SimConfig,
}
# Every node has these two beside its own configuration.
SHARED = {'autostart', 'use_sim_time'}


def by_name(nodes: tuple[NodeDescription, ...]) -> dict[str, NodeDescription]:
    """The nodes of one robot by executable, each of which runs once."""
    found = {node.executable: node for node in nodes}
    assert len(found) == len(nodes)
    return found


def graph(robot: str, **given: str) -> dict[str, NodeDescription]:
    return by_name(build_graph(robot, given))


def together(*robots: str, **given: str) -> dict[str, dict[str, NodeDescription]]:
    """The nodes of several robots, by robot and executable."""
    nodes = build_together({'robots': ','.join(robots), **given})
    assert {node.namespace for node in nodes} == {f'/{robot}' for robot in robots}
    return {r: by_name(tuple(n for n in nodes if n.namespace == f'/{r}')) for r in robots}


def changed(before: dict, after: dict, attribute: str) -> set[str]:
    """Nodes of both graphs whose `attribute` differs; everything else must be the same."""
    names = set()
    for name in before.keys() & after.keys():
        value = getattr(after[name], attribute)
        assert dataclasses.replace(before[name], **{attribute: value}) == after[name]
        if getattr(before[name], attribute) != value:
            names.add(name)
    return names


@pytest.mark.parametrize('robot', ROBOTS)
def test_a_robot_has_one_node_of_each_kind(robot):
    """Above all one controller: it is the only publisher of driver commands."""
    assert set(graph(robot)) == {'policy_node', 'decoder_node', 'controller_node', 'monitor_node'}
    assert set(graph(robot, monitor='false')) == set(graph(robot)) - {'monitor_node'}
    assert set(graph(robot, rviz='true')) == set(graph(robot)) | {'rviz2'}


@pytest.mark.parametrize(
    'robot, given, words',
    [
        ('unicorn', {}, ('unicorn', *ROBOTS)),
        ('widowx', {'speed': '2'}, ('speed', 'namespace', 'checkpoint')),
        ('widowx', {'sim': 'maybe'}, ('sim:=maybe', 'true, false')),
        ('widowx', {'log_level': 'loud'}, ('log_level:=loud', 'debug, info, warn, error')),
        ('widowx', {'policy': 'nope'}, ('nope', *(path.stem for path in POLICIES))),
        ('widowx', {'seed': 'many'}, ('seed:=many', 'whole number')),
        ('widowx', {'seed': '-1'}, ('seed:=-1', 'from 0')),
        ('widowx', {'device': 'gpu'}, ('device:=gpu', 'cuda:<n>')),
        ('widowx', {'namespace': '/7th'}, ('namespace:=/7th', '/lab/widowx')),
        ('widowx', {'camera_primary_topic': 'a b'}, ('camera_primary_topic:=a b', 'topic')),
        ('widowx', {'params_file': '/no/such.yaml'}, ('/no/such.yaml', 'does not exist')),
        ('widowx', {'sim': 'true', 'image_transport': 'compressed'}, ('sim:=true', 'raw')),
    ],
)
def test_what_cannot_be_meant_is_refused_and_the_known_is_named(robot, given, words):
    with pytest.raises(ConfigError) as error:
        build_graph(robot, given)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    'given, words',
    [
        ({'robots': 'widowx,unicorn'}, ('unicorn', 'franka')),
        ({'robots': 'widowx,widowx'}, ('different',)),
        ({'robots': ' , '}, ('robots:=',)),
        ({'namespace': '/all'}, ('namespace', 'robots')),
    ],
)
def test_together_refuses_what_cannot_be_meant(given, words):
    with pytest.raises(ConfigError) as error:
        build_together(given)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    'text',
    ['plan_rate_hz: 2.0', '/**:\n  plan_rate_hz: 2.0', '/**:\n  ros__parameters: 3', '/**:'],
)
def test_a_parameter_file_without_sections_is_refused(tmp_path, text):
    """The middleware would refuse it too, but from within each node and in its own words."""
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match='ros__parameters'):
        graph('widowx', params_file=str(path))


@pytest.mark.parametrize('key', ['/**', '/widowx/policy_node', 'widowx'])
def test_the_users_file_comes_last_and_to_every_node(tmp_path, key):
    path = tmp_path / 'mine.yaml'
    section = {'ros__parameters': {'seed': 3}}
    path.write_text(
        yaml.safe_dump({key: section if key != 'widowx' else {'policy_node': section}})
    )
    for node in graph('widowx', sim='true', params_file=str(path)).values():
        assert node.override_files == (str(path),)
        assert str(path) not in node.parameter_files


def accepted(argument: str, value: str) -> bool:
    """Whether the launch file takes this value."""
    try:
        resolve_arguments(WIDOWX, {argument: value})
    except ConfigError:
        return False
    return True


@given(name=st.text(alphabet='ab1_/~{} -é', max_size=8))
def test_a_namespace_is_accepted_only_if_ros_accepts_it(name):
    if accepted('namespace', name):
        assert validate_namespace(f'/{name.strip("/")}')


@given(name=st.text(alphabet='ab1_/~{} -é', min_size=1, max_size=8))
def test_a_camera_topic_is_accepted_if_ros_accepts_it_and_it_means_one_topic(name):
    """Private names (~) would mean another topic in each node."""
    try:
        valid = validate_topic_name(name) and not set(name) & set('~{}')
    except InvalidTopicNameException:
        valid = False
    assert accepted('camera_primary_topic', name) == valid


@pytest.mark.parametrize('name', ['', '/', 'lab', '/lab/left_2', 'lab/left/'])
def test_every_way_to_write_a_namespace_is_accepted(name):
    assert accepted('namespace', name)
    assert accepted('driver_namespace', name)


@pytest.mark.parametrize('robot', ROBOTS)
def test_simulation_adds_the_sim_node_and_the_permissions_that_go_with_it(robot):
    real, simulated = graph(robot), graph(robot, sim='true')
    assert set(simulated) - set(real) == {'sim_node'}
    assert set(real) <= set(simulated)
    changed(real, simulated, 'parameters')
    differing = {
        (name, key, real[name].parameters[key], simulated[name].parameters[key])
        for name in real
        for key in real[name].parameters.keys() | simulated[name].parameters.keys()
        if real[name].parameters.get(key) != simulated[name].parameters.get(key)
    }
    assert differing == {
        ('policy_node', 'allow_untrained', False, True),
        ('decoder_node', 'allow_untrained', False, True),
        ('monitor_node', 'simulated_camera', False, True),
        ('monitor_node', 'publish_tf', False, True),
    }


@pytest.mark.parametrize('robot', ROBOTS)
def test_the_namespace_changes_the_namespace_and_nothing_else(robot):
    before, after = graph(robot, sim='true'), graph(robot, sim='true', namespace='lab/left/')
    assert changed(before, after, 'namespace') == set(before)
    assert {node.namespace for node in after.values()} == {'/lab/left'}
    assert after['policy_node'].name == '/lab/left/policy_node'
    assert after['policy_node'].log_rule == 'lab.left.policy_node:=info'


@pytest.mark.parametrize('robot', ROBOTS)
def test_the_drivers_namespace_reaches_all_who_hear_or_drive_the_robot(robot):
    before, after = graph(robot, sim='true'), graph(robot, sim='true', driver_namespace='/left')
    moved = {
        name
        for name in after
        if (before[name].remappings, before[name].parameters)
        != (after[name].remappings, after[name].parameters)
    }
    assert moved == {'decoder_node', 'controller_node', 'monitor_node', 'sim_node'}
    for name in moved:
        ((_, topic),) = after[name].remappings
        assert topic.startswith('/left/')
    told = {name for name in after if after[name].parameters.get('driver_namespace') == '/left'}
    assert told == {'controller_node', 'sim_node'}


@pytest.mark.parametrize('robot', ROBOTS)
@pytest.mark.parametrize('driver_namespace', ['', '/left'])
def test_nodes_hear_the_state_where_the_driver_says_it(robot, driver_namespace):
    """Simulated or real: the simulated driver publishes under `driver_topic`, as a real one."""
    embodiment = with_driver_namespace(load_embodiment(robot), driver_namespace)
    arm = embodiment.kind == 'arm'
    expected = (
        ('joint_states', driver_topic(embodiment, 'joint_states'))
        if arm
        else ('odom', driver_topic(embodiment, 'odometry_topic'))
    )
    for sim in ('true', 'false'):
        nodes = graph(robot, sim=sim, driver_namespace=driver_namespace)
        for name in ('decoder_node', 'controller_node', 'monitor_node'):
            assert nodes[name].remappings == (expected,)


@pytest.mark.parametrize('robot', ROBOTS)
def test_a_camera_topic_reaches_all_who_see_or_show(robot):
    before = graph(robot, sim='true')
    for camera in load_embodiment(robot).cameras:
        given = {f'camera_{camera}_topic': '/realsense/color/image_raw'}
        after = graph(robot, sim='true', **given)
        seeing = changed(before, after, 'remappings')
        assert seeing == {'policy_node', 'monitor_node', 'sim_node'}
        for name in seeing:
            assert set(after[name].remappings) - set(before[name].remappings) == {
                (f'camera/{camera}/image_raw', '/realsense/color/image_raw'),
                (
                    f'camera/{camera}/image_raw/compressed',
                    '/realsense/color/image_raw/compressed',
                ),
            }


@pytest.mark.parametrize('robot', ROBOTS)
@pytest.mark.parametrize('sim', ['true', 'false'])
def test_every_parameter_is_declared_with_its_type_and_range(robot, sim):
    """A misspelt parameter would be passed over in silence, one of another type kills the node."""
    nodes = graph(robot, sim=sim, record='true', instruction='lift the cup')
    assert 'recorder_node' in nodes
    for name, node in nodes.items():
        own = {key: value for key, value in node.parameters.items() if key not in SHARED}
        config_from_mapping(CONFIGS[name], own, name)
        defaults = {f.name: default_of(f) for f in dataclasses.fields(CONFIGS[name])}
        for key, value in own.items():
            assert type(value) is type(defaults[key]), f'{name}: {key}'
        for key in SHARED:
            assert type(node.parameters[key]) is bool
        assert not any(isinstance(v, float) and not math.isfinite(v) for v in own.values())


@pytest.mark.parametrize('path', POLICIES, ids=lambda path: path.stem)
def test_a_policy_file_sets_declared_parameters_of_its_own_policy(path):
    assert load_config(PolicyConfig, path).policy == path.stem
    node = graph('widowx', policy=path.stem)['policy_node']
    assert node.parameter_files == (str(path),)
    assert node.parameters['policy'] == path.stem


@pytest.mark.parametrize('arguments', [*map(launch_arguments, ROBOTS), together_arguments()])
def test_defaults_are_possible_values_and_descriptions_stand_alone(arguments):
    assert set(resolve_arguments(arguments, {})) == {a.name for a in arguments}
    assert all(argument.description for argument in arguments)


def test_together_one_policy_drives_every_robot():
    robots = together('franka', 'widowx', 'mobile_base')
    assert [robot for robot in robots if 'policy_node' in robots[robot]] == ['franka']
    for nodes in robots.values():
        assert {'decoder_node', 'controller_node', 'monitor_node'} <= set(nodes)


def test_together_followers_hear_plan_heartbeat_and_instruction_of_the_leader():
    """A latent code picked for the leader moves them all; other inputs stay a robot's own."""
    robots = together('franka', 'widowx', sim='true')
    shared = ('latent_action', 'instruction', 'policy/heartbeat', 'teleop/latent_code')
    leading = {(name, f'/franka/{name}') for name in shared}
    assert not any(leading & set(node.remappings) for node in robots['franka'].values())
    for node in robots['widowx'].values():
        assert leading <= set(node.remappings)
        assert {n for n, _ in node.remappings if 'teleop' in n} == {'teleop/latent_code'}


def test_together_changes_nothing_else_in_a_robot():
    """A robot that follows is the robot alone, without a policy and with the leader's plan.

    Only its camera is slower, as nobody plans on it, and no simulation has real-time priority.
    """
    alone, following = graph('widowx', sim='true'), together('franka', 'widowx', sim='true')
    del alone['policy_node']
    leader = graph('franka', sim='true')
    for nodes, changes in (
        (alone, {'camera_rate_hz': FOLLOWER_CAMERA_HZ, 'realtime_priority': 0}),
        (leader, {'realtime_priority': 0}),
    ):
        parameters = {**nodes['sim_node'].parameters, **changes}
        nodes['sim_node'] = dataclasses.replace(nodes['sim_node'], parameters=parameters)
    assert changed(alone, following['widowx'], 'remappings') == set(alone)
    assert changed(leader, following['franka'], 'remappings') == set()


def test_together_one_simulation_keeps_the_time():
    """Two publishers of /clock would throw everyone's time to and fro."""
    robots = together('franka', 'widowx', 'airbot', sim='true', use_sim_time='true')
    clocks = [r for r in robots if robots[r]['sim_node'].parameters['publish_clock']]
    assert clocks == ['franka']
    assert all(n.parameters['use_sim_time'] for nodes in robots.values() for n in nodes.values())


@pytest.mark.parametrize('policy', ['univla', 'uniact', 'unified_vla'])
def test_untrained_is_the_policys_own_checkpoint_for_all_its_nodes(policy):
    wanted = 'untrained' if policy == 'univla' else f'untrained-{policy}'
    for nodes in (
        build_graph('widowx', {'policy': policy, 'checkpoint': 'untrained'}),
        build_together({'policy': policy, 'checkpoint': 'untrained', 'robots': 'widowx,franka'}),
    ):
        named = [n.parameters['checkpoint'] for n in nodes if 'checkpoint' in n.parameters]
        assert len(named) >= 2 and set(named) == {wanted}
