"""What happens in a rollout, written as the episode that the running graph would leave."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
from univla_control.command import Command
from univla_control.command import ControllerStatus
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.latent_action import LatentAction
from univla_data.episode_writer import EpisodeWriter

from univla_ros.control_report import control_state_fields
from univla_ros.frames import robot_description
from univla_ros.rollout.brain import Plan
from univla_ros.rollout.observer import Observer


class EpisodeRecorder(Observer):
    """Hands everything that it hears to a writer.

    Args:
        writer: Where to.
        embodiment: The robot.
        instruction: The task in words.

    Attributes:
        sources: How many plans each source made.
        frames: Pictures written.
        begin: Stamp of the first thing that was heard [s].
    """

    def __init__(self, writer: EpisodeWriter, embodiment: Embodiment, instruction: str) -> None:
        self._writer, self._embodiment, self._instruction = writer, embodiment, instruction
        self._plan_sources: dict[float, str] = {}
        self._command: Command | None = None
        self._commands = 0
        self._twist = np.zeros(2)
        self.sources: Counter[str] = Counter()
        self.frames = 0
        self.begin: float | None = None

    def on_frame(self, stamp: float, camera: str, picture: np.ndarray) -> None:
        """Write a picture."""
        self._start(stamp)
        self._writer.picture(stamp, camera, picture)
        self.frames += 1

    def on_joint_state(
        self, stamp: float, positions: np.ndarray, velocities: np.ndarray, opening: float | None
    ) -> None:
        """Write the measured joints; of a base they belong to its odometry."""
        self._start(stamp)
        if self._embodiment.kind == 'base':
            self._twist = positions
        else:
            self._writer.joint_state(stamp, positions, velocities, opening)

    def on_base_pose(self, stamp: float, x: float, y: float, heading: float) -> None:
        """Write the odometry of a base."""
        self._writer.odometry(stamp, self._twist.tolist(), (x, y, heading))

    def on_command(self, command: Command) -> None:
        """Write a command."""
        self._command = command
        self._commands += 1
        opening = command.gripper_opening
        self._writer.command(command.time, command.positions, command.velocities, opening)

    def on_plan(self, stamp: float, plan: Plan) -> None:
        """Remember who planned."""
        self.sources[plan.source] += 1
        self._plan_sources[stamp] = plan.source

    def on_latent(self, latent: LatentAction) -> None:
        """Write a latent action."""
        self._writer.latent_action(latent, received=latent.stamp)

    def on_chunk(self, chunk: ActionChunk) -> None:
        """Write a chunk; its source says who planned it."""
        source = self._plan_sources.pop(chunk.stamp, chunk.source)
        self._writer.chunk(dataclasses.replace(chunk, source=source))

    def on_control_status(self, stamp: float, status: ControllerStatus) -> None:
        """Write the state of the controller."""
        fields = control_state_fields(
            status,
            self._embodiment.axis_names,
            self._command,
            commands=self._commands,
            bad_chunks=0,
            speed_scale=1.0,
        )
        self._writer.control_state(stamp, fields)

    def _start(self, stamp: float) -> None:
        if self.begin is None:
            self.begin = stamp
            self._writer.robot_description(stamp, robot_description(self._embodiment))
            self._writer.instruction(stamp, self._instruction)
