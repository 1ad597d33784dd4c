"""The newest picture of each camera, and when they make a complete observation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from univla_core.camera_watch import CameraRules
from univla_core.camera_watch import CameraWatch
from univla_core.clock_watch import ClockWatch
from univla_core.embodiment import Camera
from univla_core.errors import ObservationError
from univla_core.fault import Fault
from univla_core.observation import Observation


class ObservationBuffer:
    """The gate between cameras and policy; pure, so time is an argument.

    What no watch complains about is an observation; nothing is ever filled in.

    Args:
        cameras: The cameras that make an observation, by name.
        rules: What is asked of them.

    Attributes:
        watches: The judge of each camera, by name.
    """

    def __init__(self, cameras: Mapping[str, Camera], rules: CameraRules) -> None:
        self._rules = rules
        self.watches = {name: CameraWatch(camera, rules) for name, camera in cameras.items()}
        self._clock = ClockWatch()
        self._jump = 0.0

    def add(self, camera: str, stamp: float, image: np.ndarray, now: float) -> Fault | None:
        """Take a picture in; the fault, if it is refused. Arguments as `CameraWatch.add`."""
        return self.watches[camera].add(stamp, image, now)

    def tick(self, now: float, steady: float) -> None:
        """Look at the clock; after a jump all pictures are forgotten.

        Args:
            now: Present time on the clock that stamps are compared with [s].
            steady: A clock that never jumps [s].
        """
        jump = self._clock.jump(now, steady)
        if jump:
            for watch in self.watches.values():
                watch.forget()
            self._jump = jump

    def forget(self) -> None:
        """Begin anew, as if nothing had been heard."""
        self._clock.forget()
        self._jump = 0.0
        for watch in self.watches.values():
            watch.forget()

    def fault(self, now: float) -> Fault | None:
        """Why there is no good observation at present; None if there is one.

        With several cameras at fault the first one's name stands for all; the reason names each.
        """
        found = [fault for watch in self.watches.values() if (fault := watch.fault(now))]
        reasons = '; '.join(fault.reason for fault in found)
        if self._jump:
            if any(watch.frame is None for watch in self.watches.values()):
                return Fault(
                    'clock_jump',
                    f'the clock jumped by {self._jump:+.2f} s, so earlier pictures were '
                    f'forgotten; synchronise clocks before the start ({reasons})',
                )
            self._jump = 0.0
        if found:
            return Fault(found[0].name, reasons)
        return self._skew()

    def observation(
        self, instruction: str, now: float, *, needs_instruction: bool = True
    ) -> Observation:
        """The newest complete observation.

        Args:
            instruction: The task in words.
            now: Present time [s].
            needs_instruction: False where a person picks the codes.

        Raises:
            ObservationError: With the reason of `fault`, or saying that there is no instruction.
        """
        fault = self.fault(now)
        if fault is not None:
            raise ObservationError(fault.reason)
        frames = {name: watch.frame for name, watch in self.watches.items() if watch.frame}
        observation = Observation(
            images={name: image for name, (_, image) in frames.items()},
            instruction=instruction,
            stamp=min(stamp for stamp, _ in frames.values()),
        )
        observation.check(tuple(self.watches), needs_instruction=needs_instruction)
        return observation

    def _skew(self) -> Fault | None:
        """Pictures of different moments; a slower camera may lie behind by its own timeout."""
        stamps = {name: watch.frame[0] for name, watch in self.watches.items() if watch.frame}
        oldest = min(stamps, key=stamps.__getitem__)
        behind = max(stamps.values()) - stamps[oldest]
        if behind <= max(self._rules.max_skew_s, self.watches[oldest].timeout_s):
            return None
        return Fault(
            'camera_skew',
            f'camera {oldest} is {behind:.2f} s behind the others; synchronise the clocks of '
            'the cameras or shorten its delay',
        )
