"""Give back shared memory that processes left behind when they were killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path

_FOLDER = Path('/dev/shm')
#: Segments and ports of Fast DDS by its names up to Jazzy and the later ones. A lock file lies
#: beside each, which its process holds locked for as long as it lives.
_NAMES = re.compile(r'(fastrtps|fastdds)_([0-9a-z]{16}|port\d+)')
_LOCKS = ('_el', '_sl')
#: What was made just now may not be locked yet [s].
_YOUNG_S = 30.0


def sweep_shared_memory(folder: Path = _FOLDER, young_s: float = _YOUNG_S) -> int:
    """Remove this user's segments and ports of Fast DDS that no living process holds.

    A process that is killed leaves some ten megabytes behind each time, and ports whose locks
    nobody will open again: the next process that gets such a port may wait for them. The
    middleware's own tool for this is `fastdds shm clean`.

    Args:
        folder: Where shared memory lies; one that does not exist holds nothing.
        young_s: Leave what was made or changed less than so long ago [s].

    Returns:
        How much memory was given back [bytes].
    """
    freed = 0
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return 0
    latest = time.time() - young_s
    for name in filter(_NAMES.fullmatch, names):
        locks = [folder / f'{name}{ending}' for ending in _LOCKS]
        # The mutex of a port is a named semaphore to Linux.
        parts = [folder / name, folder / f'sem.{name}_mutex', *locks]
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            about = parts[0].stat()
            if about.st_uid != os.getuid() or about.st_ctime > latest or any(map(_held, locks)):
                continue
            for part in parts:
                part.unlink(missing_ok=True)
            freed += about.st_size
    return freed


def _held(path: Path) -> bool:
    """Whether a living process holds this lock file."""
    try:
        with path.open('rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
