"""Where the joints were a moment ago."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np


class JointHistory:
    """Joint angles of the last `span_s` seconds, read at any time between."""

    def __init__(self, span_s: float) -> None:
        self._span = span_s
        self._times: deque[float] = deque()
        self._joints: deque[np.ndarray] = deque()

    def reset(self) -> None:
        """Forget everything."""
        self._times.clear()
        self._joints.clear()

    def add(self, time: float, joints: np.ndarray) -> None:
        """Append joint angles (n,) [rad]; times must not run backwards."""
        self._times.append(time)
        self._joints.append(joints)
        while self._times[0] < time - self._span:
            self._times.popleft()
            self._joints.popleft()

    def at(self, time: float, slack_s: float = 0.05) -> np.ndarray | None:
        """Joint angles (n,) at a time, linear between two entries.

        The newest entry stands for every later time. None for a time more than `slack_s` before
        the oldest entry.
        """
        if not self._times or time < self._times[0] - slack_s:
            return None
        index = bisect_left(self._times, time)
        if index == 0:
            return self._joints[0]
        if index == len(self._times):
            return self._joints[-1]
        start, stop = self._times[index - 1], self._times[index]
        share = (time - start) / (stop - start)
        return (1.0 - share) * self._joints[index - 1] + share * self._joints[index]
