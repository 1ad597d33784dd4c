"""What an export has done so far, so that it can go on after any interruption."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from univla_core.errors import DataError

#: An export grows in a folder of this ending beside its place until it is whole.
PART = '.export'
_JOURNAL, _WISH, _SUMMARY = 'journal.jsonl', 'export.json', 'univla_export.json'
#: Room that must be left on the disk before an episode is exported [bytes].
ROOM = 200 * 2**20


class ExportJournal:
    """The folder of an export under way, and one line for each episode that is in it.

    Args:
        out: Where the data set will be.
        wish: Options that must be the same when the export goes on.

    Attributes:
        dataset: Folder that becomes `out`.
        pieces: Folder for what is only needed until then.
        records: One for each finished episode, in order.

    Raises:
        DataError: If `out` exists, another export writes there, or it was begun with other
            options.
    """

    def __init__(self, out: Path, wish: Mapping[str, Any]) -> None:
        self.out = out
        if out.exists():
            raise DataError(f'{out} exists already; remove it or choose another --out')
        self.part = out.with_name(out.name + PART)
        self.dataset, self.pieces = self.part / 'dataset', self.part / 'pieces'
        self._wish = json.loads(json.dumps(wish))
        self.records: list[dict[str, Any]] = []
        try:
            for folder in (self.dataset, self.pieces):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.part / 'lock').open('w')
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._resume()
        except BlockingIOError as error:
            raise DataError(
                f'{self.part}: another export is writing there; wait for it'
            ) from error
        except OSError as error:
            raise DataError(f'{self.part} cannot be written: {error}') from error

    def has(self, source: Path) -> bool:
        """Whether an episode is in the data set already.

        Raises:
            DataError: If it changed since.
        """
        for record in self.records:
            if record['source'] == str(source):
                if record['fingerprint'] == fingerprint(source):
                    return True
                raise DataError(
                    f'{source}: changed since it was exported; remove {self.part} to begin anew'
                )
        return False

    def check_room(self) -> None:
        """Refuse to go on when the disk is nearly full.

        Raises:
            DataError: Saying how much is free.
        """
        free = shutil.disk_usage(self.part).free
        if free < ROOM:
            raise DataError(
                f'{self.part}: {free / 2**20:.0f} MB are free, an episode is exported with '
                f'{ROOM / 2**20:.0f} MB only; make room, then run the same command again'
            )

    def add(self, record: Mapping[str, Any]) -> None:
        """Note an episode whose files are all there.

        Raises:
            DataError: If the disk is full.
        """
        try:
            with (self.part / _JOURNAL).open('a') as stream:
                stream.write(json.dumps(record) + '\n')
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise DataError(f'{self.part} cannot be written: {error}') from error
        self.records.append(json.loads(json.dumps(record)))

    def complete(self, signature: Mapping[str, Any]) -> None:
        """Bring the data set to its place, with a list of what it was made from."""
        told = [{k: v for k, v in r.items() if not k.startswith('_')} for r in self.records]
        summary = {'options': self._wish, **signature, 'episodes': told}
        (self.dataset / _SUMMARY).write_text(json.dumps(summary, indent=1, default=str) + '\n')
        self.dataset.rename(self.out)
        shutil.rmtree(self.part)

    def release(self) -> None:
        """Let another export go on."""
        self._lock.close()

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.part, ignore_errors=True)

    def _resume(self) -> None:
        wish = self.part / _WISH
        if wish.is_file():
            before = json.loads(wish.read_text())
            if before != self._wish:
                other = sorted(k for k in self._wish if before.get(k) != self._wish[k])
                raise DataError(
                    f'{self.part} was begun with another {", ".join(other)}; give the same '
                    'options, or remove it'
                )
        wish.write_text(json.dumps(self._wish))
        journal = self.part / _JOURNAL
        if not journal.is_file():
            return
        whole, _, torn = journal.read_text().rpartition('\n')
        self.records = [json.loads(line) for line in whole.splitlines()]
        if torn:
            journal.write_text(f'{whole}\n' if whole else '')


def fingerprint(source: Path) -> str:
    """Changes when the files of an episode change."""
    files = sorted(source.rglob('*')) if source.is_dir() else [source]
    known = [file.stat() for file in files if file.is_file()]
    return ' '.join(f'{state.st_size}:{state.st_mtime_ns}' for state in known)


def size_of(source: Path) -> int:
    """Size of an episode on the disk [bytes]."""
    files = source.rglob('*') if source.is_dir() else [source]
    return sum(file.stat().st_size for file in files if file.is_file())
