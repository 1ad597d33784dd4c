"""From messages in the order of their arrival to frames on the clock of the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from univla_core.camera_watch import CameraRules
from univla_core.embodiment import Camera
from univla_core.fault import Fault
from univla_core.observation_buffer import ObservationBuffer

from univla_data.stamps import SECOND
from univla_data.stamps import seconds

_NO_NEWS = Fault('no_new_picture', 'no camera took a new picture since the frame before')


@dataclass(frozen=True)
class Frame:
    """What the policy would have seen at one tick.

    Attributes:
        tick: When [s].
        stamp: Time of the oldest picture [s]; of a frame with a fault, the tick.
        images: RGB pictures by camera.
        fault: Why the live policy would not have planned, None if it would.
    """

    tick: float
    stamp: float
    images: Mapping[str, np.ndarray]
    fault: Fault | None


class Resampler:
    """Takes the newest pictures at every tick, by the rules of the live observation buffer.

    The first tick is when the first observation is complete; ticks follow at a fixed rate.

    Args:
        cameras: The cameras that make an observation, with the rate they were recorded at.
        rate_hz: Ticks per second [Hz].

    Attributes:
        rate_hz: Ticks per second [Hz].
        frames: What was seen so far.
        fault: The last reason why there was no observation yet.
    """

    def __init__(self, cameras: Mapping[str, Camera], rate_hz: float) -> None:
        self._buffer = ObservationBuffer(cameras, CameraRules())
        self.rate_hz = rate_hz
        self._begin: int | None = None
        self.frames: list[Frame] = []
        self.fault: Fault | None = None

    def pass_time(self, now: int, *, inclusive: bool = False) -> None:
        """Take the frames that are due before `now` [ns], or at it too.

        Call it before what happens at `now` is told, so that a tick sees all that came until it.
        """
        while self._begin is not None:
            tick = self._begin + round(len(self.frames) * SECOND / self.rate_hz)
            if tick > now or (tick == now and not inclusive):
                return
            self._take(tick)

    def add(self, camera: str, stamp: float, picture: np.ndarray, now: int, ready: bool) -> None:
        """Take in a picture.

        Args:
            camera: Its camera.
            stamp: When it was taken [s].
            picture: RGB, uint8, shape (height, width, 3).
            now: When it arrived [ns].
            ready: Whether the clock may start, for everything else is there.
        """
        refused = self._buffer.add(camera, stamp, picture, seconds(now))
        self._look(refused, now, ready)

    def refuse(self, camera: str, reason: str, now: int) -> None:
        """Take note of a picture that cannot be read."""
        self.fault = self._buffer.watches[camera].refuse(reason, seconds(now))

    def _look(self, refused: Fault | None, now: int, ready: bool) -> None:
        if self._begin is not None:
            return
        self.fault = refused or self._buffer.fault(seconds(now))
        if self.fault is None and ready:
            self._begin = now

    def _take(self, tick: int) -> None:
        now = seconds(tick)
        fault = self._buffer.fault(now)
        newest = {n: watch.frame for n, watch in self._buffer.watches.items() if watch.frame}
        images = {name: frame[1] for name, frame in newest.items()}
        stamp = now
        if fault is None:
            stamp = self._buffer.observation('', now, needs_instruction=False).stamp
            if self.frames and stamp <= self.frames[-1].stamp:
                stamp, fault = now, _NO_NEWS
        self.frames.append(Frame(now, stamp, images, fault))
