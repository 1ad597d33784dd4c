"""A queue between threads that never lets the one who puts in wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic
from typing import TypeVar

ItemT = TypeVar('ItemT')


class BoundedQueue(Generic[ItemT]):
    """Holds at most so many bytes; what does not fit is refused.

    Args:
        max_bytes: Most bytes of all items together.

    Attributes:
        bytes: Bytes of the items that wait now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._items: deque[tuple[ItemT, int]] = deque()
        self._changed = threading.Condition()
        self.bytes = 0

    def put(self, item: ItemT, size: int = 0, *, force: bool = False) -> bool:
        """Put one item in, unless there is no room for its `size` [bytes]; never waits for room.

        Args:
            item: What to put in.
            size: Its size [bytes].
            force: Put it in whatever it takes.
        """
        with self._changed:
            if not force and self.bytes + size > self._max_bytes:
                return False
            self._items.append((item, size))
            self.bytes += size
            self._changed.notify()
        return True

    def get(self, timeout_s: float) -> ItemT | None:
        """The oldest item; None if there is none within `timeout_s` [s]."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                left = deadline - time.monotonic()
                if left <= 0.0 or not self._changed.wait(left):
                    if self._items:
                        break
                    return None
            item, size = self._items.popleft()
            self.bytes -= size
        return item
