"""Pictures in messages, decoded the same way live and from a recording.

Works with the messages of rclpy and with those of rosbags: both have the same fields.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from univla_core.errors import ObservationError

#: Bytes of a pixel of each encoding that needs no conversion library.
CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}


def decoded_image(msg: Any) -> np.ndarray:
    """RGB picture, uint8, shape (height, width, 3), of a `sensor_msgs/Image` in `CHANNELS`.

    Raises:
        ObservationError: If the encoding is unknown or the data do not fill the picture.
    """
    if msg.encoding not in CHANNELS:
        known = ', '.join(CHANNELS)
        raise ObservationError(f'image encoding {msg.encoding!r} is not one of {known}')
    channels = CHANNELS[msg.encoding]
    step = msg.step or msg.width * channels
    empty = not (msg.height and msg.width)
    if empty or step < msg.width * channels or len(msg.data) < step * msg.height:
        raise ObservationError(
            f'image {msg.width}x{msg.height} {msg.encoding} with step {msg.step} holds '
            f'{len(msg.data)} bytes; the camera driver sends a broken message'
        )
    rows = np.frombuffer(msg.data, dtype=np.uint8, count=step * msg.height)
    picture = rows.reshape(msg.height, step)[:, : msg.width * channels]
    picture = picture.reshape(msg.height, msg.width, channels)
    if msg.encoding.startswith('bgr'):
        picture = picture[..., [2, 1, 0]]
    elif channels == 1:
        picture = np.repeat(picture, 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def decoded_compressed(msg: Any) -> np.ndarray:
    """RGB picture, uint8, shape (height, width, 3), of a JPEG or PNG `CompressedImage`.

    Raises:
        ObservationError: If the data cannot be decoded.
    """
    data = np.frombuffer(msg.data, dtype=np.uint8)
    picture = _decoded(data) if _is_whole(data) else None
    if picture is None:
        raise ObservationError(
            f'compressed image of format {msg.format!r} ({data.size} bytes) is cut short or no '
            'picture; send whole JPEG or PNG files'
        )
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Bytes of the JPEG file of an RGB picture, uint8, shape (height, width, 3)."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].ravel()


def _is_whole(data: np.ndarray) -> bool:
    """Whether a JPEG or PNG has its end: OpenCV before 4.11 may fill what is missing with grey."""
    end = bytes(data).rstrip(b'\0')[-12:]  # some drivers pad with zeros
    if bytes(data[:2]) == b'\xff\xd8':
        return end.endswith(b'\xff\xd9')
    return b'IEND' in end


def _decoded(data: np.ndarray) -> np.ndarray | None:
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # sizes that no picture has
        return None
