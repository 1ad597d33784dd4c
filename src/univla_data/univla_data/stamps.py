"""Times: seconds in plain types, nanoseconds in bags."""

from __future__ import annotations

import math

#: One second [ns].
SECOND = 1_000_000_000


def nanoseconds(seconds: float) -> int:
    """Nanoseconds of a non-negative number of seconds, as a message would tell it."""
    whole = math.floor(seconds)
    return whole * SECOND + min(SECOND - 1, round((seconds - whole) * 1e9))


def seconds(nanoseconds: int) -> float:
    """Seconds, equal to those of a message stamp with as many nanoseconds."""
    whole, rest = divmod(int(nanoseconds), SECOND)
    return whole + 1e-9 * rest
