"""Read the messages of one bag, also of one whose end is missing."""

from __future__ import annotations

import struct
from collections.abc import Collection
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.serde import SerdeError
from rosbags.typesys.base import TypesysError
from univla_core.errors import DataError

from univla_data.message_types import deserialized
from univla_data.message_types import store_of
from univla_data.message_types import typestore

#: What reading a damaged file may raise; rosbags lets the errors of its parser through.
_DAMAGED = (
    ReaderError,
    SerdeError,
    TypesysError,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
)
_LAST_RECORD = 0x0F


class CutMcapReader(McapReader):
    """An MCAP file that ends anywhere: its whole records are read, the torn one is not."""

    def _open(self) -> None:
        assert self.bio is not None
        if self.bio.read(8) != b'\x89MCAP0\r\n':
            raise ReaderError('it does not begin like an MCAP file')
        self.data_start = self.bio.tell()
        self.data_end = self._whole_end()
        self.meta_scan()

    def _whole_end(self) -> int:
        assert self.bio is not None
        size = self.path.stat().st_size
        end = self.data_start
        while end + 9 <= size:
            self.bio.seek(end)
            code, length = struct.unpack('<BQ', self.bio.read(9))
            if not 0 < code <= _LAST_RECORD or end + 9 + length > size:
                break
            end += 9 + length
        return end


class Bag:
    """One recorded bag; open it in a `with` block.

    Args:
        path: Its folder, the part that an interrupted recording left, or an MCAP file.

    Attributes:
        kinds: Type of the messages of each topic.
        counts: How many messages each topic has.
        custom: Custom data of its metadata.
        interrupted: Whether its end is missing.

    Raises:
        DataError: If it is no bag or cannot be read at all.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.interrupted = False
        file = self._file()
        self._reader: Reader | CutMcapReader = self._opened(file)
        found = self._reader.connections
        self.kinds = {connection.topic: connection.msgtype for connection in found}
        self.counts = {connection.topic: connection.msgcount for connection in found}
        custom = None if isinstance(self._reader, CutMcapReader) else _custom(self._reader)
        self.custom: dict[str, str] = custom or {}

    def messages(self, names: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        """Messages of some topics in the order in which they were logged.

        Yields:
            Name of the topic, log time [ns], and the message.

        Raises:
            DataError: Naming the topic of a message that is damaged.
        """
        chosen = [c for c in self._reader.connections if c.topic in names]
        if not chosen:
            return
        stream = self._reader.messages(chosen)
        topic = ''
        while True:
            try:
                connection, time, data = next(stream)
                topic = connection.topic
                msg = _deserialized(connection, data)
            except StopIteration:
                return
            except _DAMAGED as error:
                after = f' after a message of {topic}' if topic else ''
                raise DataError(
                    f'{self.path}: is damaged{after} ({error}); remove it, or record it again'
                ) from error
            yield topic, time, msg

    def close(self) -> None:
        """Close its files."""
        self._reader.close()

    def __enter__(self) -> Bag:
        """The bag, open since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _file(self) -> Path:
        """What to open: the folder if it has its metadata, else its only MCAP file."""
        path = self.path
        if (path / 'metadata.yaml').is_file() or path.is_file():
            return path
        if not path.is_dir():
            raise DataError(f'{path}: there is no such folder')
        files = sorted(path.rglob('*.mcap'))
        if len(files) != 1:
            raise DataError(
                f'{path}: is no recorded episode; it has no metadata.yaml and {len(files)} MCAP '
                'files'
            )
        return files[0]

    def _opened(self, file: Path) -> Reader | CutMcapReader:
        reader: Reader | CutMcapReader
        try:
            reader = Reader(file)
            reader.open()
            return reader
        except _DAMAGED as error:
            first = error
        if file.is_dir():
            files = sorted(file.glob('*.mcap'))
            file = files[0] if len(files) == 1 else file
        self.interrupted = True
        try:
            reader = CutMcapReader(file)
            reader.open()
        except _DAMAGED:
            raise DataError(f'{file}: cannot be read ({first}); remove it') from first
        return reader


def _custom(reader: Reader) -> dict[str, str] | None:
    return reader.storage.metadata.custom


def _deserialized(connection: Connection, data: bytes) -> Any:
    definition = connection.msgdef.data
    store = store_of(connection.msgtype, definition) if definition else typestore()
    return deserialized(store, connection.msgtype, data)
