"""Notice when the machine itself stands still, as virtual machines do.

One process per core sleeps two milliseconds at a time at a higher priority than everything else
here. When it wakes late, its core was taken away, and no program could have kept its rate.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

_SLEEP_S, _LATE_S = 0.002, 0.006
_MOST_CORES = 8

Interval = tuple[float, float]


class StallWatch:
    """Watches every core while it is open; empty where real-time priority is not permitted."""

    def __enter__(self) -> StallWatch:
        context = multiprocessing.get_context('fork')
        self._watchers = []
        cores = sorted(os.sched_getaffinity(0))
        for core in cores if len(cores) <= _MOST_CORES else ():
            ours, theirs = context.Pipe()
            process = context.Process(target=_watch, args=(core, theirs), daemon=True)
            process.start()
            self._watchers.append((process, ours))
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def so_far(self) -> list[Interval]:
        """The stalls until now, as `stop` gives them; the watch goes on."""
        return self._ask('report')

    def stop(self) -> list[Interval]:
        """All stalls as (start, end) [s, system time], joined where they overlap."""
        stalls = self._ask('stop')
        for process, _ in self._watchers:
            process.join(timeout=2.0)
        self._watchers = []
        return stalls

    def _ask(self, word: str) -> list[Interval]:
        intervals: list[Interval] = []
        for _, pipe in self._watchers:
            pipe.send(word)
        for _, pipe in self._watchers:
            if pipe.poll(2.0):
                intervals += pipe.recv()
        return joined(intervals)


def joined(intervals: Sequence[Interval]) -> list[Interval]:
    """Union of intervals, in order."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def stalled(stalls: Sequence[Interval], begin: float, end: float) -> float:
    """How much of [begin, end] the machine stood still [s]."""
    return sum(max(0.0, min(end, b) - max(begin, a)) for a, b in stalls)


def _watch(core: int, pipe: Connection) -> None:
    late: list[Interval] = []
    try:
        os.sched_setaffinity(0, {core})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    except OSError:
        while pipe.recv() != 'stop':
            pipe.send(late)
        pipe.send(late)
        return
    last, word = time.time(), ''
    while word != 'stop':
        time.sleep(_SLEEP_S)
        now = time.time()
        if now - last > _SLEEP_S + _LATE_S:
            late.append((last, now))
        last = now
        if pipe.poll():
            word = pipe.recv()
            pipe.send(late)
