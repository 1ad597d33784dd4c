"""How episodes are recorded, what the recorder may be doing, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from univla_core.errors import UnivlaError

from univla_ros.recorder.episode_file import DiskRules


class RecordError(UnivlaError):
    """The operator asked for something that cannot be done now."""


class State(IntEnum):
    """What the recorder is doing; numbers as in `univla_msgs/EpisodeStatus`."""

    IDLE = 0
    WAITING = 1
    RECORDING = 2
    FINISHING = 3
    FAILED = 4


@dataclass(frozen=True, kw_only=True)
class RecorderRules:
    """How episodes are recorded.

    Attributes:
        folder: Episodes lie in `<folder>/<robot>/<task>/<name>/`.
        task: Name of the task; empty if there is none.
        quality: JPEG quality of pictures that come raw.
        queue_mb: Most memory that waits to be converted [MB].
        ring_s: How many of the last seconds are kept in memory [s]; 0 keeps none.
        ring_mb: Most memory for that [MB].
        max_skew_s: So much may a message's stamp be older than its arrival, at best [s].
        disk: How files are written.
    """

    folder: Path
    task: str = ''
    quality: int = 95
    queue_mb: float = 128.0
    ring_s: float = 30.0
    ring_mb: float = 256.0
    max_skew_s: float = 0.15
    disk: DiskRules
