"""How long a repeated piece of work takes, how often it is done, and whether it hangs."""

from __future__ import annotations

from collections import deque

import numpy as np

#: Rates look back so far [s].
_WINDOW_S = 5.0

#: So many times the usual duration is a hang.
_USUAL = 3.0


class WorkWatch:
    """Times one kind of work; pure, so a clock that never jumps is an argument.

    One thread calls `start` and `stop`; others may read at any time.

    Args:
        budget_s: Time that the work should take at most [s].
        hang_timeout_s: Time after which it hangs [s]; 0 takes the budget, or three times what the
            work usually takes if that is more: a slow computer is slow, not hung.
    """

    def __init__(self, budget_s: float, hang_timeout_s: float = 0.0) -> None:
        self.budget_s = budget_s
        self._adapts = not hang_timeout_s
        self.hang_timeout_s = hang_timeout_s or budget_s
        self._since: float | None = None
        self._done: deque[tuple[float, float]] = deque(maxlen=100)

    def start(self, steady: float) -> None:
        """The work begins."""
        self._since = steady

    def stop(self, steady: float) -> bool:
        """The work is done or failed; whether it took no longer than a hang."""
        since, self._since = self._since, None
        duration = steady - (steady if since is None else since)
        in_time = duration <= self.hang_timeout_s
        self._done.append((steady, duration))
        if self._adapts:
            self.hang_timeout_s = max(self.budget_s, _USUAL * self.latency(0.5))
        return in_time

    def hangs(self, steady: float) -> bool:
        """Whether the work under way takes too long already."""
        since = self._since
        return since is not None and steady - since > self.hang_timeout_s

    def rate_hz(self, steady: float) -> float:
        """How often the work was finished in the last five seconds [Hz]."""
        times = [time for time, _ in tuple(self._done) if time >= steady - _WINDOW_S]
        if len(times) < 2:
            return 0.0
        return (len(times) - 1) / max(times[-1] - times[0], 1e-6)

    @property
    def count(self) -> int:
        """How many durations are known."""
        return len(self._done)

    def latency(self, quantile: float) -> float:
        """Quantile of the last hundred durations [s]; NaN before the first."""
        durations = [duration for _, duration in tuple(self._done)]
        return float(np.quantile(durations, quantile)) if durations else float('nan')
