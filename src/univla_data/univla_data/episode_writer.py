"""Write one episode: a rosbag2 folder that appears only when it is whole."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.rosbag2.storage_mcap import McapWriter
from univla_core.action_chunk import ActionChunk
from univla_core.action_space import action_space
from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_core.latent_action import LatentAction

from univla_data import messages
from univla_data import topics
from univla_data.message_types import learn
from univla_data.message_types import message
from univla_data.message_types import typestore
from univla_data.provenance import Provenance
from univla_data.stamps import nanoseconds
from univla_data.topics import Topic

#: What is being written lies in a folder of this ending until it is whole.
PART = '.part'
#: Quality of JPEG pictures.
QUALITY = 95


class EpisodeWriter:
    """Writes what one robot saw and did into `<path>.part`, and renames it on `close`.

    What is left after a crash is an MCAP file without an end, which `read_episode` reads all the
    same. All stamps are in seconds on the clock of the recording. Messages are logged when they
    were `received`, by default at their stamp; log times never run back.

    Args:
        path: Folder of the episode; must not exist. A part left by an earlier try is removed.
        embodiment: The robot.
        provenance: Where the episode comes from; `close` completes it.
        quality: JPEG quality of pictures, None stores them raw.

    Raises:
        DataError: If the episode exists already or the folder cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        embodiment: Embodiment,
        provenance: Provenance,
        *,
        quality: int | None = QUALITY,
    ) -> None:
        self.path = Path(path)
        self.messages = 0
        self._embodiment, self._provenance, self._quality = embodiment, provenance, quality
        self._space = '/' + (provenance.namespace or embodiment.name).strip('/')
        self._frame = embodiment.frame_prefix + embodiment.base_frame
        self._connections: dict[str, Connection] = {}
        self._newest = 0
        if self.path.exists():
            raise DataError(f'{self.path} exists already; remove it or choose another name')
        self._part = self.path.with_name(self.path.name + PART)
        try:
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)
            self._writer = Writer(
                self._part / self.path.name, version=9, storage_plugin=StoragePlugin.MCAP
            )
            self._writer.open()
        except (OSError, WriterError) as error:
            raise DataError(f'{self.path} cannot be written: {error}') from error
        self._told = False

    def picture(
        self, stamp: float, camera: str, picture: np.ndarray, received: float | None = None
    ) -> None:
        """A picture, RGB, uint8, shape (height, width, 3)."""
        topic = topics.camera_topic(camera, raw=self._quality is None)
        frame = f'{self._embodiment.frame_prefix}camera_{camera}_optical_frame'
        msg = messages.picture_to_msg(stamp, picture, frame, self._quality)
        self.write(topic, stamp if received is None else received, msg)

    def joint_state(
        self,
        stamp: float,
        positions: np.ndarray,
        velocities: np.ndarray,
        opening: float | None = None,
    ) -> None:
        """Measured joints (n,) [rad], their velocities [rad/s] and the gripper's opening."""
        msg = messages.joint_state_to_msg(stamp, self._embodiment, positions, velocities, opening)
        self.write(topics.JOINT_STATES, stamp, msg)

    def odometry(self, stamp: float, twist: Sequence[float], pose: Sequence[float]) -> None:
        """Measured v [m/s] and w [rad/s] of a base, and its x [m], y [m], heading [rad]."""
        msg = messages.odometry_to_msg(stamp, self._embodiment, twist, pose)
        self.write(topics.ODOMETRY, stamp, msg)

    def command(
        self,
        stamp: float,
        positions: np.ndarray,
        velocities: np.ndarray,
        opening: float | None = None,
    ) -> None:
        """A command sent: joint set-points (n,) [rad] and velocities; of a base only its twist."""
        if self._embodiment.kind == 'base':
            msg = messages.twist_to_msg(stamp, self._embodiment, velocities)
            self.write(topics.TWIST, stamp, msg)
            return
        msg = messages.command_to_msg(stamp, self._embodiment, positions, velocities, opening)
        self.write(topics.COMMAND, stamp, msg)

    def latent_action(self, latent: LatentAction, received: float | None = None) -> None:
        """A latent action that was planned, heard when its plan was made unless said otherwise."""
        stamp = latent.plan_stop if received is None else received
        self.write(topics.LATENT_ACTION, stamp, messages.latent_action_to_msg(latent))

    def chunk(self, chunk: ActionChunk, received: float | None = None) -> None:
        """An action chunk, heard when it was decoded unless said otherwise."""
        frame = self._frame if action_space(chunk.action_space).cartesian else ''
        stamp = chunk.decode_stop if received is None else received
        self.write(topics.ACTION_CHUNK, stamp, messages.action_chunk_to_msg(chunk, frame))

    def control_state(self, stamp: float, fields: Mapping[str, Any]) -> None:
        """State of the controller: fields of `univla_msgs/ControlState`."""
        self.write(topics.CONTROL_STATE, stamp, messages.control_state_to_msg(stamp, fields))

    def instruction(self, stamp: float, instruction: str) -> None:
        """The task in words, as the robot was told."""
        self.write(topics.INSTRUCTION, stamp, message('std_msgs/msg/String', data=instruction))

    def robot_description(self, stamp: float, description: str) -> None:
        """URDF of the robot."""
        msg = message('std_msgs/msg/String', data=description)
        self.write(topics.ROBOT_DESCRIPTION, stamp, msg)

    def write(self, topic: Topic, received: float, msg: Any) -> None:
        """Any message made by `message_types.message`, on a topic of the robot.

        Raises:
            DataError: If the disk is full.
        """
        self.write_serialized(topic, received, typestore().serialize_cdr(msg, topic.kind))

    def write_serialized(
        self,
        topic: Topic,
        received: float,
        data: bytes | memoryview,
        *,
        belated: bool = False,
    ) -> None:
        """A message that is serialised already, as the middleware delivers it.

        A topic with a leading slash keeps its name, others are in the robot's namespace.

        Args:
            topic: Where it was heard.
            received: When [s].
            data: Its bytes in CDR.
            belated: Log it at `received` even if later messages are there already.

        Raises:
            DataError: If the disk is full, or the type of the message is unknown.
        """
        self._newest = max(nanoseconds(received), self._newest)
        if not self._told:
            self._told = True
            self._tell_provenance()
        self._put(topic, data, nanoseconds(received) if belated else self._newest)

    def flush(self, *, sync: bool = False) -> None:
        """Hand what was written to the system, so that it outlives this process.

        Args:
            sync: Wait until it is on the disk, so that it outlives a power cut too.

        Raises:
            DataError: If the disk is full.
        """
        storage = self._writer.storage
        assert isinstance(storage, McapWriter)
        try:
            if storage.chunk.bio.tell():
                storage.close_chunk()
            storage.bio.flush()
            if sync:
                os.fsync(storage.bio.fileno())
        except OSError as error:
            raise self._disk_error(error) from error

    def close(self, success: bool | None, sources: Sequence[str] = (), **changes: Any) -> Path:
        """Complete the episode; only now it is at its path.

        Args:
            success: Whether the task was done, None if nobody judged.
            sources: Who drove, most of the time first.
            **changes: Other fields of the provenance that are known only now.

        Raises:
            DataError: If nothing was written, or the disk is full.
        """
        if not self.messages:
            self.discard()
            raise DataError(f'{self.path}: nothing was recorded')
        self._provenance = dataclasses.replace(
            self._provenance, success=success, sources=tuple(sources), **changes
        )
        for key, value in self._provenance.to_strings().items():
            self._writer.set_custom_data(key, value)
        try:
            self._writer.close()
            (self._part / self.path.name).rename(self.path)
            self._part.rmdir()
        except OSError as error:
            raise self._disk_error(error) from error
        return self.path

    def abort(self) -> None:
        """Stop writing and leave the part as it is."""
        self._writer.abort()

    def discard(self) -> None:
        """Stop writing and remove the part."""
        self.abort()
        shutil.rmtree(self._part, ignore_errors=True)

    def __enter__(self) -> EpisodeWriter:
        """Write within a `with` block, which must call `close`; without it a part remains."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop writing."""
        self.abort()

    def _tell_provenance(self) -> None:
        text = json.dumps(self._provenance.to_strings())
        data = typestore().serialize_cdr(
            message('std_msgs/msg/String', data=text), topics.PROVENANCE.kind
        )
        self._put(topics.PROVENANCE, data, self._newest)

    def _put(self, topic: Topic, data: bytes | memoryview, time: int) -> None:
        name = topic.name if topic.name.startswith('/') else f'{self._space}/{topic.name}'
        try:
            if name not in self._connections:
                learn(topic.kind)
                self._connections[name] = self._writer.add_connection(
                    name, topic.kind, typestore=typestore(), offered_qos_profiles=[topic.qos]
                )
            self._writer.write(self._connections[name], time, data)
        except OSError as error:
            raise self._disk_error(error) from error
        self.messages += 1

    def _disk_error(self, error: OSError) -> DataError:
        free = shutil.disk_usage(self._part.parent).free / 2**20
        return DataError(
            f'{self.path} cannot be written: {error.strerror or error}, {free:.0f} MB are free; '
            f'make room. What there is lies in {self._part}'
        )
