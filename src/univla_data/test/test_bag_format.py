"""Episodes are bags that other tools open: rosbags, MCAP readers, and what `ros2 bag` needs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from rosbags.rosbag2 import Reader
from univla_data.message_types import typestore


def test_rosbags_reads_every_message(recorded):
    store = typestore()
    with Reader(recorded) as reader:
        counts = dict.fromkeys(reader.topics, 0)
        for connection, _, data in reader.messages():
            store.deserialize_cdr(data, connection.msgtype)
            counts[connection.topic] += 1
    assert counts == {
        '/widowx/episode': 1,
        '/widowx/instruction': 1,
        '/widowx/joint_states': 201,
        '/widowx/camera/primary/image_raw/compressed': 10,
        '/widowx/command': 121,
        '/widowx/action_chunk': 10,
        '/widowx/control_state': 10,
    }


def test_mcap_tools_read_messages_and_provenance(recorded):
    make_reader = pytest.importorskip('mcap.reader').make_reader
    with next(recorded.glob('*.mcap')).open('rb') as stream:
        reader = make_reader(stream)
        assert reader.get_header().profile == 'ros2'
        summary = reader.get_summary()
        kinds = {c.topic: summary.schemas[c.schema_id].name for c in summary.channels.values()}
        assert kinds['/widowx/control_state'] == 'univla_msgs/msg/ControlState'
        schema = next(s for s in summary.schemas.values() if s.name.endswith('ControlState'))
        assert schema.encoding == 'ros2msg' and b'chunk_sequence' in schema.data
        times = [msg.log_time for _, _, msg in reader.iter_messages()]
        assert times == sorted(times) and len(times) == summary.statistics.message_count
        record = next(r for r in reader.iter_metadata() if r.name == 'rosbag2')
    custom = yaml.safe_load(record.metadata['serialized_metadata'])['custom_data']
    assert custom['univla_robot'] == 'widowx' and json.loads(custom['univla_success']) is True


def test_metadata_has_what_ros2_bag_info_reads(recorded):
    """Fields and types of rosbag2's own metadata.yaml, version 9."""
    document = yaml.safe_load((recorded / 'metadata.yaml').read_text())
    facts = document['rosbag2_bagfile_information']
    assert facts['version'] == 9 and facts['storage_identifier'] == 'mcap'
    assert facts['relative_file_paths'] == ['first.mcap'] and (recorded / 'first.mcap').is_file()
    assert facts['duration']['nanoseconds'] == 2_000_000_000
    assert facts['starting_time']['nanoseconds_since_epoch'] == 1_000_000_000_000
    topics = {t['topic_metadata']['name']: t for t in facts['topics_with_message_count']}
    assert facts['message_count'] == sum(t['message_count'] for t in topics.values())
    latched = topics['/widowx/control_state']['topic_metadata']['offered_qos_profiles'][0]
    assert latched['durability'] == 'transient_local' and latched['reliability'] == 'reliable'
    for topic in topics.values():
        assert topic['topic_metadata']['type_description_hash'].startswith('RIHS01_')
        assert topic['topic_metadata']['serialization_format'] == 'cdr'


def test_our_message_types_are_the_ones_that_were_built():
    """With another type hash `ros2 bag play` would publish what no node hears."""
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    folders = [Path(prefix, 'share', 'univla_msgs', 'msg') for prefix in prefixes if prefix]
    folder = next((f for f in folders if list(f.glob('*.json'))), None)
    if folder is None:
        pytest.skip('univla_msgs is not built in this environment')
    built = {}
    for path in folder.glob('*.json'):
        for entry in json.loads(path.read_text())['type_hashes']:
            built[entry['type_name']] = entry['hash_string']
    ours = [kind for kind in typestore().fielddefs if kind.startswith('univla_msgs/')]
    assert len(ours) == 6
    for kind in ours:
        assert typestore().hash_rihs01(kind) == built[kind]
    for kind in ('std_msgs/msg/Header', 'builtin_interfaces/msg/Time'):
        assert typestore().hash_rihs01(kind) == built[kind]
