"""Time that passes only when everything due has been done: events in a fixed order."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

#: One second [ns].
SECOND = 1_000_000_000


class Event:
    """Something that happens once, or again and again.

    Args:
        call: What is done.
        begin: When it happens first [ns].
        period_s: Time until it happens again [s]; None if it happens once.

    Attributes:
        time: When it happens next [ns].
        cancelled: Whether it will happen no more.
    """

    def __init__(self, call: Callable[[], object], begin: int, period_s: float | None) -> None:
        self.call, self.time, self.cancelled = call, begin, False
        self._begin, self._period_s, self._count = begin, period_s, 0

    def recur(self) -> bool:
        """Move on to the next time; false if there is none."""
        if self._period_s is None or self.cancelled:
            return False
        self._count += 1
        # From the beginning each time, so that rounding to nanoseconds never adds up.
        self.time = self._begin + round(self._count * self._period_s * SECOND)
        return True

    def cancel(self) -> None:
        """Let it happen no more."""
        self.cancelled = True


class VirtualTime:
    """A clock and the events on it; what is due at one instant happens in the order of ranks.

    Args:
        begin_s: Where the clock starts [s].

    Attributes:
        nanoseconds: Present time [ns].
    """

    def __init__(self, begin_s: float) -> None:
        self.nanoseconds = round(begin_s * SECOND)
        self._queue: list[tuple[int, int, int, Event]] = []
        self._numbers = itertools.count()

    @property
    def now(self) -> float:
        """Present time [s], as a stamp in a message would tell it."""
        seconds, rest = divmod(self.nanoseconds, SECOND)
        return seconds + 1e-9 * rest

    def after(self, delay_s: float, rank: int, call: Callable[[], object]) -> Event:
        """Do something once, `delay_s` [s] from now."""
        return self._add(Event(call, self.nanoseconds + round(delay_s * SECOND), None), rank)

    def every(
        self, period_s: float, rank: int, call: Callable[[], object], *, at_once: bool = False
    ) -> Event:
        """Do something every `period_s` [s], first after one period or at once."""
        event = Event(call, self.nanoseconds, period_s)
        if not at_once:
            event.recur()
        return self._add(event, rank)

    def run(self, duration_s: float, until: Callable[[], bool]) -> bool:
        """Let time pass.

        Args:
            duration_s: At most so long [s]; what is due at its end is still done.
            until: Asked after every instant; true stops.

        Returns:
            Whether `until` stopped it.
        """
        end = self.nanoseconds + round(duration_s * SECOND)
        while self._queue and self._queue[0][0] <= end:
            self._instant(self._queue[0][0])
            if until():
                return True
        self.nanoseconds = end
        return False

    def _instant(self, time: int) -> None:
        self.nanoseconds = time
        while self._queue and self._queue[0][0] <= time:
            _, rank, number, event = heapq.heappop(self._queue)
            if event.cancelled:
                continue
            event.call()
            if event.recur():
                heapq.heappush(self._queue, (event.time, rank, number, event))

    def _add(self, event: Event, rank: int) -> Event:
        heapq.heappush(self._queue, (event.time, rank, next(self._numbers), event))
        return event
