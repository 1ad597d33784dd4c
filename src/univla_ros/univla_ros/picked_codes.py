"""Codes that a person picks for the policy, for as long as they keep coming."""

from __future__ import annotations

import numpy as np


class PickedCodes:
    """The newest picked codes and when they came; pure, so a clock is an argument.

    Args:
        timeout_s: Time after which codes that are not repeated count as released [s].
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._newest: tuple[float, np.ndarray] | None = None

    def pick(self, codes: np.ndarray, steady: float) -> None:
        """Take codes in.

        Args:
            codes: Checked codes, int32, (codes_per_plan,).
            steady: A clock that never jumps [s].
        """
        self._newest = (steady, codes)

    def at(self, steady: float) -> np.ndarray | None:
        """The codes to plan by now, None if the policy shall choose."""
        newest = self._newest
        if newest is None or steady - newest[0] > self._timeout_s:
            return None
        return newest[1]

    def forget(self) -> None:
        """Let go."""
        self._newest = None
