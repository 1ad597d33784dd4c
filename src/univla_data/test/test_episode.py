"""What is written comes back on the policy's clock; what is damaged is named."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_data.episode_reader import find_episodes
from univla_data.episode_reader import read_episode
from univla_data.episode_reader import read_episodes
from univla_data.episode_reader import read_provenance
from univla_data.episode_writer import EpisodeWriter
from univla_data.message_types import message
from univla_data.provenance import Provenance
from univla_data.topics import camera_topic


def test_frames_hold_what_was_in_force_at_their_stamp(recorded, script):
    episode = read_episode(recorded)
    assert len(episode) == script.frames
    np.testing.assert_allclose(
        episode.stamps, script.begin_s + script.period_s * np.arange(script.frames), atol=1e-9
    )
    asked = np.array([script.set_point(script.period_s * i) for i in range(script.frames)])
    measured = np.array(
        [script.set_point(script.period_s * i - 0.1) for i in range(script.frames)]
    )
    np.testing.assert_allclose(episode.commands, asked, atol=1e-6)
    np.testing.assert_allclose(episode.positions, measured, atol=1e-9)
    np.testing.assert_allclose(episode.opening, 0.75, atol=1e-9)
    assert episode.fresh.all()


def test_pictures_survive_but_for_jpeg(recorded, script):
    pictures = read_episode(recorded).images['primary']
    assert pictures.shape == (script.frames, 480, 640, 3) and pictures.dtype == np.uint8
    for number in range(script.frames):
        off = np.abs(pictures[number].astype(float) - script.picture(number)).mean()
        assert off < 2.0


def test_raw_pictures_survive_exactly(tmp_path, widowx, provenance, script):
    with EpisodeWriter(tmp_path / 'raw', widowx, provenance, quality=None) as writer:
        script.play(writer)
        episode = read_episode(writer.close(None))
    assert all(
        (episode.images['primary'][i] == script.picture(i)).all() for i in range(script.frames)
    )


def test_opening_is_the_last_one_asked_for_within_the_frame(recorded):
    """The gripper is told to close just after 1.0 s: within the frame that begins there."""
    asked = read_episode(recorded).command_opening
    np.testing.assert_array_equal(asked, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0])


def test_a_kick_marks_every_frame_that_it_drove_in(recorded):
    """Chunk 4 drives from 0.88 s to 1.08 s, in the frames of 0.8 s and 1.0 s."""
    sources = read_episode(recorded).sources
    assert sources.tolist() == ['expert'] * 4 + ['kick'] * 2 + ['expert'] * 4


def test_provenance_comes_back(recorded):
    known = read_provenance(recorded)
    assert (known.robot, known.task, known.seed, known.success) == (
        'widowx',
        'reach',
        1_000_007,
        True,
    )
    assert known.sources == ('expert', 'kick') and known.hashes == {'robot': 'abc'}
    episode = read_episode(recorded)
    assert episode.instruction == 'reach the red cube' and episode.success is True
    assert episode.metadata['hashes'] == {'robot': 'abc'}


def test_twice_as_many_pictures_give_the_same_frames(tmp_path, widowx, provenance, script):
    """Of a 15 Hz camera every third picture is the newest at a tick of 5 Hz."""
    quick = dataclasses.replace(provenance, cameras={'primary': 15.0})
    with EpisodeWriter(tmp_path / 'quick', widowx, quick, quality=None) as writer:
        script.play(writer, camera_hz=15.0)
        episode = read_episode(writer.close(True))
    np.testing.assert_allclose(np.diff(episode.stamps), script.period_s, atol=1e-6)
    assert (episode.images['primary'][3] == script.picture(9)).all()


def test_a_silent_camera_leaves_frames_that_are_not_fresh(tmp_path, widowx, provenance, script):
    """No picture from 0.4 s to 1.2 s: the live policy would not have planned in between."""
    path = tmp_path / 'gap'
    with EpisodeWriter(path, widowx, provenance, quality=None) as writer:
        original = writer.picture

        def patchy(stamp, camera, shot):
            if not script.begin_s + 0.45 < stamp < script.begin_s + 1.15:
                original(stamp, camera, shot)

        writer.picture = patchy
        script.play(writer)
        episode = read_episode(writer.close(True))
    assert episode.fresh.tolist() == [True] * 3 + [False] * 3 + [True] * 4
    assert sum(episode.metadata['faults'].values()) == 3


def test_the_folder_appears_only_when_it_is_whole(tmp_path, widowx, provenance, script):
    path = tmp_path / 'episode'
    writer = EpisodeWriter(path, widowx, provenance)
    script.play(writer)
    assert not path.exists() and find_episodes(tmp_path) == []
    writer.close(False)
    assert find_episodes(tmp_path) == [path] and sorted(p.name for p in path.iterdir()) == [
        'episode.mcap',
        'metadata.yaml',
    ]
    assert not path.with_name('episode.part').exists()
    with pytest.raises(DataError, match='exists already'):
        EpisodeWriter(path, widowx, provenance)


def test_an_interrupted_recording_is_read_to_its_last_flush(tmp_path, widowx, provenance, script):
    """As after kill -9: no index, no metadata.yaml, and half a record at the end."""
    writer = EpisodeWriter(tmp_path / 'cut', widowx, provenance)
    script.play(writer)
    writer.flush()
    file = tmp_path / 'cut.part' / 'cut' / 'cut.mcap'
    with file.open('ab') as stream:
        stream.write(b'\x06\xff\xff\x00\x00\x00\x00\x00\x00half a chunk')
    episode = read_episode(tmp_path / 'cut.part')
    assert len(episode) == script.frames and episode.metadata['interrupted']
    assert episode.robot == 'widowx' and episode.success is None
    assert not (tmp_path / 'cut').exists()
    writer.abort()


def test_a_truncated_episode_gives_what_it_has(tmp_path, widowx, provenance, script):
    """Two thirds of the file: the frames up to there are read, and it is called interrupted."""
    with EpisodeWriter(tmp_path / 'short', widowx, provenance) as writer:
        original = writer.picture
        writer.picture = lambda *arguments: (original(*arguments), writer.flush())
        script.play(writer)
        folder = writer.close(True)
    file = next(folder.glob('*.mcap'))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])
    episode = read_episode(folder)
    assert episode.metadata['interrupted'] and script.frames // 2 <= len(episode) < script.frames


def damaged(folder: Path, kind: str, recorded: Path, script: Any) -> None:
    """An episode with one thing wrong."""
    embodiment = load_embodiment('widowx')
    known = Provenance(robot='widowx', cameras={'primary': 5.0}, instruction='x')
    if kind == 'empty file':
        shutil.copytree(recorded, folder)
        next(folder.glob('*.mcap')).write_bytes(b'')
    elif kind == 'no bag':
        folder.mkdir(parents=True)
        (folder / 'some.mcap').write_bytes(b'not an MCAP file at all')
    else:
        with EpisodeWriter(folder, embodiment, known) as writer:
            if kind == 'mixed robots':
                script.play(writer)
                writer.control_state(script.begin_s + 9.0, {'robot': 'franka'})
            elif kind == 'no pictures':
                writer.joint_state(script.begin_s, script.set_point(0.0), np.zeros(6), 1.0)
            elif kind == 'no states':
                writer.picture(script.begin_s, 'primary', script.picture(1))
            elif kind == 'broken picture':
                writer.joint_state(script.begin_s, script.set_point(0.0), np.zeros(6), 1.0)
                msg = message('sensor_msgs/msg/CompressedImage', format='jpeg', data=[1, 2, 3])
                writer.write(camera_topic('primary'), script.begin_s, msg)
            writer.close(True)


@pytest.mark.parametrize(
    'kind, words',
    [
        ('empty file', 'cannot be read'),
        ('no bag', 'some.mcap: cannot be read'),
        ('mixed robots', "/widowx/control_state: is of robot 'franka'"),
        ('no pictures', '/widowx/camera/<name>/image_raw is missing'),
        ('no states', 'no message of /widowx/joint_states'),
        ('broken picture', '/widowx/camera/primary/image_raw/compressed: .*cut short'),
    ],
)
def test_what_is_wrong_is_named_and_the_others_are_read(tmp_path, recorded, script, kind, words):
    damaged(tmp_path / 'bad', kind, recorded, script)
    shutil.copytree(recorded, tmp_path / 'good')
    complaints = []
    episodes = list(read_episodes(tmp_path, on_error=lambda *told: complaints.append(told)))
    assert [episode.metadata['path'] for episode in episodes] == [str(tmp_path / 'good')]
    ((path, error),) = complaints
    assert path == tmp_path / 'bad'
    with pytest.raises(DataError, match=words):
        raise error
    assert str(path) in str(error)


def test_an_unknown_robot_is_named(tmp_path, widowx, provenance, script):
    other = dataclasses.replace(provenance, robot='robodog', namespace='/dog')
    with EpisodeWriter(tmp_path / 'dog', widowx, other) as writer:
        script.play(writer)
        path = writer.close(True)
    with pytest.raises(DataError, match=r"dog: unknown robot 'robodog'"):
        read_episode(path)


def test_a_base_has_twists_and_odometry(tmp_path, script):
    """0.2 m/s in the first second, then standing: the mean over each frame is exact."""
    base = load_embodiment('mobile_base')
    known = Provenance(robot='mobile_base', cameras={'primary': 5.0}, instruction='drive')
    with EpisodeWriter(tmp_path / 'base', base, known) as writer:
        for i in range(201):
            now = script.begin_s + i / 100
            writer.odometry(now, (0.1, -0.2), (1.0, 2.0, 0.5))
            writer.command(now, np.zeros(0), np.array([0.2 if i < 90 else 0.0, 0.0]))
            if i % 20 == 0:
                writer.picture(now, 'primary', script.picture(i // 20))
        episode = read_episode(writer.close(True))
    assert np.isnan(episode.opening).all() and np.isnan(episode.command_opening).all()
    np.testing.assert_allclose(episode.positions, np.tile([0.1, -0.2], (11, 1)), atol=1e-12)
    # 0.2 m/s through the frame of 0.6 s; half of it in the frame of 0.8 s; none after.
    np.testing.assert_allclose(episode.commands[:7, 0], [0.2] * 4 + [0.1] + [0.0] * 2, atol=1e-6)
