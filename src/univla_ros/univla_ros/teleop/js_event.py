"""The event format of Linux joysticks: /dev/input/js*, 8 bytes per event."""

from __future__ import annotations

import struct

_EVENT = struct.Struct('<IhBB')  # time [ms], value, type, number
EVENT_SIZE = _EVENT.size
BUTTON = 0x01
AXIS = 0x02
INIT = 0x80  # added to the type of the events that tell the state on opening
_FULL = 32767.0
_MOST = 64  # axes or buttons of one device


class JoystickState:
    """Axes and buttons as `sensor_msgs/Joy` has them: left and up positive, in [-1, 1].

    Attributes:
        axes: Deflection of each axis.
        buttons: 1 for each pressed button.
    """

    def __init__(self) -> None:
        self.axes: list[float] = []
        self.buttons: list[int] = []
        self._rest = b''

    def feed(self, data: bytes) -> int:
        """Take in bytes of the device, in pieces of any length; returns the number of events."""
        data = self._rest + data
        whole = len(data) - len(data) % EVENT_SIZE
        self._rest = data[whole:]
        for _, value, kind, number in _EVENT.iter_unpack(data[:whole]):
            self._apply(kind & ~INIT, number, value)
        return whole // EVENT_SIZE

    def _apply(self, kind: int, number: int, value: int) -> None:
        if number >= _MOST:
            return
        if kind == BUTTON:
            self.buttons += [0] * (number + 1 - len(self.buttons))
            self.buttons[number] = int(value != 0)
        elif kind == AXIS:
            self.axes += [0.0] * (number + 1 - len(self.axes))
            # The kernel counts right and down as positive; its range is lopsided by one.
            self.axes[number] = max(-1.0, min(1.0, -value / _FULL)) + 0.0
