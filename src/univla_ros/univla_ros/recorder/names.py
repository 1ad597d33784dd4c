"""Where an episode lies and what it is called."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from univla_core.errors import DataError
from univla_data.episode_writer import PART

#: Folder of episodes that belong to no task.
NO_TASK = 'recorded'
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.+-]*')


def episode_path(folder: Path, name: str, now: float) -> Path:
    """Path of a new episode.

    Args:
        folder: Where the episodes of this robot and task lie.
        name: Its name; empty takes the time.
        now: The time [s].

    Raises:
        DataError: If the name is no file name, or is taken.
    """
    if not name:
        return _free(folder, datetime.fromtimestamp(now).strftime('%Y-%m-%d_%H-%M-%S'))
    if not _NAME.fullmatch(name) or name.endswith(PART):
        raise DataError(
            f'{name!r} is no name for an episode; use letters, digits, "_", "-", "." and "+", '
            f'and do not end in {PART}'
        )
    if _taken(folder / name):
        raise DataError(f'{folder / name} exists already; choose another name')
    return folder / name


def _free(folder: Path, name: str) -> Path:
    path, number = folder / name, 2
    while _taken(path):
        path, number = folder / f'{name}_{number}', number + 1
    return path


def _taken(path: Path) -> bool:
    return path.exists() or path.with_name(path.name + PART).exists()
