"""An RLDS data set by TensorFlow Datasets, an extra that the suite itself does not need."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from univla_data.export_frames import ExportFrames
from univla_data.hdf5_writer import Hdf5Writer

_FLAGS = ('intervention', 'fresh', 'clean')
_SHARD = 100


class RldsWriter:
    """Keeps episodes as HDF5 with JPEG pictures until `finish` writes them all as TFRecords.

    Args:
        dataset: Folder of the data set; the records lie in `<robot>/1.0.0/` below it.
        pieces: Folder for the episodes until then.
    """

    def __init__(self, dataset: Path, pieces: Path) -> None:
        self._dataset, self._pieces = dataset, pieces
        self._writer = Hdf5Writer(pieces, compress=True, equal_length=False)

    def add(self, frames: ExportFrames, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write an episode; what the journal shall know of it is returned.

        Raises:
            DataError: If it cannot be written.
        """
        return {'_file': self._writer.add(frames, before)['file']}

    def finish(self, records: Sequence[Mapping[str, Any]], signature: Mapping[str, Any]) -> None:
        """Write the data set."""
        tfds: Any = import_module('tensorflow_datasets')
        folder = self._dataset / signature['robot'] / '1.0.0'
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted call left
        folder.mkdir(parents=True)
        identity = tfds.core.DatasetIdentity(
            name=signature['robot'],
            version=tfds.core.Version('1.0.0'),
            data_dir=str(folder),
            module_name='',
        )
        info = tfds.core.DatasetInfo(builder=identity, features=_features(tfds, signature))
        writer = tfds.core.SequentialWriter(info, _SHARD)
        writer.initialize_splits(['train'])
        for record in records:
            with h5py.File(self._pieces / record['_file']) as file:
                episode = {
                    'steps': list(_steps(file)),
                    'episode_metadata': {
                        'file_path': record['source'],
                        'success': str(file.attrs['success']),
                    },
                }
            writer.add_examples({'train': [episode]})
        writer.close_all()


def _features(tfds: Any, signature: Mapping[str, Any]) -> Any:
    features = tfds.features
    pictures = {
        camera: features.Image(shape=(*size, 3), encoding_format='jpeg')
        for camera, size in signature['cameras'].items()
    }
    state, action = len(signature['state_names']), len(signature['action_names'])
    step = {
        'observation': {
            **pictures,
            'state': features.Tensor(shape=(state,), dtype=np.float32),
        },
        'action': features.Tensor(shape=(action,), dtype=np.float32),
        'language_instruction': features.Text(),
        'control_source': features.Text(),
        **dict.fromkeys(('discount', 'reward'), np.float32),
        **dict.fromkeys(('is_first', 'is_last', 'is_terminal', *_FLAGS), np.bool_),
    }
    told = {'file_path': features.Text(), 'success': features.Text()}
    return features.FeaturesDict({'steps': features.Dataset(step), 'episode_metadata': told})


def _steps(file: h5py.File) -> Iterator[dict[str, Any]]:
    count = int(file.attrs['frames'])
    cameras = sorted(file['observations/images'])
    sources = file['control_source'].asstr()[:]
    done = str(file.attrs['success']) == 'true'
    for i in range(count):
        last = i == count - 1
        pictures = {
            camera: file['observations/images'][camera][i, :size].tobytes()
            for camera, size in zip(cameras, file['compress_len'][:, i], strict=True)
        }
        yield {
            'observation': {**pictures, 'state': file['observations/qpos'][i]},
            'action': file['action'][i],
            'language_instruction': str(file.attrs['instruction']),
            'control_source': str(sources[i]),
            'discount': 1.0,
            'reward': float(last and done),
            'is_first': i == 0,
            'is_last': last,
            'is_terminal': last and done,
            **{name: bool(file[name][i]) for name in _FLAGS},
        }
