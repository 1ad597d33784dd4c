"""Where a held arm rests: at its measured joints, once it has come to a stop."""

from __future__ import annotations

import numpy as np

from univla_control.config import ControlConfig


class Rest:
    """Moves a hold from the commanded to the measured joints, once.

    A moving arm first brakes. It then still catches up with its commands for a moment; what is
    left after `hold_settle_s` is no lag but something in its way, and holding the command would
    go on pushing. So the hold passes to the joints measured at that moment.

    Args:
        config: Parameters.
    """

    def __init__(self, config: ControlConfig) -> None:
        self._config = config
        self.leave()

    def leave(self) -> None:
        """The arm is asked to move: the next hold begins anew."""
        self._since: float | None = None
        self._place: np.ndarray | None = None
        self._decided = False

    def place(
        self, time: float, commanded: np.ndarray, at_rest: bool, measured: np.ndarray | None
    ) -> np.ndarray | None:
        """Joint angles (n,) [rad] to rest at, None to stay where the command comes to rest.

        Args:
            time: Time of the tick [s].
            commanded: Commanded joint angles (n,) [rad].
            at_rest: Whether the commands stand still.
            measured: Measured joint angles (n,) [rad], None if they are not known now.
        """
        if self._decided:
            return self._place
        if not at_rest or measured is None:
            self._since = None
            return None
        self._since = time if self._since is None else self._since
        if time - self._since < self._config.hold_settle_s:
            return None
        gap = float(np.abs(measured - commanded).max())
        # A larger gap means that the arm was moved: found_elsewhere deals with it.
        if self._config.hold_tolerance_rad < gap <= self._config.reanchor_error_rad:
            self._place, self._decided = measured.copy(), True
        return self._place
