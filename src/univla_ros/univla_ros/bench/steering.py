"""Which way the bench's own person pushes: on while the robot moves, elsewhere where it cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment

#: The parts of a hand's twist.
AXES = ('x', 'y', 'z', 'rx', 'ry', 'rz')
#: Towards the home posture, which no joint's limit forbids; then single axes, the free ones first.
WAYS = ('home', 'z', 'x', 'y', 'rz', 'ry', 'rx')
#: How fast the hand is pushed and turned at most [m/s], [rad/s].
FASTEST = np.repeat([0.08, 0.4], 3)
_NEAR_HOME_RAD = 0.1


@dataclass(frozen=True)
class Way:
    """A push.

    Attributes:
        name: One of `WAYS`.
        sign: 1, or -1 for the opposite.
    """

    name: str
    sign: float

    @property
    def back(self) -> Way:
        """The opposite push."""
        return Way(self.name, -self.sign)

    def twist(self, arm: Embodiment, joints: np.ndarray | None) -> np.ndarray:
        """The push as the twist of a hand (6,) [m/s, rad/s].

        Args:
            arm: The robot.
            joints: Its measured joint angles (n,) [rad], None if they are not known.
        """
        if self.name != 'home':
            return self.sign * FASTEST * (np.array(AXES) == self.name)
        if joints is None or arm.chain is None or _at_home(arm, joints):
            return self.sign * FASTEST * (np.array(AXES) == 'z')
        twist = arm.chain.jacobian(joints) @ (arm.home - joints)
        return self.sign * twist / float(np.abs(twist / FASTEST).max())


class Steering:
    """To and fro as long as the robot follows; the next way when it has not for a while.

    Wherever the policy left an arm, at the edge of its reach, at a wall of its workspace or with
    joints at their limits, some way is free: each is tried until one is found.

    Args:
        ways: Names of ways in the order in which they are tried, at least one.
        sway_s: Time after which it turns round, so that an arm does not leave for good [s].
        patience_s: Time without motion after which another way is tried [s].
    """

    def __init__(
        self, ways: tuple[str, ...] = WAYS, sway_s: float = 1.0, patience_s: float = 0.4
    ) -> None:
        self._ways = [Way(name, sign) for name in ways for sign in (1.0, -1.0)]
        self._sway_s, self._patience_s = sway_s, patience_s
        self._tried = 0
        self._way = self._ways[0]
        self._turned: float | None = None
        self._moved = 0.0

    def way(self, time: float, follows: bool) -> Way:
        """Where to push now.

        Args:
            time: Present time [s].
            follows: Whether the robot moves, or is not the person's to move yet.
        """
        if self._turned is None:
            self._turned = self._moved = time
        if follows:
            self._moved = time
        if time - self._moved >= self._patience_s:
            self._tried += 1
            self._turn(self._ways[self._tried % len(self._ways)], time)
        elif time - self._turned >= self._sway_s:
            self._turn(self._way.back, time)
        return self._way

    def _turn(self, way: Way, time: float) -> None:
        self._way, self._turned, self._moved = way, time, time


def _at_home(arm: Embodiment, joints: np.ndarray) -> bool:
    return float(np.abs(arm.home - joints).max()) < _NEAR_HOME_RAD
