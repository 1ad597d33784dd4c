"""What the end effector and the body keep to, for a state and the whole stop from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from univla_core.kinematics import KinematicChain
from univla_core.limits import CartesianLimits

from univla_control.body_clearance import MARGIN
from univla_control.body_clearance import BodyClearance
from univla_control.body_clearance import CollisionModel

__all__ = ['DENSEST', 'MARGIN', 'SPACING', 'CollisionModel', 'Envelope', 'StopPath', 'Verdict']

#: Longest time between two samples of a stop [s].
SPACING = 1.0 / 60.0
#: Shortest time between them, for commands at 250 Hz [s].
DENSEST = 1.0 / 250.0
_SPEED_MARGIN = 0.01  # share of the caps kept for what happens between two samples
_SLACK = 1e-9
_BOUNDS = ('ee_speed', 'ee_rotation', *('workspace',) * 6)


@dataclass(frozen=True)
class StopPath:
    """The tick to a candidate state and the quickest stop from there.

    Attributes:
        positions: Joint angles [rad]: the present command, the candidate, samples of the stop,
            shape (K, n).
        velocities: Joint velocities there [rad/s], shape (K, n).
        steps: Time between them [s], shape (K - 1,).
        acceleration: Largest acceleration of each joint [rad/s²], shape (n,).
    """

    positions: np.ndarray
    velocities: np.ndarray
    steps: np.ndarray
    acceleration: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What the envelope says about a candidate.

    Attributes:
        held_back: The bound that it would break, empty if it may be taken.
        share: How much of the way from the quickest stop to the candidate would do, in [0, 1].
    """

    held_back: str
    share: float

    @property
    def speed(self) -> bool:
        """Whether that bound is one of the speeds, which no axis breaks alone."""
        return self.held_back.startswith('ee_')


class Envelope:
    """Keeps the end effector's speed, its place and the body's clearance, by induction.

    A candidate state is taken only if it and every sample of the quickest stop from it keep all
    bounds. The limiter's fallback, the quickest stop from the present state, was judged so one
    tick before. What is broken from the start (a folded posture, a box that was tightened) may
    not become worse; above a speed that was tightened the arm brakes.

    The samples of the stop are the very commands that a stop consists of, up to 250 Hz. Both the
    speed at each and the mean speed between two are bounded. Between two samples the end
    effector leaves the straight line by at most a·h²/8 at acceleration a and spacing h, about
    1 mm, by which the box is made smaller; see `BodyClearance` for the distances.

    Args:
        chain: Kinematics of the arm.
        limits: What to keep to.
        collision: Shapes of the body; without them the clearance is not looked at.
    """

    def __init__(
        self,
        chain: KinematicChain,
        limits: CartesianLimits,
        collision: CollisionModel | None = None,
    ) -> None:
        self._chain, self._reach = chain, chain.reach()
        self._body = None if collision is None else BodyClearance(collision, limits.clearance)
        self._bend = 0.0
        self._rows = np.zeros((1, len(_BOUNDS)))  # levels of the stop that is in force
        self._judged = self._rows
        self._broken = np.zeros(0, dtype=int)  # of the candidate judged last
        self._adopt(limits)
        self._allowed = self._most

    def begin(self, joints: np.ndarray) -> None:
        """Stand at joint angles (n,) [rad]."""
        joints = np.asarray(joints, dtype=float)[None]
        place = self._chain.motion(joints, np.zeros_like(joints))[0]
        self._rows = np.hstack([np.zeros((1, 2)), -place, place])
        self._relax()
        if self._body is not None:
            self._body.begin(joints[0])

    def set_limits(self, limits: CartesianLimits) -> None:
        """Change what to keep to; above a new speed the arm brakes, outside a box it comes in."""
        self._adopt(limits)
        self._relax()
        if self._body is not None:
            self._body.set_clearance(limits.clearance)

    @property
    def limits(self) -> CartesianLimits:
        """What is kept to."""
        return self._limits

    @property
    def uses(self) -> tuple[tuple[float, str], ...]:
        """Share of each speed bound in use, with its name."""
        speed, rotation = self._rows[0, :2]
        return (
            (float(speed) / self._limits.ee_speed, 'ee_speed'),
            (float(rotation) / self._limits.ee_rotation, 'ee_rotation'),
        )

    def harmless(self, joints: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Which axes may go on alone without making worse what the last candidate broke.

        Args:
            joints: Present joint angles [rad], shape (n,).
            direction: Sign of the motion of each axis, shape (n,).

        Returns:
            One bool per axis.
        """
        steps = np.diag(np.sign(direction))
        if self._broken.size == 0 and self._body is not None:
            return self._body.harmless(joints, steps)
        moves = self._chain.motion(np.tile(joints, (len(joints), 1)), steps)[2]
        outwards = np.hstack([-moves, moves])[:, self._broken[self._broken >= 2] - 2]
        return np.asarray((outwards <= _SLACK).all(axis=1))

    def judge(self, path: StopPath) -> Verdict:
        """Whether a candidate may be taken; `accept` takes the one judged last."""
        self._widen(path)
        self._judged = rows = self._levels(path)
        worst = rows.max(axis=0)
        broken = self._broken = np.flatnonzero(worst > self._allowed + _SLACK)
        if broken.size:
            rest = self._rows[1:] if len(self._rows) > 1 else self._rows
            base = rest.max(axis=0)[broken]
            room = (self._allowed[broken] - base) / (worst[broken] - base)
            index = int(room.argmin())
            return Verdict(_BOUNDS[broken[index]], float(np.clip(room[index], 0.0, 1.0)))
        if self._body is not None and not self._body.keeps(path.positions):
            return self._too_near(self._body)
        return Verdict('', 1.0)

    def accept(self) -> None:
        """The candidate judged last is the next state."""
        self._rows = self._judged
        self._relax(self._allowed)
        if self._body is not None:
            self._body.accept()

    def brake(self) -> None:
        """The quickest stop went on for one tick instead."""
        if len(self._rows) > 1:
            self._rows = self._rows[1:]

    def _too_near(self, body: BodyClearance) -> Verdict:
        gap, pair = body.gap, body.pair
        spare = body.rest_gap() - body.needed
        share = spare / (spare + max(1e-6, body.needed - gap)) if spare > 0.0 else 0.0
        return Verdict(f'clearance of {pair}' if pair else 'clearance', share)

    def _adopt(self, limits: CartesianLimits) -> None:
        self._limits = limits
        speeds = (1.0 - _SPEED_MARGIN) * np.array([limits.ee_speed, limits.ee_rotation])
        box = np.concatenate([-limits.workspace_lower, limits.workspace_upper])
        self._most = np.concatenate([speeds, box - self._bend])

    def _widen(self, path: StopPath) -> None:
        """Keep the box smaller by what the path may bend between two samples."""
        spacing = max(SPACING, float(path.steps[0]))
        bend = float(self._reach @ path.acceleration) * spacing**2 / 8.0
        if bend > self._bend:
            self._most[2:] -= bend - self._bend
            self._bend = bend
            self._relax(self._allowed)

    def _relax(self, most: np.ndarray | float = np.inf) -> None:
        """Allow the place that the way ahead leads to, though outside, but no farther out."""
        self._allowed = np.maximum(self._most, np.minimum(most, self._rows.max(axis=0)))
        self._allowed[:2] = self._most[:2]

    def _levels(self, path: StopPath) -> np.ndarray:
        """Speed, rotation, -place and place of the candidate and each sample, (K - 1, 8)."""
        places, turns, linear, angular = self._chain.motion(path.positions, path.velocities)
        rows = np.empty((len(path.steps), len(_BOUNDS)))
        chords = _norm(np.diff(places, axis=0)) / path.steps
        np.maximum(_norm(linear[1:]), chords, out=rows[:, 0])
        # |R₁ − R₀| = 2√2 · sin(θ / 2) for the angle θ between two rotations.
        halves = _norm(np.diff(turns, axis=0).reshape(len(path.steps), 9)) / np.sqrt(8.0)
        angles = 2.0 * np.arcsin(np.minimum(halves, 1.0))
        np.maximum(_norm(angular[1:]), angles / path.steps, out=rows[:, 1])
        rows[:, 2:5], rows[:, 5:] = -places[1:], places[1:]
        return rows


def _norm(vectors: np.ndarray) -> np.ndarray:
    """Length of each row."""
    return np.sqrt((vectors * vectors).sum(axis=1))
