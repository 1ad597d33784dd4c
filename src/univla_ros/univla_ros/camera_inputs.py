"""The cameras of a policy: every picture passes their gate before anyone plans on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from univla_core.camera_watch import CameraRules
from univla_core.camera_watch import CameraWatch
from univla_core.embodiment import Camera
from univla_core.errors import ObservationError
from univla_core.fault import Fault
from univla_core.observation import Observation
from univla_core.observation_buffer import ObservationBuffer

from univla_ros.conversions import seconds_from_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.images import image_from_compressed_msg
from univla_ros.images import image_from_msg
from univla_ros.qos import SENSOR

#: A camera slower than this share of its rate warns.
_SLOW = 0.7


class CameraInputs:
    """Subscribes to cameras and keeps what is fit to plan on; any thread may ask.

    Args:
        node: Node to subscribe with.
        cameras: The cameras that make an observation, by name.
        rules: What is asked of them.
        transport: `raw` or `compressed`.
        on_picture: Called after each message while the node is active, with the fault if it was
            refused.
    """

    def __init__(
        self,
        node: Any,
        cameras: Mapping[str, Camera],
        rules: CameraRules,
        transport: str,
        on_picture: Callable[[Fault | None], None],
    ) -> None:
        self._node = node
        self._on_picture = on_picture
        self._lock = threading.Lock()
        self._buffer = ObservationBuffer(cameras, rules)
        kind: type = CompressedImage if transport == 'compressed' else Image
        convert: Any = image_from_compressed_msg if kind is CompressedImage else image_from_msg
        suffix = '/compressed' if kind is CompressedImage else ''
        for name in cameras:
            topic = f'camera/{name}/image_raw{suffix}'
            callback = partial(self._on_message, name, convert)
            node.create_subscription(kind, topic, callback, SENSOR)

    def fault(self) -> Fault | None:
        """Why there is no good observation now; None if there is one."""
        with self._lock:
            now = self._look_at_clock()
            return self._buffer.fault(now)

    def observation(self, instruction: str, *, needs_instruction: bool = True) -> Observation:
        """The newest complete observation.

        Raises:
            ObservationError: If something is wrong with it, see `ObservationBuffer`.
        """
        with self._lock:
            now = self._look_at_clock()
            return self._buffer.observation(instruction, now, needs_instruction=needs_instruction)

    def forget(self) -> None:
        """Begin anew: no picture of an earlier run is planned on."""
        with self._lock:
            self._buffer.forget()

    @property
    def dropped(self) -> int:
        """Messages refused, of all cameras."""
        return sum(watch.dropped.total() for watch in self._buffer.watches.values())

    def report(self, active: bool) -> None:
        """Set one status per camera, and one for all of them together."""
        with self._lock:
            now = self._node.now()
            for watch in self._buffer.watches.values():
                self._report_camera(watch, now, active)
            fault = self._buffer.fault(now) if active else None
        if not active:
            self._node.diagnostics.set('observation', STALE, 'not active')
        elif fault is not None:
            self._node.diagnostics.set('observation', ERROR, f'{fault.name}: {fault.reason}')
        else:
            self._node.diagnostics.set('observation', OK, 'complete')

    def _report_camera(self, watch: CameraWatch, now: float, active: bool) -> None:
        function = f'observation/{watch.camera.name}'
        rate_hz, expected_hz = watch.rate_hz(now), watch.camera.rate_hz
        values = {
            'rate [Hz]': rate_hz,
            'expected rate [Hz]': expected_hz,
            'dropped': watch.dropped.total(),
            **{f'dropped: {cause}': count for cause, count in sorted(watch.dropped.items())},
        }
        fault = watch.fault(now) if active else Fault('', 'not active')
        if fault is not None:
            silent = fault.name in ('', 'missing_camera', 'stale_camera')
            self._node.diagnostics.set(function, STALE if silent else ERROR, fault.reason, values)
        elif 0.0 < rate_hz < _SLOW * expected_hz:
            text = f'comes at {rate_hz:.1f} Hz instead of {expected_hz} Hz'
            self._node.diagnostics.set(function, WARN, text, values)
        else:
            self._node.diagnostics.set(function, OK, 'seen', values)

    def _on_message(self, camera: str, convert: Callable[[Any], Any], msg: Any) -> None:
        if not self._node.is_active:
            return
        image, reason = None, ''
        try:
            image = convert(msg)
        except ObservationError as error:
            reason = str(error)
        with self._lock:
            now = self._look_at_clock()
            if image is None:
                fault: Fault | None = self._buffer.watches[camera].refuse(reason, now)
            else:
                stamp = seconds_from_msg(msg.header.stamp)
                fault = self._buffer.add(camera, stamp, image, now)
        if fault is not None:
            self._node.warn(fault.reason)
        self._on_picture(fault)

    def _look_at_clock(self) -> float:
        now = self._node.now()
        self._buffer.tick(now, time.monotonic())
        return now
