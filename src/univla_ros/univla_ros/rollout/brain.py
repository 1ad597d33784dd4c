"""Who plans in a rollout: anything that turns an observation into rows of an action chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.latent_action import LatentAction
from univla_core.observation import Observation
from univla_sim.world import World

from univla_ros.robot_state import RobotState

#: Rows of a plan of the expert, and of random motion.
HORIZON = 4
#: Time between two rows of random motion [s].
STEP_S = 0.2
#: Largest random increments of a row: translation [m], rotation [rad].
_RANDOM_M, _RANDOM_RAD = 0.035, 0.15


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Rows of an action chunk, not yet placed in time.

    Attributes:
        rows: Actions in robot units, float64, shape (horizon, action_dim).
        action_space: Name of the action space.
        names: One axis name per action dimension.
        step_duration_s: Time between two rows [s].
        source: Who planned: `policy`, `expert`, `kick`, `detour` or `random`.
        latent: The latent action behind it, None without one.
    """

    rows: np.ndarray
    action_space: str
    names: tuple[str, ...]
    step_duration_s: float
    source: str
    latent: LatentAction | None = None


class Brain(Protocol):
    """Plans, as policy and decoder do together.

    Attributes:
        sees_truth: Whether it looks at the simulation itself. It is then asked when the pictures
            are taken, and its pictures may be missing; else when its plan is due, as a decoder
            that knows the joint states up to then.
        finished: Whether there is nothing left to do.
    """

    sees_truth: bool
    finished: bool

    def reset(self, instruction: str) -> None:
        """Begin an episode with this task in words."""
        ...

    def plan(self, observation: Observation, state: RobotState | None) -> Plan:
        """Plan on an observation.

        Args:
            observation: Pictures, instruction and stamp.
            state: The measured state nearest to the stamp, None if none is near enough.
        """
        ...


class ExpertBrain:
    """The scripted expert, which sees the true state of the world.

    Args:
        world: The world that the rollout runs in.
        rng: Its random choices.
        kicks: Whether it throws itself off its way now and then.
    """

    sees_truth = True

    def __init__(
        self, world: World, rng: np.random.Generator | None = None, kicks: bool = False
    ) -> None:
        self._world, self._rng, self._kicks = world, rng or np.random.default_rng(0), kicks

    def reset(self, instruction: str) -> None:
        """Begin an episode; the world must have been reset before."""
        from univla_sim.experts import make_expert

        self._expert = make_expert(self._world, instruction, self._rng, kicks=self._kicks)

    @property
    def finished(self) -> bool:
        """Whether the task is done and the robot has rested."""
        return bool(self._expert.finished)

    def plan(self, observation: Observation, state: RobotState | None) -> Plan:
        """Plan from the true state at this moment."""
        expert = self._expert
        rows, space = expert.chunk(horizon=HORIZON)
        return Plan(
            rows=np.asarray(rows, dtype=float),
            action_space=space,
            names=self._world.embodiment.action_names(space),
            step_duration_s=expert.step_s,
            source=expert.source,
        )


class RandomBrain:
    """Increments of the expert's size in directions of chance, each kept for one plan.

    Args:
        embodiment: The robot.
        rng: Where chance comes from.
    """

    sees_truth = True
    finished = False

    def __init__(self, embodiment: Embodiment, rng: np.random.Generator) -> None:
        self._embodiment, self._rng = embodiment, rng
        self._space = 'base_twist' if embodiment.kind == 'base' else 'eef_delta'

    def reset(self, instruction: str) -> None:
        """Nothing is remembered."""

    def plan(self, observation: Observation, state: RobotState | None) -> Plan:
        """One row, repeated."""
        draw = self._rng.uniform
        if self._embodiment.kind == 'base':
            top = self._embodiment.limits.velocity
            row = np.array([draw(0.0, top[0]), draw(-top[1], top[1])])
        else:
            moves = [draw(-_RANDOM_M, _RANDOM_M, 3), draw(-_RANDOM_RAD, _RANDOM_RAD, 3)]
            gripper = [draw(0.0, 1.0)] if self._embodiment.gripper else []
            row = np.concatenate([*moves, gripper])
        return Plan(
            rows=np.tile(row, (HORIZON, 1)),
            action_space=self._space,
            names=self._embodiment.action_names(self._space),
            step_duration_s=STEP_S,
            source='random',
        )
