"""LeRobot data sets, read back with pyarrow and PyAV, and by the official reader if there."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from univla_data.episode_reader import read_episode
from univla_data.episode_writer import EpisodeWriter
from univla_data.export import Export
from univla_data.export import ExportOptions
from univla_data.export_stats import column_stats
from univla_data.export_stats import picture_counts
from univla_data.export_stats import picture_stats


@pytest.fixture(scope='module')
def dataset(tmp_path_factory, recorded, widowx, script):
    """Two episodes of ten frames with a task each."""
    from univla_data.provenance import Provenance

    data = tmp_path_factory.mktemp('lerobot')
    known = Provenance(robot='widowx', instruction='x', cameras={'primary': 5.0})
    with EpisodeWriter(data / 'second', widowx, known) as writer:
        told = writer.instruction
        writer.instruction = lambda stamp, text: told(stamp, 'push the blue cube')
        script.play(writer)
        second = writer.close(False)
    options = ExportOptions(format='lerobot', out=data / 'out', action_space='joint_delta')
    Export([recorded, second], options).run()
    return data / 'out'


@pytest.fixture(scope='module')
def info(dataset):
    return json.loads((dataset / 'meta/info.json').read_text())


@pytest.fixture(scope='module')
def table(dataset, info):
    return pq.read_table(dataset / info['data_path'].format(chunk_index=0, file_index=0))


def episode_rows(dataset):
    return pq.read_table(dataset / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()


def test_info_counts_and_declares_every_column(info, table):
    assert (info['codebase_version'], info['robot_type'], info['fps']) == ('v3.0', 'widowx', 5)
    totals = (info['total_episodes'], info['total_frames'], info['total_tasks'])
    assert totals == (2, 20, 2) and info['splits'] == {'train': '0:2'}
    videos = {n for n, feature in info['features'].items() if feature['dtype'] == 'video'}
    assert videos == {'observation.images.primary'}
    assert set(info['features']) - videos == set(table.column_names)
    for name in ('observation.state', 'action'):
        feature = info['features'][name]
        assert feature['shape'] == [table.schema.field(name).type.list_size] == [7]
        assert len(feature['names']) == 7


def test_counters_run_through_episodes(table):
    columns = table.to_pydict()
    assert columns['index'] == list(range(20))
    assert columns['frame_index'] == list(range(10)) * 2
    assert columns['episode_index'] == [0] * 10 + [1] * 10
    np.testing.assert_allclose(columns['timestamp'], np.tile(np.arange(10) / 5, 2), atol=1e-6)


def test_sources_are_columns(table, recorded):
    episode = read_episode(recorded)
    assert table['control_source'].to_pylist()[:10] == episode.sources.tolist()
    assert table['clean'].to_pylist()[3:7] == [True, False, False, True]
    np.testing.assert_array_equal(table['stamp'].to_numpy()[:10], episode.stamps)


def test_tasks_are_an_index_as_pandas_writes_it(dataset, table):
    tasks = pq.read_table(dataset / 'meta/tasks.parquet')
    told = json.loads(tasks.schema.metadata[b'pandas'])
    assert told['index_columns'] == ['task']
    names = dict(zip(tasks['task'].to_pylist(), tasks['task_index'].to_pylist(), strict=True))
    order = [episode['tasks'] for episode in episode_rows(dataset)]
    assert [names[task] for (task,) in order] == [0, 1]
    assert table['task_index'].to_pylist() == [0] * 10 + [1] * 10


def test_episodes_say_where_their_frames_are(dataset):
    rows = episode_rows(dataset)
    spans = [(row['dataset_from_index'], row['dataset_to_index'], row['length']) for row in rows]
    assert spans == [(0, 10, 10), (10, 20, 10)]
    assert sorted(row['success'] for row in rows) == [False, True]
    key = 'videos/observation.images.primary'
    files = [(row[f'{key}/chunk_index'], row[f'{key}/file_index']) for row in rows]
    assert files == [(0, 0), (0, 1)]
    assert [row[f'{key}/to_timestamp'] for row in rows] == [2.0, 2.0]


@pytest.mark.parametrize('episode', [0, 1])
def test_videos_show_each_frame_at_its_time(dataset, info, script, episode):
    path = info['video_path'].format(
        video_key='observation.images.primary', chunk_index=0, file_index=episode
    )
    with av.open(str(dataset / path)) as container:
        frames = [(float(f.time), f.to_ndarray(format='rgb24')) for f in container.decode(video=0)]
    np.testing.assert_allclose([time for time, _ in frames], np.arange(10) / 5, atol=1e-6)
    for number, (_, shot) in enumerate(frames):
        off = [np.abs(shot.astype(float) - script.picture(n)).mean() for n in range(10)]
        assert np.argmin(off) == number and off[number] < 5.0


def test_stats_are_those_of_the_columns(dataset, info, table):
    stats = json.loads((dataset / 'meta/stats.json').read_text())
    assert set(stats) == set(info['features']) - {'control_source'}
    actions = np.array(table['action'].to_pylist())
    np.testing.assert_allclose(stats['action']['mean'], actions.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(
        stats['action']['q99'], np.quantile(actions, 0.99, axis=0), atol=1e-9
    )
    assert stats['action']['count'] == [20]
    shown = stats['observation.images.primary']
    assert np.array(shown['mean']).shape == (3, 1, 1) and shown['count'] == [20]
    row = episode_rows(dataset)[0]
    np.testing.assert_allclose(row['stats/action/max'], actions[:10].max(axis=0), atol=1e-9)


def test_column_stats_by_hand():
    """0 … 100: the quantile q is 100 q, the variance (101² − 1)/12."""
    stats = column_stats(np.arange(101.0))
    assert stats['q01'] == [1.0] and stats['q50'] == [50.0] and stats['q99'] == [99.0]
    assert stats['std'] == pytest.approx([(10200 / 12) ** 0.5])


def test_picture_stats_are_those_of_the_pixels():
    pictures = np.random.default_rng(0).integers(0, 200, (3, 40, 60, 3), dtype=np.uint8)
    stats = picture_stats(*picture_counts(pictures))
    seen = pictures[:, ::4, ::4].reshape(-1, 3) / 255.0
    np.testing.assert_allclose(np.ravel(stats['mean']), seen.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(np.ravel(stats['std']), seen.std(axis=0), atol=1e-9)
    np.testing.assert_allclose(np.ravel(stats['max']), seen.max(axis=0), atol=1e-12)
    lower = np.quantile(seen, 0.1, axis=0, method='inverted_cdf')
    np.testing.assert_allclose(np.ravel(stats['q10']), lower, atol=1e-12)


def test_the_official_reader_opens_it(dataset, script):
    """By `lerobot`, or by `lerobot-dataset`, its readers alone, which older Pythons have."""
    if importlib.util.find_spec('lerobot'):
        module = pytest.importorskip('lerobot.datasets.lerobot_dataset')
    else:
        module = pytest.importorskip('ledataset.datasets.lerobot_dataset')
    data = module.LeRobotDataset('univla/test', root=dataset)
    assert len(data) == 20
    item = data[13]
    assert item['task'] == 'push the blue cube' and int(item['frame_index']) == 3
    shown = np.moveaxis(np.asarray(item['observation.images.primary']), 0, -1) * 255
    assert np.abs(shown - script.picture(3)).mean() < 5.0


def test_signature_is_the_same_for_all(recorded, widowx):
    from univla_data.export_frames import export_frames

    frames = export_frames(read_episode(recorded), widowx, 'eef_delta', 5.0)
    assert frames.signature['cameras'] == {'primary': [480, 640]}
    shorter = dataclasses.replace(frames, images={})
    assert shorter.signature != frames.signature
