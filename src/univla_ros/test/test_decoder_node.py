"""Decoder nodes on a real executor: one latent action, one chunk per robot."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import yaml
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.latent_action import LatentAction
from univla_models.policy import load_policy
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.conversions import latent_action_to_msg
from univla_ros.nodes.decoder_node import DecoderNode
from univla_ros.qos import PLAN

from univla_msgs.msg import ActionChunk as ActionChunkMsg
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


@pytest.mark.parametrize(
    'spoil',
    [
        {'codebook': 'another'},
        {'latent': np.full((4, 64), np.nan, dtype=np.float32)},
        {'latent': np.zeros((4, 3), dtype=np.float32)},
        {'codes': np.arange(3, dtype=np.int32)},
    ],
    ids=['codebook', 'nan', 'latent_dim', 'shapes'],
)
def test_a_latent_action_that_does_not_fit_is_dropped(rig, latent, spoil):
    """No chunk, one more on the counter, and the node lives on."""
    node, chunks = decoded(rig, 'widowx', dataclasses.replace(latent, **spoil))
    assert chunks == []
    assert node._dropped['latent action'] == 1
    node.diagnostics.publish()
    assert node.diagnostics._statuses['decoder/widowx'].values[1].value == '1'


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
    node, chunks = decoded(rig, 'mobile_base', latent, temporal_ensembling=True)
    step = node._declaration.step_duration_s
    publisher = rig.publisher(LatentActionMsg, '/mobile_base/latent_action', PLAN)
    publisher.publish(latent_action_to_msg(dataclasses.replace(latent, stamp=100.0 + step)))
    assert rig.until(lambda: len(chunks) == 2)
    first, second = (action_chunk_from_msg(m).data for m in chunks)
    weight = np.exp(-0.1)
    expected = (first[:-1] + weight * first[1:]) / (1.0 + weight)
    assert np.allclose(second[:-1], expected, atol=1e-6)
