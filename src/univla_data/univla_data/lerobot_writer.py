"""A LeRobot data set, codebase version v3.0: parquet, mp4 and metadata, written directly.

Layout: what `lerobot` 0.4 writes and reads; every episode has a video of its own for each camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from univla_core.errors import ConfigError
from univla_core.errors import DataError

from univla_data import lerobot_meta as meta
from univla_data.export_frames import ExportFrames
from univla_data.export_stats import column_stats
from univla_data.export_stats import picture_counts
from univla_data.export_stats import picture_stats
from univla_data.lerobot_video import write_video

#: A data file is full when it is so large [bytes].
_DATA_FILE = meta.DATA_FILE_MB * 10**6


class LeRobotWriter:
    """Writes episodes one after the other; `finish` makes a data set of them.

    Args:
        dataset: Folder that becomes the data set.
        pieces: Folder for the columns of each episode until then.
        rate_hz: Frames per second, a whole number.

    Raises:
        ConfigError: If the rate is none that LeRobot knows.
    """

    def __init__(self, dataset: Path, pieces: Path, rate_hz: float) -> None:
        if rate_hz != round(rate_hz):
            raise ConfigError(
                f'--rate-hz {rate_hz:g}: LeRobot counts whole frames per second; give for '
                'example 5, or export with --format hdf5'
            )
        self._dataset, self._pieces, self._rate_hz = dataset, pieces, round(rate_hz)

    def add(self, frames: ExportFrames, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write an episode; what the journal shall know of it is returned.

        Args:
            frames: The episode.
            before: Records of the episodes that came before it.

        Raises:
            DataError: If it cannot be written.
        """
        index, begin = len(before), sum(record['frames'] for record in before)
        tasks = list(dict.fromkeys(record['instruction'] for record in before))
        tasks += [] if frames.instruction in tasks else [frames.instruction]
        table = self._table(frames, index, begin, tasks.index(frames.instruction))
        counts = {}
        for camera, pictures in sorted(frames.images.items()):
            write_video(self._dataset / meta.video_path(camera, index), pictures, self._rate_hz)
            seen, number = picture_counts(pictures)
            counts[camera] = {'counts': seen.tolist(), 'pictures': number}
        try:
            pq.write_table(table, self._piece(index))
        except OSError as error:
            raise DataError(f'{self._piece(index)} cannot be written: {error}') from error
        return {'_pictures': counts}

    def finish(self, records: Sequence[Mapping[str, Any]], signature: Mapping[str, Any]) -> None:
        """Write data files and metadata of all episodes."""
        files = self._write_data(len(records))
        features = meta.features(signature, self._rate_hz)
        columns: dict[str, list[np.ndarray]] = {}
        rows = []
        for index, record in enumerate(records):
            table = pq.read_table(self._piece(index))
            stats = {}
            for name in meta.counted(features):
                values = _values(table[name])
                columns.setdefault(name, []).append(values)
                stats[name] = column_stats(values)
            for camera, seen in record['_pictures'].items():
                counts = np.array(seen['counts'])
                stats[meta.camera_key(camera)] = picture_stats(counts, seen['pictures'])
            rows.append(meta.episode_row(table, record, index, files[index], stats, self._rate_hz))
        whole = {name: column_stats(np.concatenate(parts)) for name, parts in columns.items()}
        for camera in signature['cameras']:
            seen = [record['_pictures'][camera] for record in records]
            total = np.sum([np.array(one['counts']) for one in seen], axis=0)
            pictures = sum(one['pictures'] for one in seen)
            whole[meta.camera_key(camera)] = picture_stats(total, pictures)
        meta.write(self._dataset, records, rows, whole, features, signature, self._rate_hz)

    def _piece(self, index: int) -> Path:
        return self._pieces / f'{index:06d}.parquet'

    def _write_data(self, count: int) -> list[int]:
        """Bring the pieces together, a row group each; the number of the file of each episode."""
        numbers: list[int] = []
        number, size = 0, 0
        writer: pq.ParquetWriter | None = None
        for index in range(count):
            piece = self._piece(index)
            if writer is not None and size + piece.stat().st_size > _DATA_FILE:
                writer.close()
                writer, number, size = None, number + 1, 0
            table = pq.read_table(piece)
            if writer is None:
                path = self._dataset / meta.data_path(number)
                path.parent.mkdir(parents=True, exist_ok=True)
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            size += piece.stat().st_size
            numbers.append(number)
        if writer is not None:
            writer.close()
        return numbers

    def _table(self, frames: ExportFrames, index: int, begin: int, task: int) -> pa.Table:
        count = len(frames)
        number = np.arange(count, dtype=np.int64)
        return pa.table(
            {
                'observation.state': _vectors(frames.state),
                'action': _vectors(frames.action),
                'control_source': pa.array(frames.control_source.tolist(), pa.string()),
                'intervention': pa.array(frames.intervention),
                'fresh': pa.array(frames.fresh),
                'clean': pa.array(frames.clean),
                'stamp': pa.array(frames.stamps, pa.float64()),
                'timestamp': pa.array((number / self._rate_hz).astype(np.float32)),
                'frame_index': pa.array(number),
                'episode_index': pa.array(np.full(count, index, np.int64)),
                'index': pa.array(begin + number),
                'task_index': pa.array(np.full(count, task, np.int64)),
            }
        )


def _vectors(rows: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """A column as an array (T,) or (T, d)."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if pa.types.is_fixed_size_list(values.type):
        return values.flatten().to_numpy().reshape(len(values), values.type.list_size)
    return values.to_numpy(zero_copy_only=False)
