"""The message types of an episode: Jazzy's own, and those of the .msg files of `univla_msgs`."""

from __future__ import annotations

import dataclasses
import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.serde import SerdeError
from rosbags.typesys import Stores
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys.store import Typestore
from univla_core.errors import DataError
from univla_core.paths import repository_root

_MOST_PADDING = 11  # to the next 8 bytes, and to the end of the message [bytes]


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Every type that an episode is written with.

    Raises:
        DataError: If the message files of `univla_msgs` are nowhere.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in sorted(_message_folder().glob('*.msg')):
        types |= get_types_from_msg(path.read_text('utf-8'), f'univla_msgs/msg/{path.stem}')
    store.register(types)
    return store


def learn(kind: str) -> None:
    """Make a type known to `typestore` by the message files of its package, with all it holds.

    Raises:
        DataError: If its package is not installed here.
    """
    store = typestore()
    if kind in store.fielddefs:
        return
    package, _, name = kind.partition('/msg/')
    paths = [folder / f'{name}.msg' for folder in _message_folders(package)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(
            f'the message file of {kind} is nowhere; install {package} and source its workspace'
        )
    types = get_types_from_msg(path.read_text('utf-8'), kind)
    for _, description in types[kind][1]:
        for held in _names_in(description):
            if held not in types:
                learn(held)
    store.register(types)


@lru_cache(maxsize=64)
def store_of(kind: str, definition: str) -> Typestore:
    """Types for a message as a bag defines it, which may be older than ours."""
    ours = typestore()
    if kind in ours.fielddefs and ours.generate_msgdef(kind, ros_version=2)[0] == definition:
        return ours
    store = Typestore()
    store.register(get_types_from_msg(definition, kind))
    return store


def message(kind: str, **fields: Any) -> Any:
    """A message of ours; fields that are not given are empty or zero."""
    given = {name: _fitting(value, _descriptions(kind)[name]) for name, value in fields.items()}
    return dataclasses.replace(_empty(kind), **given)


def deserialized(store: Typestore, kind: str, data: bytes | memoryview) -> Any:
    """The message in some bytes.

    Unlike `Typestore.deserialize_cdr` it allows for what Fast CDR leaves behind a message that
    ends in an empty sequence: room for the alignment of its elements.

    Raises:
        SerdeError: If the bytes are no such message.
    """
    if len(data) < 4 or bytes(data[:2]) not in (b'\0\0', b'\0\1'):
        raise SerdeError(f'{kind}: the bytes are not in CDR')
    definition = store.get_msgdef(kind)
    read = definition.deserialize_cdr_le if data[1] else definition.deserialize_cdr_be
    try:
        msg, end = read(data[4:], 0, definition.cls, store)
    except (struct.error, ValueError) as error:
        raise SerdeError(f'{kind}: {error}') from error
    if end + 4 + _MOST_PADDING < len(data):
        raise SerdeError(f'{kind}: {len(data) - end - 4} bytes are left over')
    return msg


def message_from(kind: str, data: bytes | memoryview) -> Any:
    """The message in bytes that the middleware delivered.

    Raises:
        DataError: If the bytes are no such message.
    """
    try:
        return deserialized(typestore(), kind, data)
    except SerdeError as error:
        raise DataError(str(error)) from error


def _names_in(description: Any) -> list[str]:
    """Messages that a field holds."""
    node, what = description
    if node == Nodetype.NAME:
        return [what]
    return _names_in(what[0]) if node in (Nodetype.ARRAY, Nodetype.SEQUENCE) else []


def _message_folders(package: str) -> list[Path]:
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    return [Path(prefix, 'share', package, 'msg') for prefix in prefixes if prefix]


def _message_folder() -> Path:
    folders = _message_folders('univla_msgs')
    root = repository_root()
    if root is not None:
        folders.append(root / 'src' / 'univla_msgs' / 'msg')
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DataError(
        'the message files of univla_msgs are nowhere; source the workspace '
        '(install/local_setup.bash), which installs them in share/univla_msgs/msg'
    )


@lru_cache(maxsize=64)
def _descriptions(kind: str) -> dict[str, Any]:
    return dict(typestore().fielddefs[kind][1])


@lru_cache(maxsize=64)
def _empty(kind: str) -> Any:
    """One message with nothing in it; never changed, only replaced."""
    fields = _descriptions(kind)
    return typestore().types[kind](**{name: _nothing(what) for name, what in fields.items()})


def _nothing(description: Any) -> Any:
    node, what = description
    if node == Nodetype.NAME:
        return _empty(what)
    if node == Nodetype.BASE:
        return {'string': '', 'bool': False}.get(what[0], 0)
    inner, count = what
    if inner[0] == Nodetype.BASE and inner[1][0] != 'string':
        return np.zeros(count if node == Nodetype.ARRAY else 0, dtype=inner[1][0])
    return [_nothing(inner)] * (count if node == Nodetype.ARRAY else 0)


def _fitting(value: Any, description: Any) -> Any:
    """The value as the serialiser wants it: numbers of sequences as an array of their type."""
    node, what = description
    if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        inner = what[0]
        if inner[0] == Nodetype.BASE and inner[1][0] != 'string':
            return np.ascontiguousarray(value, dtype=inner[1][0])
        return list(value)
    return value
