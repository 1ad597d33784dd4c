"""What an export holds of an episode: one row a frame, the same for every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import DataError

from univla_data import topics
from univla_data.actions import actions
from univla_data.actions import clean
from univla_data.actions import proprioception
from univla_data.episode import Episode


@dataclass(frozen=True, kw_only=True)
class ExportFrames:
    """T frames of one episode, as columns.

    Attributes:
        source: Folder that the episode was read from.
        robot: Name of the embodiment.
        instruction: The task in words.
        success: Whether the task was done, None if nobody judged.
        action_space: Meaning of the actions.
        state_names: Axes of the state.
        action_names: Axes of the actions.
        state: Measured axes, and opening with a gripper, float32, shape (T, p).
        action: What was commanded from each frame to the next, float32, shape (T, a).
        stamps: When the pictures were taken [s], shape (T,).
        control_source: Who drove until the next frame, shape (T,).
        intervention: Whether a person drove in an episode that a policy drove too, shape (T,).
        fresh: Whether the live policy would have planned on the frame, shape (T,).
        clean: Whether the action is worth imitating, shape (T,).
        images: By camera, RGB, uint8, shape (T, height, width, 3).
        provenance: Where the episode comes from.
    """

    source: str
    robot: str
    instruction: str
    success: bool | None
    action_space: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    state: np.ndarray
    action: np.ndarray
    stamps: np.ndarray
    control_source: np.ndarray
    intervention: np.ndarray
    fresh: np.ndarray
    clean: np.ndarray
    images: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.stamps)

    @property
    def signature(self) -> dict[str, Any]:
        """What all episodes of a data set must share."""
        sizes = {name: list(shots.shape[1:3]) for name, shots in sorted(self.images.items())}
        return {
            'robot': self.robot,
            'action_space': self.action_space,
            'state_names': list(self.state_names),
            'action_names': list(self.action_names),
            'cameras': sizes,
        }


def export_frames(
    episode: Episode, embodiment: Embodiment, action_space: str, rate_hz: float
) -> ExportFrames:
    """The columns of an episode that was read at `rate_hz`.

    Raises:
        ConfigError: If the robot does not take the action space.
        DataError: Naming file and topic, if there is no instruction, or a value is missing.
    """
    path = str(episode.metadata.get('path', ''))
    space = '/' + str(episode.metadata.get('namespace') or episode.robot).strip('/')
    instruction = episode.instruction.strip() or episode.task
    if not instruction:
        raise DataError(
            f'{path}: {space}/{topics.INSTRUCTION.name} says nothing, and the episode names no '
            'task; a policy cannot learn from it'
        )
    gripper = (topics.GRIPPER,) if embodiment.gripper else ()
    state_names = embodiment.axis_names + gripper
    period = 1.0 / rate_hz
    asked = actions(episode, embodiment, action_space, horizon=1, step=period)[:, 0]
    state = proprioception(episode)
    name = topics.ODOMETRY.name if embodiment.kind == 'base' else topics.JOINT_STATES.name
    if state.shape[1] != len(state_names) or not np.isfinite(state).all():
        raise DataError(f'{path}: {space}/{name} does not tell all of {", ".join(state_names)}')
    if not np.isfinite(asked).all():
        raise DataError(f'{path}: {space}/{topics.COMMAND.name} holds values that are not finite')
    sources = episode.sources.astype(str)
    fresh = np.ones(len(episode), bool) if episode.fresh is None else episode.fresh
    return ExportFrames(
        source=path,
        robot=episode.robot,
        instruction=instruction,
        success=episode.success,
        action_space=action_space,
        state_names=state_names,
        action_names=embodiment.action_names(action_space),
        state=state.astype(np.float32),
        action=asked.astype(np.float32),
        stamps=episode.stamps,
        control_source=sources,
        intervention=(sources == 'teleop') & bool((sources == 'policy').any()),
        fresh=fresh,
        clean=clean(episode, horizon=1, step=period),
        images=episode.images,
        provenance=dict(episode.metadata),
    )
