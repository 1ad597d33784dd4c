"""Whether measured joints can have moved as they say, by the speed that the maker allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Beside noise, a joint may seem to move so far between two measurements [rad or m].
_SLACK = 0.1

#: Drivers measure unevenly: joints may seem so many times as fast as the maker allows.
_HASTE = 2.0

#: So many measurements in a row that agree with each other are believed after all.
_WITNESSES = 3

#: After a doubtful measurement, time no longer explains a distance beyond this [s].
_DOUBT_S = 0.1


class JumpWatch:
    """Compares each measurement with the one before; pure.

    A driver that mixes up its joints makes them jump. A robot that was really moved elsewhere,
    or counts its angles anew, goes on from there, and so is believed after three measurements.

    Args:
        names: Names of the joints.
        velocity: Largest speed of each, shape (n,) [rad/s or m/s].
    """

    def __init__(self, names: Sequence[str], velocity: np.ndarray) -> None:
        self._names = tuple(names)
        self._reach = _HASTE * np.asarray(velocity, dtype=float)
        self._last: tuple[float, np.ndarray] | None = None
        self._doubtful: list[tuple[float, np.ndarray]] = []

    def check(self, time: float, positions: np.ndarray) -> tuple[str, bool]:
        """Judge a measurement.

        Args:
            time: When it was made [s].
            positions: Of all joints, finite, shape (n,) [rad or m].

        Returns:
            Why it cannot be believed, empty if it can, and whether it is believed after a jump.
        """
        patience_s = _DOUBT_S if self._doubtful else float('inf')
        found = self._jump(self._last, time, positions, patience_s)
        if not found:
            self._doubtful.clear()
            self._last = (time, positions)
            return '', False
        if self._doubtful and self._jump(self._doubtful[-1], time, positions, patience_s):
            self._doubtful.clear()
        self._doubtful.append((time, positions))
        if len(self._doubtful) < _WITNESSES:
            return found, False
        self._doubtful.clear()
        self._last = (time, positions)
        return '', True

    def _jump(
        self,
        last: tuple[float, np.ndarray] | None,
        time: float,
        positions: np.ndarray,
        patience_s: float,
    ) -> str:
        """The joint that moved too fast since `last`, in words; empty if none did."""
        if last is None:
            return ''
        elapsed = time - last[0]
        if elapsed < 0.0:
            return (
                f'joint_states were stamped {-elapsed:.2f} s earlier than those before; are there '
                'two drivers, or was the clock set?'
            )
        moved = np.abs(positions - last[1])
        beyond = moved - (self._reach * min(elapsed, patience_s) + _SLACK)
        worst = int(np.argmax(beyond))
        if beyond[worst] <= 0.0:
            return ''
        return (
            f'joint {self._names[worst]} moved by {moved[worst]:.2f} in {elapsed:.3f} s, faster '
            'than it can; does the driver mix up the order of its joints?'
        )
