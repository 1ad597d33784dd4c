"""Whether one camera may be believed: alive, in time, of the right kind, and not blind."""

from __future__ import annotations

from collections import Counter
from collections import deque
from dataclasses import dataclass

import numpy as np

from univla_core.embodiment import Camera
from univla_core.fault import Fault

#: A stamp may be so far ahead of the clock [s]: clocks of two computers are never quite equal.
_FUTURE_S = 0.05

#: Pictures are judged for light and contrast on every eighth pixel of every eighth row.
_SAMPLE = slice(4, None, 8)

#: Contrast below which a picture shows one colour [grey levels].
_FLAT = 1.5

#: Measured rates look back so far [s].
_RATE_WINDOW_S = 3.0


@dataclass(frozen=True, kw_only=True)
class CameraRules:
    """What is asked of every camera.

    Attributes:
        timeout_periods: Silence that makes a camera stale, in periods of its own rate.
        max_age_s: Oldest picture by its stamp [s]; 0 asks for nothing.
        max_skew_s: Largest time between two cameras' pictures [s], where their rates allow it.
        frozen_pictures: So many equal pictures in a row are a frozen camera; 0 allows any.
        black_level: Mean brightness plus contrast below this is a covered lens [grey levels];
            0 also allows pictures of one colour.
    """

    timeout_periods: float = 1.75
    max_age_s: float = 0.3
    max_skew_s: float = 0.1
    frozen_pictures: int = 2
    black_level: float = 10.0


class CameraWatch:
    """Judges the pictures of one camera; pure, so time is an argument.

    Args:
        camera: What the robot's YAML says about it.
        rules: What is asked of it.

    Attributes:
        frame: Stamp [s] and pixels of the newest good picture; None before one.
        dropped: How many messages were refused, by cause.
    """

    def __init__(self, camera: Camera, rules: CameraRules) -> None:
        self.camera = camera
        self._rules = rules
        self.dropped: Counter[str] = Counter()
        self.forget()

    @property
    def timeout_s(self) -> float:
        """Silence that makes this camera stale [s]."""
        return self._rules.timeout_periods / self.camera.rate_hz

    def forget(self) -> None:
        """Begin anew, as if nothing had been heard; the counters stay."""
        self.frame: tuple[float, np.ndarray] | None = None
        self._fault: Fault | None = None
        self._heard: float | None = None
        self._arrivals: deque[float] = deque(maxlen=100)
        self._stamp: float | None = None
        self._pixels: np.ndarray | None = None
        self._equal = 1

    def add(self, stamp: float, image: np.ndarray, now: float) -> Fault | None:
        """Take a picture in; the fault, if it is refused.

        A repetition of the newest picture under the same stamp is no news and changes nothing.

        Args:
            stamp: Capture time [s].
            image: RGB, uint8, shape (height, width, 3).
            now: Present time [s].
        """
        if stamp > 0.0 and stamp == self._stamp:
            self.dropped['repeated'] += 1
            return None
        found = self._stamp_problem(stamp, now) or self._picture_problem(image)
        if found is None:
            self._news(None, now)
            self.frame = (stamp, image)
            return None
        return self._refuse(*found, now)

    def refuse(self, reason: str, now: float) -> Fault:
        """Take note of a message that could not be read as a picture, and why."""
        name = self.camera.name
        return self._refuse('unreadable', 'wrong_camera', f'camera {name}: {reason}', now)

    def fault(self, now: float) -> Fault | None:
        """What is wrong with the camera at present."""
        name = self.camera.name
        if self._heard is None:
            return Fault(
                'missing_camera',
                f'no picture from camera {name} yet; is its driver running, and does it publish '
                f'on camera/{name}/image_raw?',
            )
        if now - self._heard > self.timeout_s:
            return Fault('stale_camera', self._silence(now))
        if self._fault is not None or self.frame is None:
            return self._fault
        age = now - self.frame[0]
        if 0.0 < self._rules.max_age_s < age:
            return Fault(
                'stale_camera',
                f'camera {name}: newest picture is {age:.2f} s old, more than '
                f'{self._rules.max_age_s} s; look at its driver, network and clock',
            )
        return None

    def rate_hz(self, now: float) -> float:
        """Pictures per second that really come, over the last three seconds [Hz]."""
        times = [time for time in self._arrivals if now - _RATE_WINDOW_S <= time <= now]
        if len(times) < 2:
            return 0.0
        end = max(times[-1], now - 1.0 / self.camera.rate_hz)
        return (len(times) - 1) / max(end - times[0], 1e-6)

    def _stamp_problem(self, stamp: float, now: float) -> tuple[str, str, str] | None:
        name = self.camera.name
        if stamp <= 0.0:
            return (
                'no stamp',
                'wrong_camera',
                f'camera {name} sends pictures without a time stamp; latency and staleness '
                'cannot be known, so fix its driver',
            )
        if stamp > now + _FUTURE_S:
            return (
                'future stamp',
                'wrong_camera',
                f'camera {name} sends pictures from {stamp - now:.2f} s in the future; '
                'synchronise the clocks (chrony, PTP) or set use_sim_time everywhere',
            )
        before, self._stamp = self._stamp, stamp
        if before is not None and stamp < before:
            return (
                'stamp ran back',
                'clock_jump',
                f'the stamps of camera {name} ran back by {before - stamp:.2f} s; the clock of '
                'its computer was set, wait for its next picture',
            )
        return None

    def _picture_problem(self, image: np.ndarray) -> tuple[str, str, str] | None:
        name, width, height = self.camera.name, self.camera.width, self.camera.height
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            return (
                'wrong size',
                'wrong_camera',
                f'camera {name} sends {image.shape[1]}x{image.shape[0]} pictures, expected '
                f'{width}x{height}; set the driver or the camera in config/robots to the same '
                'size',
            )
        blind = self._blindness(image)
        if blind is not None:
            return ('black', 'black_camera', f'camera {name} {blind}')
        if self._is_frozen(image):
            return (
                'frozen',
                'frozen_camera',
                f'camera {name} repeats one picture under new stamps; restart its driver (a '
                'noiseless camera needs frozen_pictures: 0)',
            )
        return None

    def _blindness(self, image: np.ndarray) -> str | None:
        if self._rules.black_level == 0.0:
            return None
        sample = image[_SAMPLE, _SAMPLE].reshape(-1, 3).astype(np.float32)
        contrast = float(sample.std(axis=0).max())  # within a colour, not between them
        if float(sample.mean()) + contrast < self._rules.black_level:
            return 'is black; uncover its lens, switch the light on or replace the sensor'
        if contrast < _FLAT:
            return 'shows a single colour; look at its lens, its exposure and its sensor'
        return None

    def _is_frozen(self, image: np.ndarray) -> bool:
        before, self._pixels = self._pixels, image
        same = before is not None and bool(
            np.array_equal(image[_SAMPLE, _SAMPLE], before[_SAMPLE, _SAMPLE])
            and np.array_equal(image, before)
        )
        self._equal = self._equal + 1 if same else 1
        return 0 < self._rules.frozen_pictures <= self._equal

    def _refuse(self, cause: str, name: str, reason: str, now: float) -> Fault:
        self.dropped[cause] += 1
        fault = Fault(name, reason)
        self._news(fault, now)
        return fault

    def _news(self, fault: Fault | None, now: float) -> None:
        self._fault, self._heard = fault, now
        self._arrivals.append(now)

    def _silence(self, now: float) -> str:
        silent = now - (self._heard or 0.0)
        return (
            f'no picture from camera {self.camera.name} for {silent:.2f} s, more than '
            f'{self._rules.timeout_periods} periods of {self.camera.rate_hz} Hz (it came at '
            f'{self.rate_hz(now):.1f} Hz); is its driver alive, and is rate_hz in config/robots '
            'right?'
        )
