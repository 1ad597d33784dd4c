"""Decoder nodes on a real executor: one latent action, one chunk per robot."""

from __future__ import annotations

import dataclasses
import shutil
import time

import numpy as np
import pytest
import torch
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.latent_action import LatentAction
from univla_decoders.heads import HeadConfig
from univla_decoders.heads import ProprioceptionHead
from univla_decoders.map_block import MapBlockConfig
from univla_models.policy import load_policy
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.conversions import header_to_msg
from univla_ros.conversions import latent_action_to_msg
from univla_ros.nodes.decoder_node import DecoderNode
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import Heartbeat
from univla_msgs.msg import LatentAction as LatentActionMsg

PICTURE = np.random.default_rng(1).integers(0, 255, (480, 640, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def latent():
    """A real plan of the untrained policy."""
    policy = load_policy('univla', ensure_checkpoint('untrained'), device='cpu')
    planned = policy.plan(PICTURE, 'pick up the red cube')
    return dataclasses.replace(planned, stamp=100.0, sequence=7, plan_start=100.1, plan_stop=100.2)


def decoded(rig, robot: str, latent: LatentAction, **values):
    """The chunk that a robot's decoder makes of a latent action."""
    node = rig.add(DecoderNode, robot, allow_untrained=True, **values)
    chunks = rig.record(ActionChunkMsg, f'/{robot}/action_chunk', PLAN)
    publisher = rig.publisher(LatentActionMsg, f'/{robot}/latent_action', PLAN)
    assert rig.until(lambda: node.count_subscribers(f'/{robot}/action_chunk'))
    publisher.publish(latent_action_to_msg(latent))
    rig.until(lambda: chunks, 3.0)
    return node, chunks


@pytest.mark.parametrize('robot', robot_names())
def test_every_robot_decodes_a_plan(rig, robot, latent):
    """Names, size, times and limits of the chunk are those of the robot."""
    node, chunks = decoded(rig, robot, latent)
    chunk = action_chunk_from_msg(chunks[0])
    chunk.check(robot)
    embodiment = load_embodiment(robot)
    assert chunk.names == embodiment.action_names(chunk.action_space)
    assert chunk.horizon == node._declaration.horizon
    assert (chunk.stamp, chunk.latent_sequence) == (100.0, 7)
    assert chunk.plan_stop == pytest.approx(100.2)
    assert chunk.instruction == 'pick up the red cube'
    if embodiment.gripper:
        assert ((chunk.data[:, -1] >= 0.0) & (chunk.data[:, -1] <= 1.0)).all()


def test_one_latent_action_feeds_two_robots(rig, latent):
    """The point of a latent action: two bodies follow one message."""
    chunks = {}
    for robot in ('widowx', 'airbot'):
        rig.add(DecoderNode, robot, allow_untrained=True)
        chunks[robot] = rig.record(ActionChunkMsg, f'/{robot}/action_chunk', PLAN)
    publishers = [
        rig.publisher(LatentActionMsg, f'/{robot}/latent_action', PLAN) for robot in chunks
    ]
    msg = latent_action_to_msg(latent)
    rig.until(lambda: all(rig.probe.count_publishers(f'/{r}/action_chunk') for r in chunks))
    for publisher in publishers:
        publisher.publish(msg)
    assert rig.until(lambda: all(chunks.values()))
    assert chunks['widowx'][0].action_space == 'eef_delta'
    assert chunks['airbot'][0].action_space == 'joint_delta'


def told(rig, robot='widowx'):
    """The beats of a robot's decoder."""
    return rig.record(Heartbeat, f'/{robot}/decoder/heartbeat', SENSOR)


def says(rig, beats, fault) -> bool:
    """Whether the newest beat is of this fault, empty for a healthy one."""
    return rig.until(lambda: beats and beats[-1].fault == fault, 3.0)


def status(node):
    node.diagnostics.publish()
    return node.diagnostics._statuses[f'decoder/{node.config.robot}']


@pytest.mark.parametrize(
    'spoil',
    [
        {'codebook': 'another'},
        {'latent': np.full((4, 64), np.nan, dtype=np.float32)},
        {'latent': np.zeros((4, 3), dtype=np.float32)},
        {'visual': np.zeros((1, 3), dtype=np.float32)},
        {'codes': np.arange(3, dtype=np.int32)},
        {'codes': np.array([0, 1, 2, 16], dtype=np.int32)},
        {'codes': np.array([0, 1, -1, 2], dtype=np.int32)},
    ],
    ids=['codebook', 'nan', 'latent_dim', 'visual_dim', 'shapes', 'too_high', 'negative'],
)
def test_a_latent_action_that_does_not_fit_is_dropped(rig, latent, spoil):
    """No chunk, one more on the counter, and unhealthy until a good one is decoded."""
    beats = told(rig)
    node, chunks = decoded(rig, 'widowx', dataclasses.replace(latent, **spoil))
    assert chunks == []
    assert node._dropped == {'bad_latent': 1}
    assert says(rig, beats, 'bad_latent')
    assert 'latent action 7 was dropped' in beats[-1].reason
    told_so = status(node)
    assert told_so.level == DiagnosticStatus.ERROR
    assert told_so.values[1].value == '1'
    publisher = rig.publisher(LatentActionMsg, '/widowx/latent_action', PLAN)
    publisher.publish(latent_action_to_msg(latent))
    assert rig.until(lambda: chunks)
    assert says(rig, beats, '')
    assert status(node).level == DiagnosticStatus.OK


def test_what_cannot_be_decoded_is_an_error_of_the_decoder(rig, latent):
    """Finite values that overflow inside the network."""
    beats = told(rig)
    huge = dataclasses.replace(latent, latent=np.full_like(latent.latent, 3e38))
    node, chunks = decoded(rig, 'widowx', huge)
    assert chunks == [] and node._dropped == {'decoder_error': 1}
    assert says(rig, beats, 'decoder_error')


def test_a_chunk_that_becomes_infinite_in_robot_units_is_refused(rig, latent):
    beats = told(rig)
    node, chunks = decoded(rig, 'widowx', latent)
    assert rig.until(lambda: chunks)
    node._decoder.to_robot_units = lambda data, body: np.full_like(data, np.inf)
    publisher = rig.publisher(LatentActionMsg, '/widowx/latent_action', PLAN)
    publisher.publish(latent_action_to_msg(latent))
    assert says(rig, beats, 'decoder_error')
    assert len(chunks) == 1 and 'dataset_statistics.json' in beats[-1].reason


def test_decoding_that_hangs_is_told_while_it_lasts(rig, latent):
    beats = told(rig)
    node, chunks = decoded(rig, 'widowx', latent)
    assert rig.until(lambda: chunks)
    decode, said = node._decoder.to_robot_units, []

    def slowly(data, body):
        time.sleep(0.6)
        said.append(node._heartbeat.health.name)
        return decode(data, body)

    node._decoder.to_robot_units = slowly
    publisher = rig.publisher(LatentActionMsg, '/widowx/latent_action', PLAN)
    publisher.publish(latent_action_to_msg(latent))
    assert rig.until(lambda: said)
    assert said == ['decoder_error']
    assert says(rig, beats, '')


def proprioceptive_decoder(folder, latent_dim):
    """A random head of the kind that also reads where the WidowX is."""
    names = load_embodiment('widowx').action_names('joint_position')
    pool = MapBlockConfig(input_dim=latent_dim, embed_dim=8, num_heads=2, hidden_dim=16)
    torch.manual_seed(0)
    size = {'horizon': 4, 'action_dim': len(names), 'proprioception_dim': len(names)}
    head = ProprioceptionHead(HeadConfig(kind='proprioception', pool=pool, **size))
    folder.mkdir()
    torch.save(head.state_dict(), folder / 'action_decoder.pt')
    declaration = {
        'head': 'proprioception',
        'action_space': 'joint_position',
        'names': list(names),
        'step_duration_s': 0.1,
        'num_heads': 2,
        'normalisation': 'none',
        'gripper': 'open_positive_unit',
        'robot': 'widowx',
        **size,
    }
    (folder / 'decoder.yaml').write_text(yaml.safe_dump(declaration))
    return folder


def test_a_head_without_its_joint_states_says_so_until_they_come(rig, latent, tmp_path):
    """Nothing stands in for the missing proprioception."""
    folder = proprioceptive_decoder(tmp_path / 'decoder', latent.latent.shape[1])
    beats = told(rig)
    node, chunks = decoded(rig, 'widowx', latent, decoder=str(folder))
    assert chunks == [] and node._dropped == {'no_proprioception': 1}
    assert says(rig, beats, 'no_proprioception')
    assert 'is the driver alive?' in beats[-1].reason
    states = rig.publisher(JointState, '/wx250s/joint_states')
    plans = rig.publisher(LatentActionMsg, '/widowx/latent_action', PLAN)
    names = [*load_embodiment('widowx').axis_names, 'left_finger']
    msg = JointState(name=names, position=[*load_embodiment('widowx').home, 0.03])
    msg.header = header_to_msg(rig.now())
    states.publish(msg)
    assert rig.until(lambda: node._states)
    plans.publish(latent_action_to_msg(dataclasses.replace(latent, stamp=rig.now())))
    assert rig.until(lambda: chunks)
    assert says(rig, beats, '')


def test_who_chose_the_codes_is_passed_on(rig, latent):
    for source in ('policy', 'teleop'):
        _, chunks = decoded(rig, 'widowx', dataclasses.replace(latent, source=source))
        assert chunks[0].source == source


def test_the_heart_beats_while_active_and_says_good_bye(rig):
    beats = told(rig)
    node = rig.add(DecoderNode, 'widowx', allow_untrained=True)
    assert rig.until(lambda: len(beats) > 20)
    assert beats[-1].healthy and beats[-1].reason == 'waiting for a latent action'
    assert status(node).level == DiagnosticStatus.OK
    node.trigger_deactivate()
    assert says(rig, beats, 'decoder_silent')
    count = len(beats)
    rig.spin(0.2)
    assert len(beats) == count
    assert status(node).level == DiagnosticStatus.STALE


def test_diagnostics_hold_latency_and_rate(rig, latent):
    node, chunks = decoded(rig, 'widowx', latent)
    assert rig.until(lambda: chunks)
    values = {v.key: v.value for v in status(node).values}
    assert 0.0 < float(values['latency median [s]']) <= float(values['latency p95 [s]'])
    assert values['latency budget [s]'] == '0.05' and values['chunks'] == '1'


def copied_decoder(tmp_path, source, **changes):
    """A copy of a decoder with another declaration."""
    folder = tmp_path / 'decoder'
    shutil.copytree(ensure_checkpoint('untrained') / 'decoders' / source, folder)
    declaration = yaml.safe_load((folder / 'decoder.yaml').read_text())
    (folder / 'decoder.yaml').write_text(yaml.safe_dump({**declaration, **changes}))
    return folder


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'robot': ''}, 'the decoder moves'),
        ({}, "made for robot 'airbot', not 'widowx'"),
    ],
)
def test_a_decoder_of_another_robot_refuses(rig, tmp_path, changes, complaint):
    """Joint increments of one arm mean nothing to another."""
    folder = copied_decoder(tmp_path, 'airbot', **changes)
    node = rig.add(DecoderNode, 'widowx', start=False, allow_untrained=True, decoder=str(folder))
    assert not node.start()
    assert complaint in node.last_error


def test_an_action_space_the_robot_lacks_refuses(rig, tmp_path):
    """A base takes twists and nothing else."""
    folder = copied_decoder(tmp_path, 'widowx', robot='')
    node = rig.add(
        DecoderNode, 'mobile_base', start=False, allow_untrained=True, decoder=str(folder)
    )
    assert not node.start()
    assert "takes base_twist, not 'eef_delta'" in node.last_error


def test_an_untrained_decoder_does_not_move_a_real_robot(rig):
    """The default refuses; only simulation allows it."""
    node = rig.add(DecoderNode, 'widowx', start=False)
    assert not node.start()
    assert 'untrained' in node.last_error


def test_a_checkpoint_without_this_robot_lists_what_it_has(rig, tmp_path):
    """The message names the robots that have a decoder."""
    folder = tmp_path / 'checkpoint'
    shutil.copytree(ensure_checkpoint('untrained'), folder)
    shutil.rmtree(folder / 'decoders' / 'franka')
    (folder / 'action_decoder.pt').unlink(missing_ok=True)
    node = rig.add(
        DecoderNode, 'franka', start=False, allow_untrained=True, checkpoint=str(folder)
    )
    assert not node.start()
    assert "no decoder for robot 'franka'" in node.last_error
    assert 'widowx' in node.last_error


def test_ensembled_chunks_average_what_overlaps(rig, latent):
    """The same plan twice, one step apart: the average of a chunk and itself shifted."""
    node, chunks = decoded(rig, 'mobile_base', latent, temporal_ensembling='always')
    step = node._declaration.step_duration_s
    publisher = rig.publisher(LatentActionMsg, '/mobile_base/latent_action', PLAN)
    publisher.publish(latent_action_to_msg(dataclasses.replace(latent, stamp=100.0 + step)))
    assert rig.until(lambda: len(chunks) == 2)
    first, second = (action_chunk_from_msg(m).data for m in chunks)
    weight = np.exp(-0.1)
    expected = (first[:-1] + weight * first[1:]) / (1.0 + weight)
    assert np.allclose(second[:-1], expected, atol=1e-6)
