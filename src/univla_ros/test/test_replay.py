"""Replays of a recorded episode equal what was recorded, and tell what differs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import DataError
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation
from univla_data.episode_reader import read_episode
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance
from univla_ros.cli import app
from univla_ros.collect.episode_recorder import EpisodeRecorder
from univla_ros.replay.comparison import axis_errors
from univla_ros.replay.comparison import differences
from univla_ros.replay.comparison import standing_still
from univla_ros.replay.motion import alignment
from univla_ros.replay.motion import motion_of
from univla_ros.replay.open_loop import agreement
from univla_ros.replay.open_loop import run_open_loop
from univla_ros.replay.options import ReplayOptions
from univla_ros.replay.other_body import LatentReplay
from univla_ros.replay.recording import read_recording
from univla_ros.replay.redecoding import redecode
from univla_ros.robot_decoders import decoder_path
from univla_ros.robot_decoders import load_decoder
from univla_ros.rollout import CheckpointBrain
from univla_ros.rollout import ExpertBrain
from univla_ros.rollout import Rollout
from univla_sim.world import World

WORDS = 'reach the red cube'


@pytest.fixture(scope='module')
def world():
    torch.set_num_threads(1)
    made = World(load_embodiment('widowx'))
    yield made
    made.close()


def record(path: Path, world: World, brain, duration_s: float, quality: int | None) -> Path:
    """An episode of a rollout; the seed of the scene is 3."""
    body = world.embodiment
    about = Provenance(robot='widowx', task='reach', seed=3, cameras={'primary': 5.0})
    with EpisodeWriter(path, body, about, quality=quality) as writer:
        recorder = EpisodeRecorder(writer, body, WORDS)
        Rollout(
            body, WORDS, brain, seed=3, world=world, camera_rate_hz=5.0, observer=recorder
        ).run(duration_s)
        writer.close(False, [name for name, _ in recorder.sources.most_common()])
    return path


@pytest.fixture(scope='module')
def planned(world, tmp_path_factory) -> Path:
    """Two seconds of an untrained policy, with raw pictures."""
    brain = CheckpointBrain('untrained', 'widowx')
    return record(tmp_path_factory.mktemp('planned') / 'bag', world, brain, 2.0, None)


@pytest.fixture(scope='module')
def shown(world, tmp_path_factory) -> Path:
    """A demonstration."""
    brain = ExpertBrain(world, np.random.default_rng(0))
    return record(tmp_path_factory.mktemp('shown') / 'bag', world, brain, 1.2, 95)


def decoder_of(robot: str):
    embodiment = load_embodiment(robot)
    path = decoder_path(embodiment, 'untrained')
    return load_decoder(path, embodiment, allow_untrained=True)


def test_what_was_recorded_is_planned_again(planned):
    """Raw pictures lose nothing, so each plan and each chunk is the one of the rollout."""
    episode, recording = read_episode(planned), read_recording(planned)
    brain = CheckpointBrain('untrained', 'widowx')
    replayed = run_open_loop(episode, load_embodiment('widowx'), brain)
    known = agreement(episode, replayed, recording)
    assert known.plans == len(recording.latents) == 10
    assert known.same_codes == 10 and known.largest == 0.0


def test_same_weights_same_bag_same_chunks(planned, shown):
    """Bit for bit, in whatever order; other weights or another bag give another hash."""
    episode, other = read_episode(planned), read_episode(shown)
    body = load_embodiment('widowx')
    brain = CheckpointBrain('untrained', 'widowx')
    first = run_open_loop(episode, body, brain)
    elsewhere = run_open_loop(other, body, brain)
    again = run_open_loop(episode, body, brain)
    fresh = run_open_loop(read_episode(planned), body, CheckpointBrain('untrained', 'widowx'))
    assert first.digest == again.digest == fresh.digest
    assert np.array_equal(first.chunks, fresh.chunks)
    assert elsewhere.digest != first.digest
    with torch.no_grad():
        next(brain.decoder.head.parameters()).add_(0.01)
    assert run_open_loop(episode, body, brain).digest != first.digest


def test_own_latent_actions_move_the_same_body_the_same_way(planned, world):
    """From the same start, at the recorded times: the recorded joints come out again."""
    recording, episode = read_recording(planned), read_episode(planned)
    replay = LatentReplay(
        recording, world.embodiment, decoder_of('widowx'), world, seed=3, posture='home'
    )
    replayed = replay.run()
    assert replayed.chunks == 10 and not replayed.dropped
    own = motion_of(episode.stamps, episode.positions, episode.opening, world.embodiment)
    # Frames are 0.2 s apart, looks 0.1 s.
    later = replayed.motion.places[: 2 * len(own.places) : 2]
    np.testing.assert_allclose(later, own.places[: len(later)], atol=1e-9)
    assert own.path_m > 0.02
    assert replayed.pictures[0][1].shape == (240, 320, 3)


def test_one_plan_moves_another_body(planned):
    franka = load_embodiment('franka')
    other = World(franka)
    replay = LatentReplay(read_recording(planned), franka, decoder_of('franka'), other, seed=3)
    first, again = replay.run(), replay.run()
    other.close()
    assert first.chunks == 10 and first.motion.path_m > 0.02
    assert np.array_equal(first.motion.places, again.motion.places)
    assert set(first.faults) <= {'no_chunk', 'stale_chunk'}


def test_the_same_decoder_makes_the_recorded_chunks(planned):
    recording, episode = read_recording(planned), read_episode(planned)
    body, decoder = load_embodiment('widowx'), decoder_of('widowx')
    made = redecode(episode, recording, body, decoder)
    assert made.has_recorded.all() and np.array_equal(made.chunks, made.recorded)
    with torch.no_grad():
        next(decoder.head.parameters()).add_(0.01)
    assert not np.array_equal(redecode(episode, recording, body, decoder).chunks, made.chunks)


def test_latent_actions_of_another_vocabulary_are_refused(planned):
    recording = read_recording(planned)
    strange = dataclasses.replace(
        recording,
        latents=tuple(dataclasses.replace(x, codebook='other') for x in recording.latents),
    )
    with pytest.raises(ActionError, match='codebook other'):
        redecode(read_episode(planned), strange, load_embodiment('widowx'), decoder_of('widowx'))


def test_a_demonstration_has_no_latent_actions(shown):
    with pytest.raises(DataError, match=r'/widowx/latent_action holds no latent action'):
        read_recording(shown)
    episode = read_episode(shown)
    replayed = run_open_loop(
        episode, load_embodiment('widowx'), CheckpointBrain('untrained', 'widowx')
    )
    assert len(replayed.chunks) == int(episode.fresh.sum())


def test_the_command_tells_and_shows(planned, shown, tmp_path):
    words = ['--checkpoint', 'untrained', '--out', str(tmp_path / 'out')]

    def run(*more: str):
        path = tmp_path / 'result.json'
        result = CliRunner().invoke(app, ['replay', *more, *words, '--json', str(path)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result, json.loads(path.read_text())

    result, document = run(str(planned), str(shown))
    assert result.exit_code == 0 and document['ok'] and document['command'] == 'replay'
    first, second = document['results']
    assert (first['same_codes'], second['recorded_plans']) == (10, 0)
    assert first['chunks_sha256'][:16] in result.output
    assert len(first['errors']) == 7 and Path(first['picture']).stat().st_size > 10_000
    assert run(str(planned))[1]['results'][0]['chunks_sha256'] == first['chunks_sha256']

    result, document = run(str(planned), str(shown), '--robot', 'mobile_base')
    assert result.exit_code == 1 and 'no policy planned in this episode' in result.output
    moved, failed = document['results']
    assert moved['ok'] and moved['chunks'] == 10 and Path(moved['video']).stat().st_size > 1000
    assert failed['episode'] == str(shown) and not failed['ok']

    _, document = run(str(planned), '--redecode')
    (row,) = document['results']
    assert all(error['worst'] == 0.0 for error in row['against_recorded'])
    assert row['recorded_errors'] == row['errors']


def test_two_kinds_at_once_make_no_sense():
    with pytest.raises(ConfigError, match='two kinds of replay'):
        _ = ReplayOptions(robot='franka', redecode=True).mode


# Comparisons, by hand.


def test_a_turn_past_half_a_turn_is_a_small_one():
    """Turns by π − 0.01 and by −(π − 0.01) about x are 0.02 rad apart, not 6.26."""
    chunks = np.zeros((2, 1, 1, 7))
    chunks[0, ..., 3], chunks[1, ..., 3] = np.pi - 0.01, 0.01 - np.pi
    gap = differences(chunks[0], chunks[1], 'eef_pose')
    assert abs(gap[0, 0, 3]) == pytest.approx(0.02)
    assert np.delete(gap[0, 0], 3) == pytest.approx(np.zeros(6))


def test_errors_are_means_over_frames_and_rows():
    """Of 1, 3 in the first rows and 0, 4 in the second: mean 2, root mean square √6.5."""
    chunks = np.array([[[1.0], [0.0]], [[3.0], [4.0]]])
    still, executed = np.full_like(chunks, 2.0), np.zeros_like(chunks)
    (error,) = axis_errors(chunks, executed, still, 'joint_delta', ('waist',))
    assert (error.mae, error.first, error.worst, error.still) == (2.0, 2.0, 4.0, 2.0)
    assert error.rmse == pytest.approx(6.5**0.5) and error.unit == 'rad'


def test_standing_still_is_where_the_arm_was_measured():
    body = load_embodiment('widowx')
    ready = body.postures['ready'][None]
    poses = standing_still(ready, np.array([0.25]), body, 'eef_pose', 3)
    T_base_ee = body.chain.forward(ready[0])
    assert poses[0, 2, :3] == pytest.approx(T_base_ee[:3, 3])
    turn = rotation_from_vector(poses[0, 2, 3:6])
    assert vector_from_rotation(turn @ T_base_ee[:3, :3].T) == pytest.approx(np.zeros(3), abs=1e-9)
    assert poses[0, :, 6].tolist() == [0.25] * 3
    assert not standing_still(ready, np.array([0.25]), body, 'eef_delta', 3)[..., :6].any()


def test_a_base_that_turns_goes_in_a_circle():
    """0.5 m/s and 0.5 rad/s for 2π s: half a circle of radius 1 m, to (0, 2), heading π."""
    times = np.linspace(0.0, 2.0 * np.pi, 400)
    twists = np.tile([0.5, 0.5], (400, 1))
    motion = motion_of(times, twists, np.full(400, np.nan), load_embodiment('mobile_base'))
    assert motion.places[-1] == pytest.approx([0.0, 2.0, 0.0], abs=1e-3)
    assert motion.turned_rad == pytest.approx(np.pi) and motion.closings == 0
    assert motion.path_m == pytest.approx(np.pi, abs=1e-3)
    assert alignment(motion, motion) == pytest.approx(1.0)
