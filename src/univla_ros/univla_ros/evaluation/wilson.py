"""How sure a success rate is."""

from __future__ import annotations

import math

#: Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """Interval that holds the true rate with 95 % confidence; (0, 1) without any episode.

    Unlike rate ± 1.96 standard errors it stays inside [0, 1], and is not empty at 0 and 1.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.
    """
    if not episodes:
        return 0.0, 1.0
    rate, squared = successes / episodes, _Z**2
    scale = 1.0 + squared / episodes
    middle = (rate + squared / (2 * episodes)) / scale
    spread = math.sqrt(rate * (1.0 - rate) / episodes + squared / (4 * episodes**2))
    half = _Z / scale * spread
    # Both ends are exact at no success and at no failure, whatever rounding would say.
    low = middle - half if successes else 0.0
    high = middle + half if successes < episodes else 1.0
    return low, high
