"""The last seconds of everything, kept in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from univla_ros.recorder.entry import Entry


class Ring:
    """Keeps the newest entries, bounded by time and by memory.

    Args:
        seconds: How far back it reaches [s]; 0 keeps nothing.
        max_bytes: Most memory; the oldest entries go first.
        standing: Streams whose last message stays in force until the next one, such as latched
            ones: what is in force when the ring begins is part of what it keeps.

    Attributes:
        bytes: Memory in use.
    """

    def __init__(self, seconds: float, max_bytes: int, standing: Collection[int] = ()) -> None:
        self._seconds, self._max_bytes = seconds, max_bytes
        self._standing = frozenset(standing)
        self._entries: deque[Entry] = deque()
        self._in_force: dict[tuple[int, str], Entry] = {}
        self._newest: dict[tuple[int, str], Entry] = {}
        self.bytes = 0

    def add(self, entry: Entry) -> None:
        """Take the next entry in and let go of what is too old or too much."""
        if entry.stream in self._standing:
            self._newest[entry.stream, entry.topic.name] = entry
        self._entries.append(entry)
        self.bytes += entry.size
        oldest = entry.received - self._seconds
        while self._entries and (
            self._entries[0].received < oldest or self.bytes > self._max_bytes
        ):
            gone = self._entries.popleft()
            self.bytes -= gone.size
            if gone.stream in self._standing:
                self._in_force[gone.stream, gone.topic.name] = gone

    def standing(self) -> list[Entry]:
        """What is in force now, one entry a topic."""
        return list(self._newest.values())

    def last(self, seconds: float) -> tuple[list[Entry], list[Entry]]:
        """What was in force at the beginning of the last `seconds` [s], and all since then."""
        if not self._entries:
            return [], []
        begin = self._entries[-1].received - seconds
        in_force, since = dict(self._in_force), []
        for entry in self._entries:
            if entry.received >= begin:
                since.append(entry)
            elif entry.stream in self._standing:
                in_force[entry.stream, entry.topic.name] = entry
        return list(in_force.values()), since
