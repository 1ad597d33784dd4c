"""What was collected into a folder so far, so that the same command goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from univla_core.errors import ConfigError
from univla_core.errors import DataError

from univla_ros.collect.options import FIRST_SEED
from univla_ros.collect.options import CollectOptions

_NAME = 'collect.json'


class Ledger:
    """Scenes of one robot and task: which are recorded, and which were tried in vain.

    Args:
        folder: Where the episodes are.
        options: How they are made; an earlier run with others is refused.

    Raises:
        ConfigError: If the folder was begun with other options.
        DataError: If its file is damaged.
    """

    def __init__(self, folder: Path, options: CollectOptions) -> None:
        self._folder, self._path = folder, folder / _NAME
        self._settings = {
            'kicks': options.kicks,
            'detours': options.detours,
            'camera_rate_hz': options.camera_rate_hz,
            'keep_failures': options.keep_failures,
            'raw': options.raw,
        }
        self._first = FIRST_SEED + options.seed
        self._failed: dict[str, str] = {}
        if self._path.is_file():
            self._read()

    def kept(self) -> set[int]:
        """Seeds of the episodes that are on the disk."""
        names = [path.parent.name for path in self._folder.glob('*/metadata.yaml')]
        return {int(name) for name in names if name.isdigit() and int(name) >= self._first}

    def next_seeds(self, count: int, taken: set[int]) -> list[int]:
        """The next scenes that were not tried yet, `count` of them; `taken` are under way."""
        known = self.kept() | taken | {int(seed) for seed in self._failed}
        seeds: list[int] = []
        seed = self._first
        while len(seeds) < count:
            if seed not in known:
                seeds.append(seed)
            seed += 1
        return seeds

    @property
    def failures(self) -> int:
        """How many scenes were tried in vain."""
        return sum(int(seed) >= self._first for seed in self._failed)

    def fail(self, seed: int, reason: str) -> None:
        """Remember a scene that gave no episode."""
        self._failed[str(seed)] = reason
        self.write()

    def write(self) -> None:
        """Put the file on the disk, whole or not at all."""
        draft = self._path.with_name(f'.{_NAME}.{os.getpid()}')
        document = {'settings': self._settings, 'failed': self._failed}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(document, indent=1), encoding='utf-8')
            draft.replace(self._path)
        except OSError as error:
            raise DataError(
                f'{self._path} cannot be written ({error.strerror}); choose another --out'
            ) from error

    def _read(self) -> None:
        try:
            document: dict[str, Any] = json.loads(self._path.read_text(encoding='utf-8'))
            before, self._failed = document['settings'], document['failed']
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f'{self._path} is damaged ({error}); remove it') from error
        before.setdefault('detours', '')  # of before there were any
        other = {k: v for k, v in before.items() if self._settings.get(k) != v}
        if other:
            said = ', '.join(f'{name} {value}' for name, value in other.items())
            raise ConfigError(
                f'{self._folder} was begun with {said}; take the same options, or another --out'
            )
