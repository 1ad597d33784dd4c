"""The newest picture of each camera, and when they make a complete observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

import numpy as np

from univla_core.errors import ObservationError
from univla_core.observation import Observation


@dataclass
class ObservationBuffer:
    """Keeps one picture per camera; pure, so time is an argument.

    Attributes:
        sizes: Expected (width, height) by camera name; these cameras make an observation.
        max_age_s: Oldest acceptable picture [s].
        max_skew_s: Largest acceptable time between two cameras' pictures [s].
    """

    sizes: Mapping[str, tuple[int, int]]
    max_age_s: float
    max_skew_s: float = 0.1
    _frames: dict[str, tuple[float, np.ndarray]] = field(default_factory=dict)

    def add(self, camera: str, stamp: float, image: np.ndarray, now: float) -> None:
        """Take a picture in.

        Args:
            camera: Name of the camera.
            stamp: Capture time [s].
            image: RGB, uint8, shape (height, width, 3).
            now: Present time [s].

        Raises:
            ObservationError: If the picture has another size, no stamp, or one from the future.
        """
        width, height = self.sizes[camera]
        if image.shape[:2] != (height, width):
            raise ObservationError(
                f'camera {camera} sends {image.shape[1]}x{image.shape[0]} pictures, expected '
                f'{width}x{height}; set the driver or the camera in config/robots to the same size'
            )
        if stamp <= 0.0:
            raise ObservationError(
                f'camera {camera} sends pictures without a time stamp; latency and staleness '
                'cannot be known, so fix its driver'
            )
        if stamp > now + 0.05:
            raise ObservationError(
                f'camera {camera} sends pictures from {stamp - now:.2f} s in the future; '
                'synchronise the clocks (chrony, PTP) or set use_sim_time everywhere'
            )
        self._frames[camera] = (stamp, image)

    def observation(self, instruction: str, now: float) -> Observation:
        """The newest complete observation; nothing is ever filled in.

        Raises:
            ObservationError: Naming the camera that is missing, stale or out of step, or saying
                that there is no instruction.
        """
        missing = [name for name in self.sizes if name not in self._frames]
        if missing:
            raise ObservationError(f'no picture from camera {", ".join(missing)} yet')
        stamps = {name: stamp for name, (stamp, _) in self._frames.items()}
        oldest = min(stamps, key=stamps.__getitem__)
        age = now - stamps[oldest]
        if age > self.max_age_s:
            raise ObservationError(
                f'camera {oldest}: newest picture is {age:.2f} s old, more than '
                f'{self.max_age_s} s; is its driver alive?'
            )
        if age < -0.05:
            self._frames.clear()
            raise ObservationError('the clock jumped backwards; waiting for new pictures')
        if max(stamps.values()) - stamps[oldest] > self.max_skew_s:
            raise ObservationError(
                f'camera {oldest} is {max(stamps.values()) - stamps[oldest]:.2f} s '
                'behind the others'
            )
        images = {name: image for name, (_, image) in self._frames.items()}
        observation = Observation(images=images, instruction=instruction, stamp=stamps[oldest])
        observation.check(tuple(self.sizes))
        return observation
