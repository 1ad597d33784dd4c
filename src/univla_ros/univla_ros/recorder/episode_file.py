"""One episode on its way to the disk, written by a thread of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_data.episode_writer import EpisodeWriter
from univla_data.message_types import message
from univla_data.message_types import typestore
from univla_data.provenance import Provenance

from univla_data import topics
from univla_ros.recorder.bounded_queue import BoundedQueue
from univla_ros.recorder.entry import Entry

#: Beside the control loop, writing comes last.
NICENESS = 5
_MB = 2**20


@dataclass(frozen=True, kw_only=True)
class DiskRules:
    """How episodes are written.

    Attributes:
        min_free_mb: Room that stays free on the disk [MB].
        queue_mb: Most memory that waits for the disk [MB].
        flush_s: Time between two flushes: as much is lost by a crash [s].
        sync: Whether each flush waits for the disk itself, so that a power cut loses no more.
    """

    min_free_mb: float = 500.0
    queue_mb: float = 256.0
    flush_s: float = 0.5
    sync: bool = True


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What is known only at the end of an episode.

    Attributes:
        begin: When it began [s].
        instruction: The task in words.
        success: Whether it was done, None if nobody judged.
        sources: Who drove, most of the time first.
        changes: Gives the other fields of the provenance; may take its time.
    """

    begin: float
    instruction: str
    success: bool | None = None
    sources: tuple[str, ...] = ()
    changes: Callable[[], Mapping[str, Any]] = dict


class EpisodeFile:
    """Takes entries from one thread and writes them on another.

    Args:
        path: Folder of the episode.
        embodiment: The robot.
        provenance: Where it comes from, as far as known.
        rules: How it is written.
        notify: Called from the writing thread when something happened: look at the attributes.

    Attributes:
        trouble: Why recording must end, such as a disk that is nearly full; empty if it need not.
        error: Why writing failed; empty if it did not.
        done: Whether the thread has ended.
        uri: Where the episode lies; empty before it is whole.
        bytes: Written so far.

    Raises:
        DataError: If the episode exists, or its folder is nowhere, full or not ours.
    """

    def __init__(
        self,
        path: Path,
        embodiment: Embodiment,
        provenance: Provenance,
        rules: DiskRules,
        notify: Callable[[], None],
    ) -> None:
        self.path = path
        self.trouble = self.error = self.uri = ''
        self.done = False
        self.bytes = 0
        self._rules, self._notify = rules, notify
        self._queue: BoundedQueue[Entry | Ending | _Discard] = BoundedQueue(
            int(rules.queue_mb * _MB)
        )
        self._writer = EpisodeWriter(path, embodiment, provenance)
        self._trouble_now()
        if self.trouble:
            self._writer.discard()
            raise DataError(self.trouble)
        self._thread = threading.Thread(target=self._run, name='episode_file', daemon=True)
        self._thread.start()

    def write(self, entry: Entry) -> bool:
        """Hand an entry over; false if so much waits for the disk that it was dropped."""
        return self._queue.put(entry, entry.size)

    def feed(self, entries: Iterable[Entry]) -> None:
        """Hand entries over that are in memory in any case."""
        for entry in entries:
            self._queue.put(entry, entry.size, force=True)

    def finish(self, ending: Ending) -> None:
        """Complete the episode once all is written."""
        self._queue.put(ending, force=True)

    def discard(self) -> None:
        """Remove what was written."""
        self._queue.put(_Discard(), force=True)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of writing; false if it takes longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        lower_priority()
        try:
            self._write_all()
        except DataError as error:
            self.error = str(error)
            with contextlib.suppress(OSError, ValueError):
                self._writer.abort()
        except BaseException as error:  # a mistake of ours: told here, raised for the log
            self.error = f'writing failed: {type(error).__name__}: {error}'
            raise
        finally:
            self.done = True
            self._notify()

    def _write_all(self) -> None:
        due, unflushed = time.monotonic(), False
        while True:
            item = self._queue.get(max(0.0, due - time.monotonic()) if unflushed else 1.0)
            if isinstance(item, Entry):
                self._writer.write_serialized(item.topic, item.received, item.data)
                self.bytes += item.size
                if not unflushed:
                    due, unflushed = time.monotonic() + self._rules.flush_s, True
            elif isinstance(item, Ending):
                self._complete(item)
                return
            elif item is not None:
                self._writer.discard()
                return
            if unflushed and time.monotonic() >= due:
                self._writer.flush(sync=self._rules.sync)
                unflushed = False
                self._look_at_disk()

    def _complete(self, ending: Ending) -> None:
        if ending.instruction:
            told = message(topics.INSTRUCTION.kind, data=ending.instruction)
            data = typestore().serialize_cdr(told, topics.INSTRUCTION.kind)
            self._writer.write_serialized(topics.INSTRUCTION, ending.begin, data, belated=True)
        changes = {'instruction': ending.instruction, **ending.changes()}
        self._writer.flush(sync=self._rules.sync)
        self.uri = str(self._writer.close(ending.success, ending.sources, **changes))

    def _look_at_disk(self) -> None:
        if not self.trouble:
            self._trouble_now()
            if self.trouble:
                self._notify()

    def _trouble_now(self) -> None:
        free = shutil.disk_usage(self.path.parent).free / _MB
        if free < self._rules.min_free_mb:
            self.trouble = (
                f'{self.path.parent}: {free:.0f} MB are free, min_free_mb is '
                f'{self._rules.min_free_mb:.0f}; make room'
            )


class _Discard:
    """Tells the thread to remove what was written."""


def lower_priority() -> None:
    """Let every other thread of this machine go before the calling one."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
