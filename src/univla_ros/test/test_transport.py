"""The controller's messages travel where nobody else holds a lock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from univla_core.paths import config_directory
from univla_ros.transport import udp_profile
from univla_ros.transport import without_shared_memory

PROFILES = 'FASTRTPS_DEFAULT_PROFILES_FILE'
SPACE = '{http://www.eprosima.com}'

#: Opens a node as the controller does, then says which shared memory of Fast DDS is open.
_OPEN_A_NODE = """
import sys
import rclpy
from univla_ros.transport import without_shared_memory

if sys.argv[1] == 'controller':
    leave = without_shared_memory()
    leave.__enter__()
rclpy.init()
node = rclpy.create_node('silent')
with open('/proc/self/maps') as maps:
    print(sum('/dev/shm/fastrtps' in line or '/dev/shm/fastdds' in line for line in maps))
node.destroy_node()
rclpy.shutdown()
"""


def texts(profile, tag):
    """The texts of all elements of this name."""
    return [element.text for element in ElementTree.fromstring(profile).iter(SPACE + tag)]


def test_the_profile_knows_one_transport_and_it_is_a_socket():
    """Built-in transports are off; what is named is UDP."""
    profile = udp_profile()
    assert texts(profile, 'type') == ['UDPv4']
    assert texts(profile, 'useBuiltinTransports') == ['false']
    assert texts(profile, 'address') == []


def test_discovery_on_this_machine_keeps_its_peers():
    """The range goes into the profile, as rmw_fastrtps would add shared memory to it."""
    given = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_STATIC_PEERS': '10.0.0.7;10.0.0.8'}
    with without_shared_memory(given) as reason:
        assert reason == ''
        assert given['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SYSTEM_DEFAULT'
        with open(given[PROFILES], encoding='utf-8') as file:
            assert texts(file.read(), 'address') == ['127.0.0.1', '10.0.0.7', '10.0.0.8']
        path = given[PROFILES]
    assert not os.path.exists(path)


def test_discovery_in_the_network_is_left_to_ros():
    """Peers and multicast are rmw_fastrtps' own there."""
    given = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET', 'ROS_STATIC_PEERS': '10.0.0.7'}
    with without_shared_memory(given):
        assert given['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SUBNET'
        with open(given[PROFILES], encoding='utf-8') as file:
            assert texts(file.read(), 'address') == []


def test_a_profile_of_the_user_is_kept_and_told(tmp_path):
    """Only the suite's own profile is replaced, wherever a copy of it lies."""
    own = tmp_path / 'copy.xml'
    shutil.copy(config_directory() / 'fastdds.xml', own)
    given = {PROFILES: str(own)}
    with without_shared_memory(given) as reason:
        assert reason == '' and given[PROFILES] != str(own)
    theirs = tmp_path / 'theirs.xml'
    theirs.write_text(udp_profile(['10.0.0.7']))
    given = {PROFILES: str(theirs)}
    with without_shared_memory(given) as reason:
        assert str(theirs) in reason and given == {PROFILES: str(theirs)}


def test_other_middleware_is_left_alone():
    """Only Fast DDS has these queues."""
    given = {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    with without_shared_memory(given) as reason:
        assert reason == '' and given == {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}


def test_a_controller_opens_no_shared_memory():
    """The very process is asked, beside one that was left as it is."""
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    opened = {}
    for who in 'controller', 'other':
        done = subprocess.run(
            [sys.executable, '-c', _OPEN_A_NODE, who],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        opened[who] = int(done.stdout.split()[-1])
    assert opened['controller'] == 0 < opened['other']
