"""A plan of action tokens on its way to robot units, by the same messages as every plan."""

import dataclasses
import json

import numpy as np
import pytest
import yaml
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.latent_action import LatentAction
from univla_models.fast_tokenizer import FastTokenizer
from univla_ros.conversions import latent_action_from_msg
from univla_ros.conversions import latent_action_to_msg
from univla_ros.nodes.decoder_node import DecoderNode
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR
from univla_ros.robot_decoders import load_decoder
from univla_ros.token_decoder import TokenDecoder

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import Heartbeat
from univla_msgs.msg import LatentAction as LatentActionMsg

HORIZON = 5
NAMES = ['x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper']
LOW, HIGH = [-0.02] * 6 + [0.0], [0.04] * 6 + [1.0]
DECLARED = {
    'head': 'tokens',
    'horizon': HORIZON,
    'action_dim': 7,
    'action_space': 'eef_delta',
    'names': NAMES,
    'step_duration_s': 0.2,
    'gripper': 'open_positive_unit',
    'gripper_binary': True,
}


@pytest.fixture(scope='module')
def fast():
    chunks = np.random.default_rng(0).uniform(-1.0, 1.0, (40, HORIZON, 7))
    return FastTokenizer.fit([*chunks, -np.ones((HORIZON, 7))], 50.0, 512)


@pytest.fixture
def folder(fast, tmp_path):
    fast.save(tmp_path)
    (tmp_path / 'decoder.yaml').write_text(yaml.safe_dump(DECLARED))
    stats = {'norm_stats': {'bridge_robot': {'q01': LOW, 'q99': HIGH}}}
    (tmp_path / 'norm_stats.json').write_text(json.dumps(stats))
    return tmp_path


def plan_of(fast, codes):
    return LatentAction(
        policy='unified_vla',
        codebook=fast.codebook,
        codes=np.array(codes, dtype=np.int32),
        probabilities=np.ones(len(codes), dtype=np.float32),
        latent=np.zeros((0, 8), dtype=np.float32),
        visual=np.zeros((0, 8), dtype=np.float32),
        instruction='reach',
    )


def test_tokens_travel_in_the_codes_and_come_out_in_robot_units(fast, folder):
    """-1 is q01, 1 is q99 and 0 their middle; the gripper opens above one half."""
    chunk = np.zeros((HORIZON, 7))
    chunk[:, 0], chunk[:, 1], chunk[:, 6] = -1.0, 1.0, 1.0
    plan = plan_of(fast, [*fast.encode(chunk), fast.end])
    heard = latent_action_from_msg(latent_action_to_msg(plan))
    assert heard.codes.tolist() == plan.codes.tolist()
    decoder = load_decoder(folder, load_embodiment('widowx'))
    assert isinstance(decoder, TokenDecoder)
    rows = decoder.decode(heard)
    assert rows.shape == (HORIZON, 7)
    np.testing.assert_allclose(rows[:, :3], [[-0.02, 0.04, 0.01]] * HORIZON, atol=1e-3)
    assert (rows[:, 6] == 1.0).all()


@pytest.mark.parametrize(
    ('codes', 'why'),
    [
        (lambda ids, end: [], 'no action token'),
        (lambda ids, end: [end], 'no action token'),
        (lambda ids, end: ids, 'overlong'),
        (lambda ids, end: [*ids, *ids, end], 'overlong'),
        (lambda ids, end: [*ids[:3], end], 'too short|malformed'),
        (lambda ids, end: [*ids, end, ids[0]], 'malformed'),
        (lambda ids, end: [end + 1], 'outside the codebook'),
    ],
)
def test_what_is_no_whole_sequence_never_becomes_motion(fast, folder, codes, why):
    """An `ActionError` is what `decoder_node` drops, counts and names in its heartbeat."""
    decoder = TokenDecoder.load(folder)
    ids = fast.encode(np.random.default_rng(1).uniform(-1.0, 1.0, (HORIZON, 7)))
    with pytest.raises(ActionError, match=why):
        decoder.decode(plan_of(fast, codes(ids, fast.end)))


def test_another_tokenizer_is_another_language(fast, folder):
    plan = plan_of(fast, [*fast.encode(np.zeros((HORIZON, 7))), fast.end])
    with pytest.raises(ActionError, match='codebook'):
        TokenDecoder.load(folder).decode(dataclasses.replace(plan, codebook='0123'))


def test_files_that_do_not_belong_together_are_refused(folder):
    for change, why in (
        ({'horizon': 10}, 'chunks of 10 steps'),
        ({'head': 'manipulation'}, 'correct the declaration'),
        ({'codebook': '0123'}, 'correct the declaration'),
        ({'unnorm_key': 'libero'}, 'bridge_robot'),
    ):
        (folder / 'decoder.yaml').write_text(yaml.safe_dump({**DECLARED, **change}))
        with pytest.raises(CheckpointError, match=why):
            TokenDecoder.load(folder)


def test_the_node_counts_what_is_refused_and_follows_what_is_whole(rig, fast, folder):
    """The heartbeat names the fault, so that the controller holds meanwhile."""
    node = rig.add(DecoderNode, 'widowx', decoder=str(folder))
    chunks = rig.record(ActionChunkMsg, '/widowx/action_chunk', PLAN)
    beats = rig.record(Heartbeat, '/widowx/decoder/heartbeat', SENSOR)
    publisher = rig.publisher(LatentActionMsg, '/widowx/latent_action', PLAN)
    assert rig.until(lambda: node.count_subscribers('/widowx/action_chunk'))
    publisher.publish(latent_action_to_msg(plan_of(fast, [fast.end])))
    assert rig.until(lambda: beats and beats[-1].fault == 'decoder_error', 3.0)
    assert 'no action token' in beats[-1].reason
    assert chunks == [] and node._dropped == {'decoder_error': 1}
    whole = [*fast.encode(np.zeros((HORIZON, 7))), fast.end]
    publisher.publish(latent_action_to_msg(plan_of(fast, whole)))
    assert rig.until(lambda: chunks, 3.0)
    assert len(chunks[0].names) == 7


def test_increments_may_begin_at_the_measured_robot(fast, folder):
    """Relative: the first row leads where its increment ends, seen from the measured pose."""
    body = load_embodiment('widowx')
    declared = {
        **DECLARED,
        'action_space': 'eef_pose',
        'relative': True,
        'robot': 'widowx',
        'proprioception_dim': 7,
    }
    (folder / 'decoder.yaml').write_text(yaml.safe_dump(declared))
    decoder = TokenDecoder.load(folder)
    plan = plan_of(fast, [*fast.encode(np.zeros((HORIZON, 7))), fast.end])
    ready = body.postures['ready']
    with pytest.raises(ActionError, match='proprioception'):
        decoder.decode(plan)
    chunk = decoder.decode(plan, np.append(ready, 0.5))
    # The middle of -0.02 … 0.04 is 0.01 m a row.
    wanted = body.chain.forward(ready)[:3, 3] + 0.01 * np.arange(1, HORIZON + 1)[:, None]
    np.testing.assert_allclose(chunk[:, :3], wanted, atol=1e-6)
