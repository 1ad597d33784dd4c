"""The RViz view shows what the graph really publishes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy
from rclpy.qos import HistoryPolicy
from rclpy.qos import LivelinessPolicy
from rclpy.qos import QoSCompatibility
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.qos import qos_check_compatible
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.paths import config_directory
from univla_ros.frames import body_transforms
from univla_ros.frames import fixed_transforms
from univla_ros.frames import robot_description
from univla_ros.graph import build_graph
from univla_ros.nodes.monitor_node import MonitorNode

VIEW = config_directory() / 'rviz' / 'univla.rviz'
MANAGER = yaml.safe_load(VIEW.read_text())['Visualization Manager']
# Source: plugins_description.xml of rviz_default_plugins 14.1 (Jazzy); beside each display the
# message type its class subscribes to.
DISPLAYS = {
    'rviz_default_plugins/Grid': None,
    'rviz_default_plugins/TF': None,
    'rviz_default_plugins/RobotModel': 'std_msgs/msg/String',
    'rviz_default_plugins/MarkerArray': 'visualization_msgs/msg/MarkerArray',
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
}
VIEWS = {
    f'rviz_default_plugins/{name}'
    for name in ('Orbit', 'TopDownOrtho', 'XYOrbit', 'FPS', 'ThirdPersonFollower')
}
TOOLS = {
    f'rviz_default_plugins/{name}'
    for name in ('MoveCamera', 'Interact', 'Select', 'FocusCamera', 'Measure')
}


def topic_of(display: dict) -> dict | None:
    """The topic group of a display; RobotModel calls it otherwise than the rest."""
    return display.get('Topic', display.get('Description Topic'))


WITH_TOPIC = [display for display in MANAGER['Displays'] if topic_of(display)]


def profile(topic: dict) -> QoSProfile:
    """Quality of service that RViz asks for, from the words of its file."""

    def policy(kind: type, key: str) -> object:
        return kind[topic[key].upper().replace(' ', '_')]

    return QoSProfile(
        depth=topic['Depth'],
        history=policy(HistoryPolicy, 'History Policy'),
        reliability=policy(ReliabilityPolicy, 'Reliability Policy'),
        durability=policy(DurabilityPolicy, 'Durability Policy'),
        liveliness=LivelinessPolicy.AUTOMATIC,
    )


def rviz_arguments(robot: str) -> tuple[str, ...]:
    """Command line that the graph gives RViz."""
    nodes = build_graph(robot, {'rviz': 'true'})
    return next(node.arguments for node in nodes if node.package == 'rviz2')


def test_every_class_is_one_of_rviz():
    assert {display['Class'] for display in MANAGER['Displays']} == set(DISPLAYS)
    assert {tool['Class'] for tool in MANAGER['Tools']} <= TOOLS
    views = [MANAGER['Views']['Current'], *MANAGER['Views']['Saved']]
    assert {view['Class'] for view in views} <= VIEWS


def test_what_needs_a_topic_has_one_and_everything_is_on():
    for display in MANAGER['Displays']:
        assert (topic_of(display) is not None) == (DISPLAYS[display['Class']] is not None)
        assert display['Enabled'] and display['Value']


@pytest.mark.parametrize('robot', ['widowx', 'mobile_base'])
def test_the_monitor_publishes_what_rviz_shows(rig, robot):
    """Names, types and quality of service are those of a running node, not of a list."""
    node = rig.add(MonitorNode, robot)
    for display in WITH_TOPIC:
        topic = topic_of(display)
        assert not topic['Value'].startswith('/'), 'must resolve in the namespace of the robot'
        name = f'{node.get_namespace()}/{topic["Value"]}'
        assert rig.until(lambda name=name: rig.probe.get_publishers_info_by_topic(name))
        (publisher,) = rig.probe.get_publishers_info_by_topic(name)
        assert (publisher.node_name, publisher.node_namespace) == (
            node.get_name(),
            node.get_namespace(),
        )
        assert publisher.topic_type == DISPLAYS[display['Class']]
        compatibility, reason = qos_check_compatible(publisher.qos_profile, profile(topic))
        assert compatibility == QoSCompatibility.OK, reason


def test_a_late_rviz_still_gets_the_body():
    """The description is published once: a volatile subscriber that comes later has no body."""
    (body,) = [d for d in MANAGER['Displays'] if d['Class'].endswith('/RobotModel')]
    assert profile(topic_of(body)).durability == DurabilityPolicy.TRANSIENT_LOCAL


@pytest.mark.parametrize('robot', robot_names())
def test_rviz_opens_this_view_from_the_root_of_the_body(robot):
    words = rviz_arguments(robot)
    assert words[words.index('-d') + 1] == str(VIEW)
    frame = words[words.index('-f') + 1]
    model = ElementTree.fromstring(robot_description(load_embodiment(robot)))
    children = {joint.find('child').get('link') for joint in model.iter('joint')}
    roots = [link.get('name') for link in model.iter('link') if link.get('name') not in children]
    assert roots == [frame]


@pytest.mark.parametrize('robot', [n for n in robot_names() if load_embodiment(n).kind == 'arm'])
def test_every_link_of_the_body_has_a_transform_of_the_same_name(robot):
    """RViz finds a link by its frame; the view gives no prefix, so the names must be whole."""
    embodiment = load_embodiment(robot)
    transforms = body_transforms(embodiment, embodiment.home, 1.0, Time())
    transforms += fixed_transforms(embodiment, Time())
    model = ElementTree.fromstring(robot_description(embodiment))
    parent_of = {
        joint.find('child').get('link'): joint.find('parent') for joint in model.iter('joint')
    }
    assert {t.child_frame_id: t.header.frame_id for t in transforms} == {
        child: parent.get('link') for child, parent in parent_of.items()
    }
    (body,) = [d for d in MANAGER['Displays'] if d['Class'].endswith('/RobotModel')]
    assert body['TF Prefix'] == ''
