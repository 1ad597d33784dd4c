"""One message as it is recorded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from univla_data.topics import Topic

_LITTLE = b'\x00\x01'
_STAMP = struct.Struct('<iI')
_STAMP_AT = 4  # behind the four bytes that tell the encoding


@dataclass(frozen=True)
class Entry:
    """One message.

    Attributes:
        stream: Number of the stream that it was heard on.
        topic: Where it is recorded.
        received: When it arrived [s].
        data: Its bytes in CDR.
    """

    stream: int
    topic: Topic
    received: float
    data: bytes

    @property
    def size(self) -> int:
        """Room that it takes, in memory and on the disk [bytes]."""
        return len(self.data) + 64


def header_stamp(data: bytes) -> float | None:
    """Stamp of a message that begins with a header [s]; None if it is written big-endian."""
    if data[:2] != _LITTLE or len(data) < _STAMP_AT + _STAMP.size:
        return None
    sec, nanosec = _STAMP.unpack_from(data, _STAMP_AT)
    return sec + 1e-9 * nanosec


def with_stamp(data: bytes, stamp: float) -> bytes:
    """The same message with another stamp [s] in its header."""
    whole = int(stamp)
    changed = bytearray(data)
    _STAMP.pack_into(changed, _STAMP_AT, whole, min(999_999_999, int((stamp - whole) * 1e9)))
    return bytes(changed)
