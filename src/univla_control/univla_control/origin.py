"""Where the increments of a chunk start from."""

from __future__ import annotations

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.action_space import action_space

from univla_control.chunk_plan import ChunkPlan
from univla_control.config import ControlConfig
from univla_control.joint_history import JointHistory


class Origin:
    """Remembers measured and asked joints, to place a chunk that was planned a moment ago.

    An arm follows its commands with a lag. Started from the measured pose, every chunk would
    pull it back by that lag: it would creep. So increments start from what was asked for at that
    time, yet no further from the measured joints than a lag explains: an arm that is blocked must
    not wind up.

    What was asked for is what the plan being executed says of that time, even where it had not
    arrived yet: a chunk follows the one before it. By what was in force at that time it would
    follow the one before that, and two rows of chunks, each with its own idea of where the arm
    is, would take turns: the arm swings.

    Attributes:
        measured: Joint angles as measured.
        asked: Joint angles as the plans asked for them, for times that no plan speaks of.
    """

    def __init__(self, config: ControlConfig) -> None:
        self._bound = config.delta_lag_rad
        self.measured = JointHistory(config.history_s)
        self.asked = JointHistory(config.history_s)

    def reset(self) -> None:
        """Forget everything."""
        self.measured.reset()
        self.asked.reset()

    def of(
        self, chunk: ActionChunk, newest: np.ndarray, before: ChunkPlan | None = None
    ) -> np.ndarray | None:
        """Joint angles (n,) [rad] that the chunk of an arm starts from.

        Args:
            chunk: The chunk.
            newest: Newest measured joints (n,) [rad].
            before: The plan being executed.

        Returns:
            None if the chunk holds increments and the joints at its stamp are not kept.
        """
        measured = self.measured.at(chunk.stamp)
        if measured is None:
            return None if action_space(chunk.action_space).relative else newest
        asked = None
        if before is not None and action_space(chunk.action_space).relative:
            asked = before.joints_at(chunk.stamp, measured)  # an inverse kinematics
        if asked is None:
            asked = self.asked.at(chunk.stamp)
        if asked is None:
            return measured
        return measured + np.clip(asked - measured, -self._bound, self._bound)
