"""One instant as the policy sees it, and the rule when it is complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from univla_core.errors import ObservationError


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Images, proprioception and instruction at one instant.

    Attributes:
        images: RGB pictures by camera name, uint8, shape (height, width, 3).
        instruction: The task in words.
        stamp: Time of the oldest picture [s].
        proprioception: Joint angles [rad] and gripper opening, shape (n,), or None.
    """

    images: Mapping[str, np.ndarray]
    instruction: str
    stamp: float
    proprioception: np.ndarray | None = None

    def check(self, cameras: tuple[str, ...], *, needs_instruction: bool = True) -> None:
        """Refuse an observation that lacks a camera or the instruction.

        Args:
            cameras: Names of the cameras that must be there.
            needs_instruction: False where a person picks the codes and words may be missing.

        Raises:
            ObservationError: Naming what is missing or malformed.
        """
        missing = [name for name in cameras if name not in self.images]
        if missing:
            raise ObservationError(f'no picture from camera {", ".join(missing)} yet')
        for name, image in self.images.items():
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ObservationError(
                    f'camera {name}: picture is {image.dtype} {image.shape}; '
                    'it must be uint8 RGB of shape (height, width, 3)'
                )
        if needs_instruction and not self.instruction.strip():
            raise ObservationError('the instruction is empty; say what the robot shall do')
