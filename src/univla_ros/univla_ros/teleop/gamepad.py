"""Reads a gamepad of this machine without further packages."""

from __future__ import annotations

import os
from pathlib import Path

from univla_core.errors import ConfigError

from univla_ros.teleop.js_event import EVENT_SIZE
from univla_ros.teleop.js_event import JoystickState


class Gamepad:
    """A Linux joystick device, read without waiting.

    Args:
        device: Path such as /dev/input/js0.

    Attributes:
        axes: As in `sensor_msgs/Joy`; all zero once the gamepad is gone.
        buttons: As in `sensor_msgs/Joy`; none pressed once the gamepad is gone.
        problem: Why nothing comes any more, empty while it does.

    Raises:
        ConfigError: If there is no such device or it may not be read.
    """

    def __init__(self, device: Path) -> None:
        self._device = device
        self._state = JoystickState()
        self.problem = ''
        try:
            self._file = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            found = ', '.join(str(path) for path in sorted(Path('/dev/input').glob('js*')))
            raise ConfigError(
                f'gamepad {device}: {error.strerror}; found {found or "none on this machine"}. '
                'Plug it in, load the kernel module joydev, or join the group input'
            ) from error

    @property
    def axes(self) -> list[float]:
        """Deflection of each axis."""
        return self._state.axes

    @property
    def buttons(self) -> list[int]:
        """1 for each pressed button."""
        return self._state.buttons

    def poll(self) -> None:
        """Take in what the device has told since the last call."""
        if self.problem:
            return
        try:
            while data := os.read(self._file, 64 * EVENT_SIZE):
                self._state.feed(data)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or 'unplugged')
            return
        self._lose('its device was closed')

    def close(self) -> None:
        """Close the device."""
        os.close(self._file)

    def _lose(self, reason: str) -> None:
        """Nobody holds a gamepad that is gone."""
        self.problem = f'the gamepad {self._device} is gone ({reason}); plug it in and start again'
        self.let_go()

    def let_go(self) -> None:
        """Count everything as released."""
        self._state.axes[:] = [0.0] * len(self._state.axes)
        self._state.buttons[:] = [0] * len(self._state.buttons)
