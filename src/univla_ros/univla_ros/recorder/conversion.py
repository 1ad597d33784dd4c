"""From messages as they are heard to entries as they are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_core.errors import ObservationError
from univla_core.robot_state import state_gripper_joint
from univla_data.message_types import learn
from univla_data.message_types import message
from univla_data.message_types import message_from
from univla_data.message_types import typestore
from univla_data.messages import header_to_msg
from univla_data.pictures import decoded_image
from univla_data.pictures import jpeg
from univla_data.topics import Topic

from univla_data import topics
from univla_ros.recorder.entry import Entry
from univla_ros.recorder.entry import header_stamp
from univla_ros.recorder.entry import with_stamp
from univla_ros.recorder.streams import Role
from univla_ros.recorder.streams import Stream

_IMAGE = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'


class Conversion:
    """Turns what was heard into what is written.

    Args:
        embodiment: The robot.
        streams: What is heard.
        quality: JPEG quality of pictures that come raw.

    Attributes:
        problems: What could not be converted and is written as it came, by topic.

    Raises:
        DataError: If the message files of a stream's type are nowhere.
    """

    def __init__(self, embodiment: Embodiment, streams: Sequence[Stream], quality: int) -> None:
        self._embodiment, self._streams, self._quality = embodiment, streams, quality
        self.problems: dict[str, str] = {}
        for stream in streams:
            learn(stream.topic.kind)

    def entries(self, number: int, received: float, data: bytes) -> list[Entry]:
        """What is written of a message.

        Args:
            number: Of its stream.
            received: When it arrived [s].
            data: Its bytes in CDR.
        """
        stream = self._streams[number]
        if stream.role is Role.PICTURE:
            return [self._picture(number, stream, received, data)]
        if stream.role is Role.STATE and header_stamp(data) == 0.0:
            data = with_stamp(data, received)
        entries = [Entry(number, stream.topic, received, data)]
        if stream.role is Role.GRIPPER:
            entries += self._gripper(number, stream, received, data)
        return entries

    def _picture(self, number: int, stream: Stream, received: float, data: bytes) -> Entry:
        wanted, heard = stream.topic, stream.source
        if wanted.kind == _IMAGE or heard.endswith('/compressed'):
            return Entry(number, wanted, received, data)
        try:
            msg = message_from(_IMAGE, data)
            picture = decoded_image(msg)
        except (DataError, ObservationError) as error:
            self.problems[heard] = f'{error}; it is recorded as it came'
            return Entry(number, Topic(heard, _IMAGE, reliable=False), received, data)
        packed = message(
            _COMPRESSED, header=msg.header, format='jpeg', data=jpeg(picture, self._quality)
        )
        return Entry(number, wanted, received, _bytes(packed, _COMPRESSED))

    def _gripper(self, number: int, stream: Stream, received: float, data: bytes) -> list[Entry]:
        """The opening as a joint state, where a reader looks for it."""
        gripper = self._embodiment.gripper
        assert gripper is not None and stream.opening is not None
        try:
            opening = stream.opening(message_from(stream.topic.kind, data))
        except DataError as error:
            self.problems[stream.source] = str(error)
            return []
        if opening is None:
            return []
        state = message(
            topics.JOINT_STATES.kind,
            header=header_to_msg(received),
            name=[state_gripper_joint(self._embodiment)],
            position=[gripper.finger_position(opening) * gripper.state_scale],
        )
        made = _bytes(state, topics.JOINT_STATES.kind)
        return [Entry(number, topics.JOINT_STATES, received, made)]


def _bytes(msg: Any, kind: str) -> bytes:
    return bytes(typestore().serialize_cdr(msg, kind))
