"""An expert that lets a policy drive in between, and shows how to go on from where it led."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from univla_core.errors import ActionError
from univla_core.observation import Observation
from univla_sim.world import World

from univla_ros.robot_state import RobotState
from univla_ros.rollout.brain import ExpertBrain
from univla_ros.rollout.brain import Plan

#: Who planned what nobody should imitate.
SOURCE = 'detour'
# Plans that the policy makes in a row, and the expert after it, drawn between these.
_POLICY_PLANS, _EXPERT_PLANS = (4, 20), (8, 16)
# How often the policy begins.
_POLICY_BEGINS = 0.75


class Driver(Protocol):
    """Who drives on the detours; what `PolicyBrain` offers."""

    def reset(self, instruction: str) -> None:
        """Forget earlier plans."""
        ...

    def plan(self, observation: Observation, state: RobotState | None) -> Plan:
        """Plan on an observation."""
        ...


class DetourBrain(ExpertBrain):
    """The scripted expert and a policy by turns.

    A policy that was trained on demonstrations alone meets states that no demonstration shows:
    those that its own errors lead to. Here the policy leads the robot there, and the expert
    shows the way on, as in DAgger (arXiv:1011.0686) with an expert that takes over now and then
    (arXiv:1810.02890). What the policy does itself is marked as a detour.

    Args:
        world: The world that the rollout runs in.
        driver: The policy.
        rng: Decides who drives for how long.
    """

    def __init__(self, world: World, driver: Driver, rng: np.random.Generator) -> None:
        super().__init__(world, rng)
        self._driver = driver

    def reset(self, instruction: str) -> None:
        """Begin an episode; the world must have been reset before."""
        super().reset(instruction)
        self._instruction = instruction
        self._led = bool(self._rng.random() < _POLICY_BEGINS)
        self._left = self._spell()
        self._driver.reset(instruction)

    def plan(self, observation: Observation, state: RobotState | None) -> Plan:
        """Plan as the one whose turn it is; the expert ends what is done."""
        done = bool(self._world.outcome(self._instruction).success)
        if self._left == 0:
            self._led = not self._led
            self._left = self._spell()
            self._driver.reset(self._instruction)
        self._left -= 1
        if self._led and not done:
            try:
                plan = self._driver.plan(observation, state)
            except ActionError:  # no action: the expert goes on
                self._left = 0
            else:
                self._expert.led(plan.rows, plan.action_space)
                return Plan(**{**vars(plan), 'source': SOURCE})
        return super().plan(observation, state)

    def _spell(self) -> int:
        low, high = _POLICY_PLANS if self._led else _EXPERT_PLANS
        return int(self._rng.integers(low, high + 1))
