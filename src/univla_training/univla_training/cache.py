"""Recorded episodes → arrays on disk, made once for each episode and reused by content."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any
from typing import BinaryIO

import numpy as np
from rich.console import Console
from rich.progress import track
from univla_core.errors import TrainingError

from univla_training.frame_store import EpisodeRow
from univla_training.frame_store import FrameStore
from univla_training.recorded import FrameFormat
from univla_training.recorded import columns
from univla_training.recorded import read_frames
from univla_training.recordings import recorded_episodes
from univla_training.settings import DataSettings
from univla_training.training_state import require_space
from univla_training.training_state import write_atomically

INDEX = 'index.json'
#: Episodes from which several processes are worth their start.
FEW = 12
SAVE_EVERY_S = 5.0


def build_store(
    data: Path | Sequence[Path],
    cache: Path,
    settings: DataSettings,
    side: int,
    *,
    workers: int = 0,
    least: int = 2,
    console: Console | None = None,
) -> FrameStore:
    """Frames of all episodes of some places; only what is new is computed.

    Args:
        data: Where recorded episodes are, see `recorded_episodes`.
        cache: Folder for the arrays of all data sets; may be deleted at any time.
        settings: Camera, rate, horizon and robots.
        side: Side of the pictures [px].
        workers: Processes; 0 takes one for each core.
        least: Episodes of the robots asked for that there must be.
        console: Where progress shows.

    Raises:
        TrainingError: If there are fewer episodes, or one of them is unusable.
    """
    paths = recorded_episodes(data)
    where = str(data) if isinstance(data, Path) else ', '.join(map(str, data))
    if len(paths) < least:
        raise TrainingError(
            f'{where}: holds {len(paths)} recorded episodes; at least {least} are needed. Make '
            'some: `./univla collect --robot widowx --task reach --episodes 100`'
        )
    frame_format = FrameFormat(
        side=side, camera=settings.camera, rate_hz=settings.rate_hz, horizon=settings.horizon
    )
    with Pool(cache, frame_format).locked() as pool:
        keys = pool.add(paths, workers or os.cpu_count() or 1, console)
        store = pool.store(dict(zip(keys, paths, strict=True)))
    store = store.only(settings.robots)
    _check(store, where, settings, least)
    return store


def _check(store: FrameStore, where: str, settings: DataSettings, least: int) -> None:
    if len(store.episodes) < least:
        raise TrainingError(
            f'{where}: {len(store.episodes)} of its episodes are of {", ".join(settings.robots)}; '
            f'at least {least} are needed. Widen `robots` in the section data of the recipe'
        )
    for robot in store.robots:
        sizes: dict[tuple[int, int], str] = {}
        for row in store.episodes:
            if row.robot == robot:
                sizes.setdefault(row.camera, row.path)
        if len(sizes) > 1:
            listed = ', '.join(f'{w}x{h} in {path}' for (h, w), path in sizes.items())
            raise TrainingError(
                f'{where}: pictures of {robot} have different sizes ({listed}); resized alike '
                'they would be distorted differently. Keep the episodes of one camera setting'
            )


class Pool:
    """Files that grow by the frames of each new episode, and an index of who is where.

    Frames count only once the index names them, so that an interrupted build costs nothing but
    what was not yet named.
    """

    def __init__(self, cache: Path, frame_format: FrameFormat) -> None:
        self._format = frame_format
        self._columns = columns(frame_format)
        text = json.dumps(dataclasses.asdict(frame_format), sort_keys=True)
        self.folder = cache / hashlib.sha256(text.encode()).hexdigest()[:12]
        self._index: dict[str, Any] = {'frames': 0, 'episodes': {}, 'files': {}}
        self._dirty = False

    @contextmanager
    def locked(self) -> Iterator[Pool]:
        """One builder at a time; a second one waits and then finds the work done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / '.lock').open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / INDEX
            if path.is_file():
                self._index = json.loads(path.read_text(encoding='utf-8'))
            yield self

    def add(self, paths: Sequence[Path], workers: int, console: Console | None) -> list[str]:
        """Take in the episodes that are new; returns the key of each, in the order given."""
        keys = [self._key(path) for path in paths]
        known = self._index['episodes']
        new = {key: path for key, path in zip(keys, paths, strict=True) if key not in known}
        if new:
            row = sum(int(np.dtype(t).itemsize * np.prod(s)) for t, s in self._columns.values())
            require_space(self.folder, row * 20 * len(new), f'Arrays of {len(new)} episodes')
            if console is not None and not console.is_terminal:
                console.print(f'Reading {len(new)} new episodes of {len(keys)}', highlight=False)
            self._take_in(new, min(workers, len(new)), console)
        if self._dirty:
            self._save()
        return keys

    def store(self, paths: Mapping[str, Path]) -> FrameStore:
        """A store of the episodes with these keys."""
        rows = []
        for key, path in paths.items():
            facts = self._index['episodes'][key]
            tuples = {name: tuple(facts[name]) for name in ('spaces', 'camera')}
            tuples['drivers'] = tuple(tuple(part) for part in facts.get('drivers', ()))
            rows.append(EpisodeRow(**{**facts, **tuples, 'key': key, 'path': str(path)}))
        rows.sort(key=lambda row: row.start)
        arrays = {name: self._open(name) for name in self._columns}
        return FrameStore(rows, arrays)

    def _take_in(self, new: Mapping[str, Path], workers: int, console: Console | None) -> None:
        files = {name: self._append_to(name) for name in self._columns}
        saved = monotonic()
        try:
            made = _read_all(new, self._format, workers)
            for key, facts, arrays in track(
                made,
                description='Episodes',
                total=len(new),
                console=console,
                disable=console is None or not console.is_terminal,
            ):
                start, count = self._index['frames'], len(arrays['stamps'])
                for name, (kind, _) in self._columns.items():
                    files[name].write(np.ascontiguousarray(arrays[name], dtype=kind).data)
                self._index['episodes'][key] = {**facts, 'start': start, 'stop': start + count}
                self._index['frames'] = start + count
                if monotonic() - saved >= SAVE_EVERY_S:
                    self._sync(files)
                    saved = monotonic()
            self._sync(files)
        except OSError as error:
            raise TrainingError(
                f'{self.folder}: cannot be written ({error}); make room and run the command again'
            ) from error
        finally:
            for file in files.values():
                file.close()

    def _sync(self, files: Mapping[str, BinaryIO]) -> None:
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        self._save()

    def _save(self) -> None:
        self._dirty = False
        text = json.dumps(self._index)
        write_atomically(self.folder / INDEX, lambda file: file.write(text.encode()))

    def _file(self, name: str) -> Path:
        return self.folder / f'{name.replace("/", "_")}.bin'

    def _append_to(self, name: str) -> BinaryIO:
        """The file of an array, open behind the last frame that the index knows."""
        kind, shape = self._columns[name]
        size = self._index['frames'] * int(np.dtype(kind).itemsize * np.prod(shape))
        path = self._file(name)
        path.touch()
        os.truncate(path, size)
        return path.open('ab')

    def _open(self, name: str) -> np.ndarray:
        kind, shape = self._columns[name]
        shape = (self._index['frames'], *shape)
        return np.asarray(np.memmap(self._file(name), dtype=kind, mode='r', shape=shape))

    def _key(self, path: Path) -> str:
        """Hash of an episode's files; their contents are read again only if they changed."""
        files = sorted(file for file in path.rglob('*') if file.is_file())
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        seen = hashlib.sha256(repr(stats).encode()).hexdigest()
        known = self._index['files'].get(str(path.resolve()))
        if known is not None and known[0] == seen:
            return known[1]
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.name.encode())
            with file.open('rb') as stream:
                while block := stream.read(2**20):
                    digest.update(block)
        key = digest.hexdigest()[:24]
        self._index['files'][str(path.resolve())] = [seen, key]
        self._dirty = True
        return key


def _read_all(
    new: Mapping[str, Path], frame_format: FrameFormat, workers: int
) -> Iterator[tuple[str, dict[str, Any], dict[str, np.ndarray]]]:
    if workers <= 1 or len(new) < FEW:
        for key, path in new.items():
            yield (key, *read_frames(path, frame_format))
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context('spawn'))
    jobs: dict[Any, str] = {}
    try:
        for key, path in new.items():
            jobs[pool.submit(read_frames, path, frame_format)] = key
            if len(jobs) >= 4 * workers:
                yield _finished(jobs)
        while jobs:
            yield _finished(jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(jobs: dict[Any, str]) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """The next job that is done; it leaves `jobs`."""
    job = next(as_completed(jobs))
    key = jobs.pop(job)
    return (key, *job.result())
