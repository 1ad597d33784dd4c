"""A robot that follows its commands at once, and chunks to drive it with."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.health import CHAIN
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.fault import Fault

from univla_control import ChunkController
from univla_control import Command
from univla_control import ControlConfig

PERIOD = 1.0 / 60.0


class Drive:
    """A controller and an ideal robot, ticking at 60 Hz from t = 1 s."""

    def __init__(self, embodiment: Embodiment, start=None, **config) -> None:
        self.embodiment = embodiment
        self.config = ControlConfig(**config)
        self.controller = ChunkController(embodiment, self.config)
        self.time = 1.0
        self.joints = np.array(embodiment.home if start is None else start, dtype=float)
        self.opening = 1.0  # of the gripper
        self.alive = True  # whether joint states are published
        self.chain_alive = True  # whether policy and decoder show signs of life
        self.commands: list[Command] = []
        self.sequence = 0
        self.controller.activate(self.time)

    def tick(self, count: int = 1) -> Command | None:
        """Let `count` periods pass; returns the last command."""
        command = None
        for _ in range(count):
            self.time += PERIOD
            if self.alive:
                self.controller.on_joint_state(self.time - 0.002, self.joints, self.opening)
            if self.chain_alive:
                for node in CHAIN:
                    self.controller.watch.heartbeats.hear(node, self.time, Fault())
            command = self.controller.step(self.time)
            if command is not None:
                self.commands.append(command)
                if command.gripper_opening is not None:
                    self.opening = command.gripper_opening
                if self.embodiment.kind == 'arm':
                    self.joints = command.positions
        return command

    def chunk(self, rows, space='joint_position', age=0.0, step=0.1, **other) -> ActionChunk:
        """A chunk of this robot whose observation is `age` seconds old."""
        self.sequence += 1
        rows = np.asarray(rows, dtype=float)
        names = self.embodiment.action_names(space)[: rows.shape[1]]
        fields = {
            'robot': self.embodiment.name,
            'action_space': space,
            'names': names,
            'data': rows,
            'step_duration_s': step,
            'stamp': self.time - age,
            'sequence': self.sequence,
        }
        return ActionChunk(**{**fields, **other})

    def send(self, rows, space='joint_position', **other) -> str | None:
        """Hand a chunk to the controller; returns why it was dropped."""
        return self.controller.on_chunk(self.chunk(rows, space, **other), self.time)

    @property
    def stream(self) -> np.ndarray:
        """All commands so far: joint angles of an arm, twists of a base, shape (T, n)."""
        arm = self.embodiment.kind == 'arm'
        return np.array([c.positions if arm else c.velocities for c in self.commands])


@pytest.fixture
def drive():
    """Makes a `Drive` from a robot's name."""
    return lambda robot='franka', **config: Drive(load_embodiment(robot), **config)
