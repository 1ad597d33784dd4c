"""Converts what was heard, keeps the last seconds of it, and feeds what is being recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace

from univla_ros.recorder.bounded_queue import BoundedQueue
from univla_ros.recorder.conversion import Conversion
from univla_ros.recorder.entry import Entry
from univla_ros.recorder.episode_file import lower_priority
from univla_ros.recorder.ring import Ring
from univla_ros.recorder.take import Take


@dataclass(frozen=True)
class _Heard:
    stream: int
    received: float
    data: bytes


class Intake:
    """A thread that takes in messages in the order in which they came.

    Whoever hears them never waits: what does not fit into the queue is dropped and counted.

    Args:
        conversion: From what is heard to what is written.
        ring: Keeps the last seconds.
        max_bytes: Most memory that waits to be converted [bytes].

    Attributes:
        problem: Why the thread ended by a mistake of ours; empty if it did not.
    """

    def __init__(self, conversion: Conversion, ring: Ring, max_bytes: int) -> None:
        self._conversion, self._ring = conversion, ring
        self._queue: BoundedQueue[_Heard | Callable[[], None]] = BoundedQueue(max_bytes)
        self._take: Take | None = None
        self._open = True
        self.problem = ''
        self._thread = threading.Thread(target=self._run, name='intake', daemon=True)
        self._thread.start()

    def put(self, stream: int, received: float, data: bytes) -> bool:
        """Take a message in; false if it was dropped."""
        return self._queue.put(_Heard(stream, received, data), len(data))

    def begin(self, take: Take, first: Entry) -> None:
        """From here on write to `take`: an entry of its own, what is in force, and all else."""

        def begin() -> None:
            take.file.feed([first])
            take.replay([replace(e, received=take.begin) for e in self._ring.standing()], [])
            self._take = take

        self._queue.put(begin, force=True)

    def end(self, then: Callable[[], None]) -> None:
        """Write no more, then do something."""

        def end() -> None:
            self._take = None
            then()

        self._queue.put(end, force=True)

    def do(self, work: Callable[[Ring], None]) -> None:
        """Do something with the ring as it is when all that was heard so far is in it."""
        self._queue.put(lambda: work(self._ring), force=True)

    def close(self) -> None:
        """End the thread when all is done."""
        self._queue.put(self._close, force=True)
        self._thread.join()

    def _close(self) -> None:
        self._open = False

    def _run(self) -> None:
        lower_priority()
        try:
            while self._open:
                item = self._queue.get(1.0)
                if isinstance(item, _Heard):
                    self._write(item)
                elif item is not None:
                    item()
        except BaseException as error:  # a mistake of ours: told here, raised for the log
            self.problem = f'{type(error).__name__}: {error}'
            raise

    def _write(self, heard: _Heard) -> None:
        for entry in self._conversion.entries(heard.stream, heard.received, heard.data):
            self._ring.add(entry)
            if self._take is not None:
                self._take.write(entry)
