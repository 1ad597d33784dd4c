"""The gripper's opening, limited in rate."""

from __future__ import annotations

import math

from univla_core.embodiment import Gripper


class GripperTrack:
    """Follows the asked opening at most as fast as the gripper can.

    Args:
        gripper: The gripper, None for a robot without one.
    """

    def __init__(self, gripper: Gripper | None) -> None:
        self._rate = gripper.opening_rate if gripper else 0.0
        self._measured: float | None = None
        self.opening: float | None = None

    def measure(self, opening: float | None) -> None:
        """Take in a measured opening in [0, 1]."""
        if self._rate and opening is not None and math.isfinite(opening):
            self._measured = min(max(float(opening), 0.0), 1.0)

    def reset(self) -> None:
        """Stay where the gripper is."""
        self.opening = self._measured

    def move(self, dt: float, target: float | None) -> None:
        """Spend `dt` [s] on the way to `target`; None stays. An unknown opening starts there."""
        if target is None or not self._rate:
            return
        if self.opening is None:
            self.opening = target
        step = self._rate * dt * (1.0 - 1e-9)
        self.opening += min(max(target - self.opening, -step), step)
