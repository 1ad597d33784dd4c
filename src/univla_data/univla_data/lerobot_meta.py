"""The metadata of a LeRobot data set, codebase version v3.0."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from univla_data.lerobot_video import video_feature

VERSION = 'v3.0'
#: Files in a folder, and how large they may grow [MB].
CHUNK, DATA_FILE_MB, VIDEO_FILE_MB = 1000, 100, 200
_DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
_VIDEO = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
_EPISODES = 'meta/episodes/chunk-000/file-000.parquet'
_COUNTERS = ('frame_index', 'episode_index', 'index', 'task_index')


def camera_key(camera: str) -> str:
    """Name of a camera's column."""
    return f'observation.images.{camera}'


def data_path(number: int) -> str:
    """Where a data file lies in the data set."""
    return _DATA.format(chunk_index=number // CHUNK, file_index=number % CHUNK)


def video_path(camera: str, episode: int) -> str:
    """Where the video of an episode lies in the data set."""
    chunk, file = divmod(episode, CHUNK)
    return _VIDEO.format(video_key=camera_key(camera), chunk_index=chunk, file_index=file)


def features(signature: Mapping[str, Any], rate_hz: int) -> dict[str, dict[str, Any]]:
    """What `info.json` says of every column."""
    scalars = {
        'control_source': 'string',
        **dict.fromkeys(('intervention', 'fresh', 'clean'), 'bool'),
        'stamp': 'float64',
        'timestamp': 'float32',
        **dict.fromkeys(_COUNTERS, 'int64'),
    }
    return {
        'observation.state': _vector(signature['state_names']),
        'action': _vector(signature['action_names']),
        **{
            camera_key(camera): video_feature(height, width, rate_hz)
            for camera, (height, width) in signature['cameras'].items()
        },
        **{name: {'dtype': kind, 'shape': [1], 'names': None} for name, kind in scalars.items()},
    }


def counted(features: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Columns with numbers in the data files."""
    return [n for n, feature in features.items() if feature['dtype'] not in ('video', 'string')]


def episode_row(
    table: pa.Table,
    record: Mapping[str, Any],
    index: int,
    file: int,
    stats: Mapping[str, Mapping[str, Any]],
    rate_hz: int,
) -> dict[str, Any]:
    """What `meta/episodes` says of one episode."""
    begin = table['index'][0].as_py()
    row: dict[str, Any] = {
        'episode_index': index,
        'tasks': [record['instruction']],
        'length': len(table),
        'success': record['success'],
        'source': record['source'],
        'data/chunk_index': file // CHUNK,
        'data/file_index': file % CHUNK,
        'dataset_from_index': begin,
        'dataset_to_index': begin + len(table),
        'meta/episodes/chunk_index': 0,
        'meta/episodes/file_index': 0,
    }
    for camera in record['_pictures']:
        key = f'videos/{camera_key(camera)}'
        row[f'{key}/chunk_index'], row[f'{key}/file_index'] = divmod(index, CHUNK)
        row[f'{key}/from_timestamp'], row[f'{key}/to_timestamp'] = 0.0, len(table) / rate_hz
    for name, values in stats.items():
        row.update({f'stats/{name}/{kind}': value for kind, value in values.items()})
    return row


def write(
    dataset: Path,
    records: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    stats: Mapping[str, Any],
    features: Mapping[str, Any],
    signature: Mapping[str, Any],
    rate_hz: int,
) -> None:
    """Write everything in `meta/`."""
    path = dataset / _EPISODES
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {'success': pa.bool_(), 'source': pa.string()}
    columns = {name: pa.array([r[name] for r in rows], kinds.get(name)) for name in rows[0]}
    pq.write_table(pa.table(columns), path)
    tasks = list(dict.fromkeys(record['instruction'] for record in records))
    pq.write_table(_tasks(tasks), dataset / 'meta/tasks.parquet')
    info = {
        'codebase_version': VERSION,
        'robot_type': signature['robot'],
        'total_episodes': len(records),
        'total_frames': sum(record['frames'] for record in records),
        'total_tasks': len(tasks),
        'chunks_size': CHUNK,
        'data_files_size_in_mb': DATA_FILE_MB,
        'video_files_size_in_mb': VIDEO_FILE_MB,
        'fps': rate_hz,
        'splits': {'train': f'0:{len(records)}'},
        'data_path': _DATA,
        'video_path': _VIDEO,
        'features': features,
    }
    (dataset / 'meta/stats.json').write_text(json.dumps(stats, indent=2) + '\n')
    (dataset / 'meta/info.json').write_text(json.dumps(info, indent=2) + '\n')


def _vector(names: Sequence[str]) -> dict[str, Any]:
    return {'dtype': 'float32', 'shape': [len(names)], 'names': list(names)}


def _tasks(tasks: Sequence[str]) -> pa.Table:
    """Tasks as pandas would write them, the text as index: so the official reader wants it."""
    table = pa.table(
        {
            'task_index': pa.array(range(len(tasks)), pa.int64()),
            'task': pa.array(tasks, pa.string()),
        }
    )
    text = {'pandas_type': 'unicode', 'numpy_type': 'object'}
    number = {'pandas_type': 'int64', 'numpy_type': 'int64', 'metadata': None}
    told = {
        'index_columns': ['task'],
        'column_indexes': [
            {'name': None, 'field_name': None, **text, 'metadata': {'encoding': 'UTF-8'}}
        ],
        'columns': [
            {'name': 'task_index', 'field_name': 'task_index', **number},
            {'name': 'task', 'field_name': 'task', **text, 'metadata': None},
        ],
        'creator': {'library': 'pyarrow', 'version': pa.__version__},
        'pandas_version': '2.2.0',
    }
    return table.replace_schema_metadata({'pandas': json.dumps(told)})
