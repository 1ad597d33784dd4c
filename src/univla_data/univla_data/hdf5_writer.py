"""One HDF5 file an episode, in the layout that UniVLA's real-robot training reads.

`/action` (T, a), `/observations/qpos` (T, p) and `/observations/images/<camera>`; the attribute
`compress` says that pictures are JPEG, padded with zeros to one length. Pictures are BGR, as that
loader flips their channels. The task in words is the file's name up to `+`.

Source: UniVLA's data set of real robots, which follows the files of ACT (arXiv:2304.13705).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from univla_core.action_space import action_space
from univla_core.errors import DataError

from univla_data.export_frames import ExportFrames

_QUALITY = 95
#: Columns beside those of UniVLA.
_COLUMNS = ('control_source', 'intervention', 'fresh', 'clean', 'is_pad')


class Hdf5Writer:
    """Writes episodes one after the other; `finish` makes them equally long if that is wished.

    Args:
        dataset: Folder of the files.
        compress: Whether pictures are stored as JPEG.
        equal_length: Whether short episodes are filled up, as UniVLA's loader needs it.
    """

    def __init__(self, dataset: Path, compress: bool = True, equal_length: bool = True) -> None:
        self._dataset, self._compress, self._equal = dataset, compress, equal_length

    def add(self, frames: ExportFrames, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write an episode; what the journal shall know of it is returned.

        Raises:
            DataError: If it cannot be written.
        """
        name = f'{_words(frames.instruction)}+{len(before):05d}.hdf5'
        path = self._dataset / name
        part = path.with_suffix('.part')
        try:
            with h5py.File(part, 'w') as file:
                self._fill(file, frames)
            part.replace(path)
        except OSError as error:
            raise DataError(f'{path} cannot be written: {error}') from error
        return {'file': name}

    def finish(self, records: Sequence[Mapping[str, Any]], signature: Mapping[str, Any]) -> None:
        """Make all files equally long: the robot stands, `is_pad` says that it was not there."""
        if not self._equal:
            return
        longest = max(record['frames'] for record in records)
        relative = action_space(signature['action_space']).relative
        still = relative or signature['action_space'] == 'base_twist'
        gripper = signature['action_names'][-1] == 'gripper'
        for record in records:
            if record['frames'] < longest:
                moving = len(signature['action_names']) - gripper
                _pad(self._dataset / record['file'], longest, slice(0, moving if still else 0))

    def _fill(self, file: h5py.File, frames: ExportFrames) -> None:
        grow = {'maxshape': (None,)}
        file.attrs.update(
            sim=False,
            compress=self._compress,
            frames=len(frames),
            robot=frames.robot,
            instruction=frames.instruction,
            action_space=frames.action_space,
            success='unknown' if frames.success is None else str(frames.success).lower(),
            provenance=json.dumps(frames.provenance, default=str),
        )
        for name, rows, names in (
            ('action', frames.action, frames.action_names),
            ('observations/qpos', frames.state, frames.state_names),
        ):
            file.create_dataset(name, data=rows, maxshape=(None, rows.shape[1]))
            file[name].attrs['names'] = list(names)
        file.create_dataset('observations/stamp', data=frames.stamps, **grow)
        text = h5py.string_dtype()
        file.create_dataset(
            'control_source', data=frames.control_source.astype(object), dtype=text, **grow
        )
        for name in ('intervention', 'fresh', 'clean'):
            file.create_dataset(name, data=getattr(frames, name), **grow)
        file.create_dataset('is_pad', data=np.zeros(len(frames), bool), **grow)
        lengths = []
        for camera, pictures in sorted(frames.images.items()):
            stored = pictures[..., ::-1]
            if self._compress:
                stored, sizes = _jpegs(stored)
                lengths.append(sizes)
            shape = stored.shape[1:]
            name = f'observations/images/{camera}'
            file.create_dataset(name, data=stored, chunks=(1, *shape), maxshape=(None, *shape))
        if self._compress:
            sizes = np.array(lengths)
            file.create_dataset('compress_len', data=sizes, maxshape=(len(sizes), None))


def _pad(path: Path, length: int, still: slice) -> None:
    """Repeat the last row up to a length; some columns of the action become zero: no motion."""
    part = path.with_suffix('.part')
    shutil.copyfile(path, part)
    with h5py.File(part, 'r+') as file:
        count = int(file.attrs['frames'])
        names = ['action', 'observations/qpos', 'observations/stamp', *_COLUMNS]
        names += [f'observations/images/{camera}' for camera in file['observations/images']]
        for name in names:
            rows = file[name]
            rows.resize(length, axis=0)
            rows[count:] = rows[count - 1]
        file['action'][count:, still] = 0.0
        file['is_pad'][count:] = True
        file['clean'][count:] = False
        if 'compress_len' in file:
            sizes = file['compress_len']
            sizes.resize(length, axis=1)
            sizes[:, count:] = sizes[:, count - 1 : count]
    part.replace(path)


def _jpegs(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BGR pictures as JPEG (T, longest), filled up with zeros, and the length of each (T,)."""
    options = (cv2.IMWRITE_JPEG_QUALITY, _QUALITY)
    packed = [
        cv2.imencode('.jpg', np.ascontiguousarray(picture), options)[1].ravel()
        for picture in pictures
    ]
    sizes = np.array([len(one) for one in packed])
    table = np.zeros((len(packed), sizes.max()), np.uint8)
    for row, one in zip(table, packed, strict=True):
        row[: len(one)] = one
    return table, sizes


def _words(instruction: str) -> str:
    """The task in words as a file name: blanks become `_`, and what no file may be called goes."""
    return re.sub(r'[^\w.,-]+', '_', instruction.strip())[:120].strip('_.') or 'task'
