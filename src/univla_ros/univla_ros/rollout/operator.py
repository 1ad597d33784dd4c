"""A person at the controls of a rollout: watches the policy, and takes over when it fails."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from univla_control.controller import ChunkController
from univla_control.teleop import TwistAsk
from univla_sim.experts import make_expert
from univla_sim.world import World

#: Time between two messages of a teleoperation device [s].
PERIOD_S = 0.05


class Operator(Protocol):
    """Speaks to the controller as `teleop/twist` and `teleop/joint_trajectory` do."""

    def begin(self, controller: ChunkController, instruction: str) -> None:
        """An episode begins; the world was reset before."""
        ...

    def act(self, now: float, elapsed_s: float) -> None:
        """Called every `PERIOD_S`: at a time [s], so long after the episode began [s]."""
        ...


class ExpertOperator:
    """Lets the policy try, then drives by twist as the scripted expert would.

    Once it has taken over it holds on, also at rest after the task is done.

    Args:
        world: The world of the rollout, which it sees as it is.
        patience_s: Time that the policy gets [s].

    Attributes:
        took_over_s: When it took over, None if the policy did the task in time.
    """

    def __init__(self, world: World, patience_s: float) -> None:
        self._world, self._patience_s = world, patience_s
        self.took_over_s: float | None = None

    def begin(self, controller: ChunkController, instruction: str) -> None:
        """Watch."""
        self._controller, self._instruction = controller, instruction
        self.took_over_s, self._planned_s = None, -np.inf

    def act(self, now: float, elapsed_s: float) -> None:
        """Watch, take over, or go on driving."""
        if self.took_over_s is None:
            done = self._world.outcome(self._instruction).success
            if done or elapsed_s < self._patience_s:
                return
            self.took_over_s = elapsed_s
            chance = np.random.default_rng(0)  # without kicks it decides nothing
            self._expert = make_expert(self._world, self._instruction, chance)
        if elapsed_s >= self._planned_s + self._expert.step_s - 0.5 * PERIOD_S:
            self._planned_s = elapsed_s
            self._row = np.asarray(self._expert.plan(horizon=1), dtype=float)[0]
        self._say(now)

    def _say(self, now: float) -> None:
        teleop, row = self._controller.teleop, self._row
        if self._expert.action_space == 'base_twist':
            teleop.on_twist(now, TwistAsk(row))
            return
        teleop.on_twist(now, TwistAsk(row[:6] / self._expert.step_s))
        if len(row) > 6:
            teleop.on_opening(float(row[6]))
