"""Notice that the clock was set: it ran back, or further ahead than time really passed."""

from __future__ import annotations

#: Readings of several threads may be out of order by less than this [s].
_BACK_S = 0.05

#: Simulated time may run faster than real time, but not so far ahead between two looks [s].
_AHEAD_S = 0.5


class ClockWatch:
    """Compares a clock that may be set with one that never is; pure, so both are arguments."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def jump(self, now: float, steady: float) -> float:
        """How far the clock jumped since the last call, 0.0 if it did not [s].

        Args:
            now: The watched clock [s].
            steady: A clock that never jumps [s].
        """
        last, self._last = self._last, (now, steady)
        if last is None:
            return 0.0
        elapsed = now - last[0]
        ahead = elapsed - (steady - last[1])
        return ahead if elapsed < -_BACK_S or ahead > _AHEAD_S else 0.0

    def forget(self) -> None:
        """Begin anew: the next reading is compared with nothing."""
        self._last = None
