"""Collected episodes are what the running graph would have recorded; collecting goes on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import univla_data.messages as data_messages
from rclpy.serialization import deserialize_message
from rclpy.serialization import serialize_message
from univla_control.command import ControllerStatus
from univla_control.command import Mode
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.errors import DataError
from univla_core.latent_action import LatentAction
from univla_data.actions import clean
from univla_data.episode_reader import find_episodes
from univla_data.episode_reader import read_episode
from univla_data.message_types import deserialized
from univla_data.message_types import typestore
from univla_ros.collect.demonstration import Report
from univla_ros.collect.options import FIRST_SEED
from univla_ros.collect.options import CollectOptions
from univla_ros.collect.options import Job
from univla_ros.collect.options import pairs_of
from univla_ros.collect.pool import Collection
from univla_ros.control_report import control_state_fields
from univla_ros.control_report import control_state_to_msg
from univla_ros.conversions import action_chunk_to_msg
from univla_ros.conversions import latent_action_to_msg
from univla_ros.evaluation.cases import SEED_END

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import ControlState

STAMP = 1_763_700_000.125


@pytest.fixture(scope='module')
def collected(tmp_path_factory):
    """Two demonstrations, made once."""
    out = tmp_path_factory.mktemp('data')
    options = CollectOptions(robot='widowx', task='reach', episodes=2, out=out, workers=1)
    reports = []
    collection = Collection('widowx', 'reach', options, reports.append)
    collection.run()
    return options, collection, reports


def serialized(msg: object) -> bytes:
    return bytes(typestore().serialize_cdr(msg, msg.__msgtype__))


def published(msg: object, kind: str) -> bytes:
    """What the middleware makes of a message; its padding, which Fast CDR leaves as is, is 0."""
    known = deserialized(typestore(), kind, bytes(serialize_message(msg)))
    return bytes(typestore().serialize_cdr(known, kind))


def chunk() -> ActionChunk:
    return ActionChunk(
        robot='widowx',
        action_space='eef_delta',
        names=('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper'),
        data=np.arange(28.0).reshape(4, 7),
        step_duration_s=0.2,
        stamp=STAMP,
        sequence=7,
        latent_sequence=3,
        instruction='reach the red cube',
        source='expert',
        plan_start=STAMP,
        plan_stop=STAMP + 0.05,
        decode_stop=STAMP + 0.08,
    )


def test_a_chunk_is_written_as_the_decoder_node_publishes_it():
    ours = serialized(data_messages.action_chunk_to_msg(chunk(), 'wx250s/base_link'))
    theirs = action_chunk_to_msg(chunk(), 'wx250s/base_link')
    assert deserialize_message(ours, ActionChunkMsg) == theirs
    assert ours == published(theirs, 'univla_msgs/msg/ActionChunk')


def test_a_latent_action_is_written_as_the_policy_node_publishes_it():
    rng = np.random.default_rng(0)
    latent = LatentAction(
        policy='univla',
        codebook='abc',
        codes=np.array([1, 2, 3, 4], dtype=np.int32),
        probabilities=np.full(4, 0.25, dtype=np.float32),
        latent=rng.normal(size=(4, 8)).astype(np.float32),
        visual=rng.normal(size=(3, 8)).astype(np.float32),
        instruction='reach the red cube',
        stamp=STAMP,
        sequence=5,
        plan_start=STAMP,
        plan_stop=STAMP + 0.05,
    )
    ours = serialized(data_messages.latent_action_to_msg(latent))
    assert ours == published(latent_action_to_msg(latent), 'univla_msgs/msg/LatentAction')


def test_a_control_state_is_written_as_the_controller_node_publishes_it():
    words = ('fault', 'fault_reason', 'estop_reason', 'teleop_input', 'limit_name')
    latencies = ('plan_latency', 'decode_latency', 'chain_latency', 'control_rate', 'limit_use')
    ages = ('observation_age', 'chunk_age', 'joint_state_age')
    counters = ('chunk_step', 'commands_sent', 'chunks_received', 'chunks_dropped')
    status = ControllerStatus(
        mode=Mode.POLICY,
        source='policy',
        robot='widowx',
        instruction='reach the red cube',
        chunk_sequence=9,
        latent_sequence=8,
        held_back='workspace',
        dropped={},
        **dict.fromkeys(words, ''),
        **dict.fromkeys(ages, math.nan),
        **dict.fromkeys(latencies, 0.25),
        **dict.fromkeys((*counters, 'clock_jumps', 'gave_way', 'braked'), 1),
    )
    counts = {'commands': 3, 'bad_chunks': 0, 'speed_scale': 1.0}
    fields = control_state_fields(status, ('a', 'b'), None, **counts)
    ours = serialized(data_messages.control_state_to_msg(STAMP, fields))
    theirs = control_state_to_msg(status, STAMP, ('a', 'b'), None, **counts)
    assert ours == published(theirs, 'univla_msgs/msg/ControlState')
    assert deserialize_message(ours, ControlState).chunk_sequence == 9


def test_episodes_are_successes_of_training_scenes(collected):
    options, collection, reports = collected
    folders = find_episodes(options.out)
    assert [folder.parent.relative_to(options.out).as_posix() for folder in folders] == [
        'widowx/reach'
    ] * 2
    assert sorted(int(folder.name) for folder in folders) == [FIRST_SEED, FIRST_SEED + 1]
    assert FIRST_SEED > SEED_END and sum(report.kept for report in reports) == 2
    assert collection.missing == 0


def test_an_episode_holds_a_demonstration(collected):
    options, _, reports = collected
    embodiment = load_embodiment('widowx')
    for report, folder in zip(reports, find_episodes(options.out), strict=True):
        episode = read_episode(folder)
        assert (episode.robot, episode.task, episode.seed) == ('widowx', 'reach', report.seed)
        assert episode.success is True and episode.fresh.all()
        assert len(episode) == report.frames > 3
        assert set(episode.sources) <= {'expert', 'kick'}
        np.testing.assert_allclose(np.diff(episode.stamps), 0.2, atol=1e-6)
        assert episode.images['primary'].shape[1:] == (480, 640, 3)
        start, stop = (embodiment.chain.forward(q)[:3, 3] for q in episode.commands[[0, -1]])
        assert np.linalg.norm(stop - start) > 0.01  # the hand went somewhere
        lag = np.abs(episode.commands - episode.positions).max()
        assert 0.0 < lag < 0.5
        facts = episode.metadata
        assert facts['driver'] == 'expert' and set(facts['hashes']) == {'robot', 'safety_limits'}
        assert facts['versions']['mujoco'] and facts['details']['outcome'].startswith('done')


def test_the_same_command_goes_on_where_it_stopped(collected):
    """Nothing is left to do for two; for three, the next scene is added and no other touched."""
    options, _, _ = collected
    before = {folder: folder.stat().st_mtime_ns for folder in find_episodes(options.out)}
    again = Collection('widowx', 'reach', options, lambda report: None)
    again.run()
    assert not again.reports and again.before == 2
    more = Collection(
        'widowx', 'reach', dataclasses.replace(options, episodes=3), lambda report: None
    )
    more.run()
    assert more.before == 2 and more.missing == 0
    after = {folder: folder.stat().st_mtime_ns for folder in find_episodes(options.out)}
    assert len(after) == 3 and before.items() <= after.items()


def test_other_options_in_the_same_folder_are_refused(collected):
    options, _, _ = collected
    with pytest.raises(ConfigError, match='begun with kicks True'):
        Collection(
            'widowx', 'reach', dataclasses.replace(options, kicks=False), lambda report: None
        )


def test_failures_are_counted_and_their_scenes_left_out(tmp_path, monkeypatch):
    """Every third scene fails: four episodes take scenes 0, 1, 3 and 4."""
    tried = []

    def fake(job: Job) -> Report:
        tried.append(job.seed - FIRST_SEED)
        success = tried[-1] % 3 != 2
        if success:
            job.path.mkdir(parents=True)
            (job.path / 'metadata.yaml').touch()
        return Report(seed=job.seed, success=success, kept=success, text='not done')

    monkeypatch.setattr('univla_ros.collect.pool.demonstrate', fake)
    options = CollectOptions(robot='widowx', task='pick', episodes=4, out=tmp_path, workers=1)
    Collection('widowx', 'pick', options, lambda report: None).run()
    assert tried == [0, 1, 2, 3, 4]
    further = dataclasses.replace(options, episodes=5)
    Collection('widowx', 'pick', further, lambda report: None).run()
    assert tried == [0, 1, 2, 3, 4, 5, 6]  # 2 is known to fail, 5 fails now


def test_an_expert_that_always_fails_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(
        'univla_ros.collect.pool.demonstrate',
        lambda job: Report(seed=job.seed, text='nothing was reached'),
    )
    options = CollectOptions(robot='widowx', task='reach', episodes=20, out=tmp_path, workers=1)
    with pytest.raises(DataError, match=r'only 0 of 10 .*nothing was reached'):
        Collection('widowx', 'reach', options, lambda report: None).run()


def test_a_full_disk_ends_it_before_anything_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr('univla_ros.collect.demonstration.ROOM', 2**60)
    options = CollectOptions(robot='widowx', task='reach', episodes=2, out=tmp_path, workers=1)
    with pytest.raises(DataError, match='MB are free'):
        Collection('widowx', 'reach', options, lambda report: None).run()
    assert not find_episodes(tmp_path)


def test_a_policy_takes_detours_that_nobody_imitates(tmp_path):
    """Frames from which on a detour drove are told apart, whoever began."""
    options = CollectOptions(
        robot='widowx', task='reach', episodes=2, out=tmp_path, detours='tiny', workers=1
    )
    Collection('widowx', 'reach', options, lambda report: None).run()
    episodes = [read_episode(folder) for folder in find_episodes(tmp_path)]
    sources = [source for episode in episodes for source in episode.sources]
    assert set(sources) == {'detour', 'expert'}
    for episode in episodes:
        assert episode.success and episode.metadata['details']['detours'] == 'tiny'
        assert not clean(episode)[episode.sources == 'detour'].any()
    with pytest.raises(ConfigError, match='begun with detours tiny'):
        Collection('widowx', 'reach', dataclasses.replace(options, detours=''), print)


def test_unknown_words_are_named():
    with pytest.raises(ConfigError, match='its tasks are reach, push, pick, place'):
        pairs_of(CollectOptions(robot='widowx', task='dance', episodes=1))
    with pytest.raises(ConfigError, match="unknown robot 'robodog'"):
        pairs_of(CollectOptions(robot='robodog', task='reach', episodes=1))
    assert pairs_of(CollectOptions(robot='mobile_base', task='all', episodes=1)) == [
        ('mobile_base', 'drive')
    ]
