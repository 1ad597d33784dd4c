"""What a person asks of the robot, through which input, and whether they still hold on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment

from univla_control.config import ControlConfig


@dataclass(frozen=True)
class TwistAsk:
    """A velocity: of the end effector (6,) [m/s, rad/s], or of a base (2,) [m/s, rad/s].

    Attributes:
        twist: The velocity.
        tool: Whether its axes are the end effector's own instead of the base's.
    """

    twist: np.ndarray
    tool: bool = False


@dataclass(frozen=True)
class JointAsk:
    """Joint angles over time, as a leader arm sends them.

    Attributes:
        times: When each row is due [s], shape (m,), increasing.
        positions: Joint angles [rad], shape (m, n).
    """

    times: np.ndarray
    positions: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """Joint angles (n,) [rad] at a time, linear between rows, the nearest row outside."""
        return np.array([np.interp(time, self.times, column) for column in self.positions.T])


Ask = TwistAsk | JointAsk | None


class Teleop:
    """Keeps the last word of every input; the living one of highest priority counts.

    An input lives for `teleop_timeout_s` after its last message, or until it is released: the
    person's hold on it is the dead-man switch.

    Args:
        embodiment: The robot.
        config: Parameters.
    """

    def __init__(self, embodiment: Embodiment, config: ControlConfig) -> None:
        self._embodiment = embodiment
        self._timeout = config.teleop_timeout_s
        self._order = tuple(config.teleop_inputs)
        self._heard: dict[str, float] = {}
        self._asks: dict[str, Ask] = {}
        self.opening: float | None = None
        self.dropped = 0

    def on_twist(self, time: float, ask: TwistAsk, source: str = 'twist') -> str | None:
        """Take in a velocity that arrived at `time` [s].

        Returns:
            Why it was ignored, or None.
        """
        expected = 6 if self._embodiment.kind == 'arm' else 2
        if np.shape(ask.twist) != (expected,):
            return self._refuse(source, f'{source} has {np.shape(ask.twist)}, not {expected} axes')
        if not np.isfinite(ask.twist).all():
            return self._refuse(source, f'{source} holds NaN or infinity; look at its sender')
        return self._take(source, time, ask)

    def on_joints(self, time: float, ask: JointAsk) -> str | None:
        """Take in joint angles that arrived at `time` [s]; see `on_twist`."""
        source = 'joint_trajectory'
        count = self._embodiment.axis_count
        rows = len(ask.times)
        if self._embodiment.kind != 'arm':
            return self._refuse(source, f'{self._embodiment.name} has no joints to lead')
        if not rows or ask.positions.shape != (rows, count):
            return self._refuse(
                source, f'{source} has positions {ask.positions.shape}, not ({rows}, {count})'
            )
        if not (np.isfinite(ask.times).all() and np.isfinite(ask.positions).all()):
            return self._refuse(source, f'{source} holds NaN or infinity; look at the leader arm')
        if (np.diff(ask.times) <= 0.0).any():
            return self._refuse(source, f'{source} has points out of order; times must increase')
        return self._take(source, time, ask)

    def on_code(self, time: float) -> str | None:
        """A person holds on to a latent code; its chunk comes by way of policy and decoder."""
        return self._take('latent_code', time, None)

    def on_opening(self, opening: float) -> str | None:
        """Ask for a gripper opening in [0, 1]; executed while a person is in control."""
        if not math.isfinite(opening):
            return self._refuse('', 'the gripper opening asked for is not finite')
        self.opening = min(max(float(opening), 0.0), 1.0)
        return None

    def release(self, source: str) -> None:
        """The person lets go of this input."""
        self._heard.pop(source, None)

    def active(self, time: float, slack: float = 0.0) -> str:
        """Name of the input that counts at `time` [s], empty if no person holds on.

        Args:
            time: Time of the tick [s].
            slack: How long nobody was listening [s].
        """
        for source in self._order:
            age = time - self._heard.get(source, -math.inf)
            if 0.0 <= age <= self._timeout + slack:
                return source
        return ''

    def ask(self, source: str) -> Ask:
        """The last word of an input."""
        return self._asks.get(source)

    def forget(self) -> None:
        """Everybody has let go."""
        self._heard.clear()
        self._asks.clear()
        self.opening = None

    def _take(self, source: str, time: float, ask: Ask) -> str | None:
        if source not in self._order:
            known: Sequence[str] = self._order or ('none',)
            return self._refuse('', f'{source} is not listened to; teleop_inputs: {known}')
        self._heard[source], self._asks[source] = time, ask
        return None

    def _refuse(self, source: str, reason: str) -> str:
        """Bad input counts as letting go: nobody knows what was meant."""
        self.dropped += 1
        self.release(source)
        return reason
