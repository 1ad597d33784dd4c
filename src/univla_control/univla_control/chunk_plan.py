"""Places the rows of a chunk on the time line and turns them into a reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.action_space import action_space
from univla_core.embodiment import Embodiment
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation

from univla_control.config import ControlConfig
from univla_control.curve import KnotCurve
from univla_control.reference import CartesianReference
from univla_control.reference import JointReference
from univla_control.reference import TwistReference
from univla_control.reference import Unreachable
from univla_control.reference import nearest_turn

_ROOM = 5.0  # no pose farther from the base is planned to [m]


class ChunkPlan:
    """One adopted chunk: its reference, its gripper track and which row is due.

    Args:
        chunk: A checked chunk.
        embodiment: The robot.
        config: Parameters of the controller.
        origin: Joint angles at the stamp of the observation (n,) [rad]; unused for a base.
        received: Time of arrival [s].
    """

    def __init__(
        self,
        chunk: ActionChunk,
        embodiment: Embodiment,
        config: ControlConfig,
        origin: np.ndarray,
        received: float,
    ) -> None:
        self.chunk = chunk
        self.received = received
        self.joined = False
        self.twist: TwistReference | None = None
        self.motion: JointReference | CartesianReference | None = None
        count = len(embodiment.action_names(chunk.action_space)) - bool(embodiment.gripper)
        rows = chunk.data[:, :count]
        self._openings = chunk.data[:, count] if chunk.data.shape[1] > count else None
        space = action_space(chunk.action_space)
        if embodiment.kind == 'base':
            bound = embodiment.limits.velocity
            rows = np.clip(rows, -bound, bound)
            self.twist = TwistReference(chunk.stamp, chunk.step_duration_s, rows)
        elif space.cartesian:
            self.motion = _cartesian(chunk, rows, space.relative, embodiment, config, origin)
        else:
            knots = _joint_knots(rows, space.relative, embodiment, origin)
            curve = KnotCurve(_times(chunk), knots)
            self.motion = JointReference(curve, embodiment, config.seam_blend_s)

    def row(self, time: float) -> int:
        """Index of the row that is due next at a time."""
        step = math.ceil((time - self.chunk.stamp) / self.chunk.step_duration_s - 1e-9) - 1
        return min(max(step, 0), self.chunk.horizon - 1)

    def joints_at(self, time: float, near: np.ndarray) -> np.ndarray | None:
        """Joint angles (n,) [rad] that the rows put an arm at, None where they say nothing.

        Args:
            time: When [s].
            near: Of several solutions the one near these angles (n,) [rad].
        """
        if self.motion is None or not self.joined:
            return None
        return self.motion.planned(time, near)

    def opening(self, time: float) -> float | None:
        """Gripper opening in [0, 1] that the row due next asks for, None if it asks nothing."""
        if self._openings is None:
            return None
        return float(np.clip(self._openings[self.row(time)], 0.0, 1.0))


def plan_facts(plan: ChunkPlan | None, time: float) -> dict[str, Any]:
    """Fields of `ControllerStatus` about the chunk being executed at `time` [s], None without."""
    if plan is None:
        ages = ('observation_age', 'chunk_age', 'plan_latency', 'decode_latency')
        numbers = {'chunk_sequence': 0, 'latent_sequence': 0, 'chunk_step': -1}
        return {'instruction': '', **numbers, **dict.fromkeys(ages, math.nan)}
    chunk = plan.chunk
    return {
        'instruction': chunk.instruction,
        'chunk_sequence': chunk.sequence,
        'latent_sequence': chunk.latent_sequence,
        'chunk_step': plan.row(time),
        'observation_age': time - chunk.stamp,
        'chunk_age': time - plan.received,
        'plan_latency': chunk.plan_stop - chunk.plan_start,
        'decode_latency': chunk.decode_stop - chunk.plan_stop,
    }


def _times(chunk: ActionChunk) -> np.ndarray:
    """Times of the knots: the stamp, then each row."""
    return chunk.stamp + chunk.step_duration_s * np.arange(chunk.horizon + 1)


def _joint_knots(
    rows: np.ndarray, relative: bool, embodiment: Embodiment, origin: np.ndarray
) -> np.ndarray:
    """Joint angles at the stamp and at each row, shape (horizon + 1, n), inside the limits."""
    lower, upper = embodiment.limits.lower, embodiment.limits.upper
    if not relative:
        return np.clip(_led_in(np.clip(rows, lower, upper)), lower, upper)
    knots = [origin]
    for row in rows:
        knots.append(np.clip(knots[-1] + row, lower, upper))
    return np.array(knots)


def _led_in(rows: np.ndarray) -> np.ndarray:
    """Rows (m, n) with one more before them that goes on straight, shape (m + 1, n).

    Absolute targets say nothing about the stamp itself. The measured joints would be a poor knot
    there: the gap between them and the rows is the seam's to close, not the curve's.
    """
    before = 2.0 * rows[0] - rows[1] if len(rows) > 1 else rows[0]
    return np.concatenate([before[None], rows])


def _cartesian(
    chunk: ActionChunk,
    rows: np.ndarray,
    relative: bool,
    embodiment: Embodiment,
    config: ControlConfig,
    origin: np.ndarray,
) -> CartesianReference:
    assert embodiment.chain is not None
    start = embodiment.chain.forward(origin)
    place, rotation = start[:3, 3], start[:3, :3]
    knots = [np.concatenate([place, np.zeros(3)])]
    for row in rows:
        turn = rotation_from_vector(np.clip(row[3:6], -2.0 * np.pi, 2.0 * np.pi))
        place = np.clip(place + row[:3] if relative else row[:3], -_ROOM, _ROOM)
        rotation = turn @ rotation if relative else turn
        charted = vector_from_rotation(rotation @ start[:3, :3].T)
        knots.append(np.concatenate([place, nearest_turn(charted, knots[-1][3:])]))
    values = np.array(knots) if relative else _led_in(np.array(knots[1:]))
    return CartesianReference(
        KnotCurve(_times(chunk), values),
        start[:3, :3],
        embodiment,
        config.seam_blend_s,
        Unreachable(config.unreachable_m, config.unreachable_rad),
    )
