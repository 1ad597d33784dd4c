"""What every scripted expert promises: rows of actions from the true state of the world."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from typing import Any

import numpy as np
from univla_core.errors import ConfigError

from univla_sim.kicks import Kicks
from univla_sim.tasks import Goal
from univla_sim.tasks import parse_instruction
from univla_sim.world import World

#: Time that the robot rests after the task before the expert calls itself finished [s].
_REST_S = 0.6
_SLACK = 1e-6


class Expert(ABC):
    """Carries out one instruction, seeing the true state of the world instead of pictures.

    What it does next depends on the present state, so it recovers whatever happened. Make one
    per episode, after `World.reset`, and call `plan` once per step.

    Args:
        world: The world to act in.
        instruction: The task in words.
        rng: Decides about kicks.
        kicks: Whether the demonstration goes astray now and then: random motions, at most two an
            episode, and what else belongs to the task.

    Attributes:
        world: The world.
        instruction: The task in words.
        goal: The same as task and object.

    Raises:
        ConfigError: If the instruction names no task and object of this world.
    """

    #: Action space of the rows.
    action_space = ''
    #: Duration of one row [s].
    step_s = 0.2

    def __init__(
        self, world: World, instruction: str, rng: np.random.Generator, kicks: bool = False
    ) -> None:
        if world.outcome(instruction).success is None:
            raise ConfigError(
                f'there is no expert for {instruction!r}: it names no task and object of this '
                'scene; say for example "pick up the red cube"'
            )
        self.world, self.instruction = world, instruction
        self.goal: Goal = parse_instruction(instruction)
        self._kicks = Kicks(rng, self.step_s) if kicks else None
        self._kicked = False
        self._done_at: float | None = None

    def plan(self, horizon: int = 4) -> np.ndarray:
        """Rows of the next steps, from the present state on, shape (horizon, action_dim).

        Row 0 follows from the true state, later rows from where the earlier ones should lead.
        """
        state = self.look()
        kicks: list[np.ndarray] = []
        if self._kicks is not None and not self._is_done():
            kicks = self._kicks.rows(
                self.world.time, lambda rng, count: self.propose_kick(state, rng, count)
            )
        self._kicked = bool(kicks) or (not self._is_done() and self.errs(state))
        rows = []
        for index in range(horizon):
            row = self.act(state)
            if index < len(kicks):
                row = self.kick_row(state, row, kicks[index])
            elif index == 0:
                self._note_rest(row)
            rows.append(row)
            state = self.predict(state, row)
        return np.array(rows)

    def chunk(self, horizon: int = 4) -> tuple[np.ndarray, str]:
        """What a controller is told: rows (horizon, action_dim), and their action space."""
        return self.plan(horizon), self.action_space

    def led(self, rows: np.ndarray, space: str) -> None:
        """Somebody else leads the robot from now on, by a chunk; `plan` takes over from there.

        Args:
            rows: The chunk in robot units, (horizon, action_dim).
            space: Its action space.
        """
        self._done_at = None

    @property
    def source(self) -> str:
        """Who moves the robot in the first row planned last: `expert`, or `kick` if astray."""
        return 'kick' if self._kicked else 'expert'

    @property
    def finished(self) -> bool:
        """Whether the task is done and the robot has rested for a few steps."""
        return self._done_at is not None and self.world.time >= self._done_at + _REST_S - _SLACK

    def _is_done(self) -> bool:
        return bool(self.world.outcome(self.instruction).success)

    def _note_rest(self, row: np.ndarray) -> None:
        if not (self._is_done() and self.is_rest(row)):
            self._done_at = None
        elif self._done_at is None:
            self._done_at = self.world.time

    def errs(self, state: Any) -> bool:
        """Whether the expert itself now goes astray on purpose; asked once a step."""
        return False

    @abstractmethod
    def look(self) -> Any:
        """The part of the world's state that decides about actions."""

    @abstractmethod
    def act(self, state: Any) -> np.ndarray:
        """The next action (action_dim,) in a state."""

    @abstractmethod
    def predict(self, state: Any, row: np.ndarray) -> Any:
        """Where an action should lead within one step."""

    @abstractmethod
    def propose_kick(self, state: Any, rng: np.random.Generator, count: int) -> np.ndarray | None:
        """A random motion of `count` steps that breaks nothing, None if the drawn one would."""

    @abstractmethod
    def kick_row(self, state: Any, row: np.ndarray, kick: np.ndarray) -> np.ndarray:
        """The expert's own action, its motion replaced by that of a kick."""

    @abstractmethod
    def is_rest(self, row: np.ndarray) -> bool:
        """Whether an action asks for (nearly) no motion."""
