"""The action chunk: what a decoder tells one body to do in the next fraction of a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univla_core.action_space import action_space
from univla_core.errors import ActionError


@dataclass(frozen=True, kw_only=True)
class ActionChunk:
    """`horizon` actions of one robot, placed on the time line of their observation.

    Row i is the target for `stamp + (i + 1) · step_duration_s`.

    Attributes:
        robot: Name of the embodiment the chunk is for.
        action_space: Name of the action space, see `univla_core.action_space`.
        names: One axis name per action dimension.
        data: Actions in robot units, float64, shape (horizon, action_dim).
        step_duration_s: Time between two rows [s].
        stamp: Time of the observation [s].
        sequence: Running number of the chunk.
        latent_sequence: Number of the latent action it was decoded from.
        instruction: The task in words.
        source: Who chose the latent action: `policy`, or `teleop` for a person.
        plan_start, plan_stop, decode_stop: Times of the chain [s].
    """

    robot: str
    action_space: str
    names: tuple[str, ...]
    data: np.ndarray
    step_duration_s: float
    stamp: float = 0.0
    sequence: int = 0
    latent_sequence: int = 0
    instruction: str = ''
    source: str = 'policy'
    plan_start: float = 0.0
    plan_stop: float = 0.0
    decode_stop: float = 0.0

    @property
    def horizon(self) -> int:
        """Number of actions."""
        return self.data.shape[0]

    @property
    def end(self) -> float:
        """Time of the last action [s]."""
        return self.stamp + self.horizon * self.step_duration_s

    def check(self, robot: str) -> None:
        """Refuse a chunk that is malformed, not finite or meant for another robot.

        Raises:
            ActionError: Saying which.
        """
        action_space(self.action_space)
        where = f'action chunk {self.sequence}'
        if self.robot != robot:
            raise ActionError(
                f'{where} is for robot {self.robot!r}, this controller drives {robot!r}'
            )
        if self.data.ndim != 2 or self.data.shape[1] != len(self.names) or not self.horizon:
            raise ActionError(
                f'{where} has data of shape {self.data.shape} for {len(self.names)} names; '
                'it must be (horizon, action_dim) with one name per dimension'
            )
        if not (np.isfinite(self.step_duration_s) and self.step_duration_s > 0.0):
            raise ActionError(
                f'{where} has a step of {self.step_duration_s} s; it must be positive'
            )
        if not np.isfinite(self.data).all():
            row, column = np.argwhere(~np.isfinite(self.data))[0]
            raise ActionError(
                f'{where} holds a non-finite value in step {row}, {self.names[column]}'
            )
