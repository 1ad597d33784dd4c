"""A recorded episode on the clock of the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class SentCommands:
    """Every command that went to the driver.

    Attributes:
        times: When [s], rising, shape (N,).
        values: Joint set-points [rad], or the twist of a base [m/s, rad/s], shape (N, n).
        openings: Gripper openings in [0, 1], NaN where none was asked for, shape (N,).
    """

    times: np.ndarray
    values: np.ndarray
    openings: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Episode:
    """T frames of one robot doing one task.

    Attributes:
        robot: Name of the embodiment.
        task: Name of the task; empty if it has none.
        instruction: The task in words.
        seed: Seed of the scene, None for a real one.
        success: Whether the task was done, None if nobody judged.
        metadata: Its provenance, `path`, `interrupted` and the `faults` of frames that are not
            fresh.
        stamps: Time of each frame: of its oldest picture [s], shape (T,).
        images: By camera, RGB, uint8, shape (T, height, width, 3).
        positions: Measured joints [rad]; of a base its measured v [m/s] and w [rad/s]. (T, n).
        opening: Measured gripper opening in [0, 1], NaN without a gripper, shape (T,).
        commands: Set-point in force at the stamp [rad]; of a base the mean twist commanded until
            the next frame. (T, n).
        command_opening: Opening that was asked for until the next frame; NaN without a gripper.
        sources: Who drove until the next frame: `expert`, `kick`, `policy`, `teleop`, `random` or
            `hold`, shape (T,).
        fresh: Whether the live policy would have planned on the frame, shape (T,); None: on all.
        sent: The commands in full; None knows only those of the frames.
    """

    robot: str
    task: str
    instruction: str
    seed: int | None
    success: bool | None
    metadata: Mapping[str, Any]
    stamps: np.ndarray
    images: Mapping[str, np.ndarray]
    positions: np.ndarray
    opening: np.ndarray
    commands: np.ndarray
    command_opening: np.ndarray
    sources: np.ndarray
    fresh: np.ndarray | None = None
    sent: SentCommands | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.stamps)

    @property
    def period_s(self) -> float:
        """Time between two frames [s]."""
        return float(np.median(np.diff(self.stamps))) if len(self) > 1 else 0.2
