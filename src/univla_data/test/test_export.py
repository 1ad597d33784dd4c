"""An export holds the frames of the reader; it goes on after a stop, and past bad episodes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from univla_core.errors import ConfigError
from univla_core.errors import DataError
from univla_data.episode_reader import read_episode
from univla_data.episode_writer import EpisodeWriter
from univla_data.export import Export
from univla_data.export import ExportOptions
from univla_data.export_frames import export_frames
from univla_data.export_journal import ExportJournal


def run(paths, out, **wish):
    options = ExportOptions(out=out, **{'format': 'hdf5', 'action_space': 'joint_delta', **wish})
    return Export([paths] if isinstance(paths, Path) else paths, options).run()


def corrected(folder, widowx, provenance, script):
    """The policy drives until 1.08 s, then a person does."""
    with EpisodeWriter(folder, widowx, provenance) as writer:
        control_state, chunk = writer.control_state, writer.chunk

        def told(stamp, fields):
            person = {'control_source': 'teleop'} if stamp > script.begin_s + 1.0 else {}
            control_state(stamp, {**fields, **person})

        writer.control_state = told
        writer.chunk = lambda one: chunk(dataclasses.replace(one, source='policy'))
        script.play(writer)
        return writer.close(True)


@pytest.fixture
def two(tmp_path, recorded):
    """A folder with the same episode twice."""
    for name in ('a', 'b'):
        shutil.copytree(recorded, tmp_path / 'data' / name)
    return tmp_path / 'data'


def test_columns_are_those_of_the_reader(recorded, widowx, script):
    """Commands run on straight lines, so an increment is rate × 0.2 s; the gripper comes last."""
    episode = read_episode(recorded)
    frames = export_frames(episode, widowx, 'joint_delta', 5.0)
    step = script.set_point(0.2) - script.set_point(0.0)
    np.testing.assert_allclose(frames.action[:, :6], np.tile(step, (10, 1)), atol=1e-6)
    np.testing.assert_array_equal(frames.action[:, 6], episode.command_opening)
    np.testing.assert_allclose(frames.state[:, :6], episode.positions, atol=1e-6)
    assert frames.state_names == (*widowx.axis_names, 'gripper')
    assert frames.control_source.tolist() == ['expert'] * 4 + ['kick'] * 2 + ['expert'] * 4
    assert frames.clean.tolist() == [True] * 4 + [False] * 2 + [True] * 4


def test_a_person_in_a_policys_episode_is_an_intervention(tmp_path, widowx, provenance, script):
    """A demonstration by teleoperation alone corrects nobody."""
    path = corrected(tmp_path / 'data' / 'a', widowx, provenance, script)
    episode = read_episode(path)
    frames = export_frames(episode, widowx, 'eef_delta', 5.0)
    assert frames.control_source.tolist() == ['policy'] * 5 + ['teleop'] * 5
    assert frames.intervention.tolist() == [False] * 5 + [True] * 5
    alone = dataclasses.replace(episode, sources=np.full(10, 'teleop'))
    assert not export_frames(alone, widowx, 'eef_delta', 5.0).intervention.any()


@pytest.mark.parametrize('format', ['lerobot', 'hdf5'])
def test_a_stopped_export_goes_on_and_ends_alike(tmp_path, two, format):
    whole = run(two, tmp_path / 'whole', format=format)
    options = ExportOptions(format=format, out=tmp_path / 'out', action_space='joint_delta')

    def stop(path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Export([two], options).run(stop)
    assert not (tmp_path / 'out').exists()
    with (tmp_path / 'out.export' / 'journal.jsonl').open('a') as stream:
        stream.write('{"source": "half a li')  # as a power cut leaves it
    report = Export([two], options).run()
    assert (report.before, report.episodes, report.frames) == (1, 2, whole.frames)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['data', 'out', 'whole']
    names = [sorted(p.relative_to(o) for p in o.rglob('*')) for o in tmp_path.glob('[ow]*')]
    assert names[0] == names[1]
    if format == 'lerobot':
        for name in ('data/chunk-000/file-000.parquet', 'meta/tasks.parquet'):
            assert pq.read_table(tmp_path / 'out' / name) == pq.read_table(
                tmp_path / 'whole' / name
            )
        stats = [(tmp_path / o / 'meta/stats.json').read_text() for o in ('out', 'whole')]
        assert stats[0] == stats[1]


def test_a_place_that_is_taken_is_refused(tmp_path, two):
    ExportJournal(tmp_path / 'out', {'format': 'hdf5', 'rate_hz': 5.0})
    with pytest.raises(DataError, match='begun with another rate_hz; give the same options'):
        ExportJournal(tmp_path / 'out', {'format': 'hdf5', 'rate_hz': 10.0})
    (tmp_path / 'full').mkdir()
    first = ExportJournal(tmp_path / 'busy', {})
    with pytest.raises(DataError, match='another export is writing there; wait for it'):
        ExportJournal(tmp_path / 'busy', {})
    first.release()
    ExportJournal(tmp_path / 'busy', {})
    with pytest.raises(DataError, match='full exists already; remove it or choose another --out'):
        run(two, tmp_path / 'full')


def damage(folder, kind, recorded, widowx, provenance, script):
    """An episode with one thing wrong."""
    if kind == 'truncated':
        shutil.copytree(recorded, folder)
        file = next(folder.glob('*.mcap'))
        file.write_bytes(file.read_bytes()[:3000])
        return
    if kind == 'unknown robot':
        provenance = dataclasses.replace(provenance, robot='robodog', namespace='/widowx')
    with EpisodeWriter(folder, widowx, provenance) as writer:
        if kind == 'no commands':
            writer.command = lambda *_: None
        if kind == 'no pictures':
            writer.picture = lambda *_: None
        if kind == 'zero length':
            writer.instruction(script.begin_s, 'reach')
        else:
            script.play(writer)
        if kind == 'mixed robots':
            writer.control_state(script.begin_s + 9.0, {'robot': 'franka'})
        writer.close(True)


@pytest.mark.parametrize(
    'kind, words',
    [
        ('truncated', 'bad'),
        ('no commands', '/widowx/command holds no command'),
        ('no pictures', '/widowx/camera/<name>/image_raw is missing'),
        ('unknown robot', "unknown robot 'robodog'"),
        ('mixed robots', "/widowx/control_state: is of robot 'franka'"),
        ('zero length', '/widowx/camera/<name>/image_raw is missing'),
    ],
)
def test_bad_episodes_are_named_and_the_others_exported(
    tmp_path, recorded, widowx, provenance, script, kind, words
):
    damage(tmp_path / 'data' / 'bad', kind, recorded, widowx, provenance, script)
    shutil.copytree(recorded, tmp_path / 'data' / 'good')
    report = run(tmp_path / 'data', tmp_path / 'out')
    ((path, text),) = report.problems
    assert path == tmp_path / 'data' / 'bad'
    assert str(path) in text and words in text
    assert report.episodes == 1
    told = json.loads((tmp_path / 'out' / 'univla_export.json').read_text())
    assert [one['source'] for one in told['episodes']] == [str(tmp_path / 'data' / 'good')]


def base_episode(folder, script):
    from univla_core.embodiment import load_embodiment
    from univla_data.provenance import Provenance

    base = load_embodiment('mobile_base')
    known = Provenance(robot='mobile_base', cameras={'primary': 5.0}, instruction='drive')
    with EpisodeWriter(folder, base, known) as writer:
        for i in range(101):
            now = script.begin_s + i / 100
            writer.odometry(now, (0.1, -0.2), (1.0, 2.0, 0.5))
            writer.command(now, np.zeros(0), np.array([0.2, 0.0]))
            if i % 20 == 0:
                writer.picture(now, 'primary', script.picture(i // 20))
        return writer.close(True)


def test_another_robot_is_refused_by_name_or_left_out(tmp_path, recorded, script):
    shutil.copytree(recorded, tmp_path / 'data' / 'a')
    base_episode(tmp_path / 'data' / 'b', script)
    mixed = run(tmp_path / 'data', tmp_path / 'mixed', action_space='')
    ((path, text),) = mixed.problems
    assert path == tmp_path / 'data' / 'b' and 'has robot mobile_base' in text
    alone = run(tmp_path / 'data', tmp_path / 'alone', action_space='', robot='mobile_base')
    assert (alone.episodes, alone.left_out, alone.problems) == (1, 1, [])


def test_nothing_is_left_where_nothing_could_be_exported(tmp_path, recorded):
    with pytest.raises(DataError, match=r"none of 1 .* the first one: .*'base_twist'"):
        run(recorded, tmp_path / 'out', action_space='base_twist')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'wish, words',
    [
        ({'format': 'csv'}, "'csv' is unknown; it is lerobot, hdf5, rlds"),
        ({'rate_hz': 0.0}, '--rate-hz 0 is none'),
        ({'format': 'lerobot', 'rate_hz': 7.5}, 'whole frames per second'),
        ({'robot': 'robodog'}, "unknown robot 'robodog'"),
    ],
)
def test_useless_options_are_refused(tmp_path, recorded, wish, words):
    with pytest.raises(ConfigError, match=words):
        run(recorded, tmp_path / 'out', **wish)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec('tensorflow') is not None, reason='tensorflow is installed')
def test_rlds_names_the_extra_that_it_needs(tmp_path, recorded):
    with pytest.raises(ConfigError, match=r'needs tensorflow .*pip install tensorflow-cpu'):
        run(recorded, tmp_path / 'out', format='rlds')
    assert not list(tmp_path.iterdir())


def test_rlds_comes_back(tmp_path, recorded, script):
    pytest.importorskip('tensorflow')
    tfds = pytest.importorskip('tensorflow_datasets')
    run(recorded, tmp_path / 'out', format='rlds')
    data = tfds.builder_from_directory(tmp_path / 'out' / 'widowx' / '1.0.0').as_dataset('train')
    ((episode),) = list(data)
    steps = list(episode['steps'].as_numpy_iterator())
    assert len(steps) == script.frames
    step = script.set_point(0.2) - script.set_point(0.0)
    np.testing.assert_allclose(steps[3]['action'][:6], step, atol=1e-6)
    assert steps[4]['control_source'] == b'kick'
    assert [one['is_last'] for one in steps] == [False] * 9 + [True]
    off = np.abs(steps[3]['observation']['primary'].astype(float) - script.picture(3)).mean()
    assert off < 4.0


def test_tables_have_no_nulls(tmp_path, recorded):
    run(recorded, tmp_path / 'out', format='lerobot')
    table = pq.read_table(tmp_path / 'out' / 'data/chunk-000/file-000.parquet')
    assert all(column.null_count == 0 for column in table.columns)
    assert pa.types.is_fixed_size_list(table.schema.field('action').type)
