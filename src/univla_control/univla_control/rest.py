"""Where a held arm rests: at its measured joints, once it has come to a stop."""

from __future__ import annotations

import numpy as np

from univla_control.config import ControlConfig


class Rest:
    """Leads a hold from the commanded to the measured joints, inside the limits.

    A moving arm first brakes. It then still catches up with its commands for a moment; what is
    left after `hold_settle_s` is no lag but something in its way, and holding the command would
    go on pushing. So the hold passes to the joints measured then. Later it gives way only to
    an arm that was moved by more than `give_way_rad` for `give_way_after_s`.

    Args:
        config: Parameters.

    Attributes:
        count: How often it passed to the measured joints.
    """

    def __init__(self, config: ControlConfig) -> None:
        self._config = config
        self.count = 0
        self.leave()

    def leave(self) -> None:
        """The arm is asked to move: the next hold begins anew."""
        self._since: float | None = None
        self._place: np.ndarray | None = None
        self._settled = False

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
        if not at_rest or measured is None:
            self._since = None
            return self._place
        config = self._config
        gap = float(np.abs(measured - commanded).max())
        if self._settled and gap <= config.give_way_rad:
            self._since = None
            return self._place
        self._since = time if self._since is None else self._since
        patience = config.give_way_after_s if self._settled else config.hold_settle_s
        if time - self._since >= patience:
            self._settled, self._since = True, None
            if gap > config.hold_tolerance_rad:
                self._place = measured.copy()
                self.count += 1
        return self._place
