"""Camera messages to RGB pictures and back."""

from __future__ import annotations

import array
import importlib.util
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from univla_core.errors import ObservationError

_CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}


def image_from_msg(msg: Image) -> np.ndarray:
    """RGB picture, uint8, shape (height, width, 3).

    The common 8-bit encodings are read here; others through cv_bridge where it is installed.

    Raises:
        ObservationError: If the encoding is not understood or the data do not fill the picture.
    """
    if msg.encoding not in _CHANNELS:
        return _through_cv_bridge(msg)
    channels = _CHANNELS[msg.encoding]
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


def image_from_compressed_msg(msg: CompressedImage) -> np.ndarray:
    """RGB picture, uint8, shape (height, width, 3), of a JPEG or PNG message.

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


def image_to_msg(picture: np.ndarray, header: Header) -> Image:
    """`rgb8` message of an RGB picture, uint8, shape (height, width, 3)."""
    height, width, _ = picture.shape
    msg = Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width)
    msg.data = array.array('B', np.ascontiguousarray(picture).tobytes())
    return msg


def image_to_compressed_msg(
    picture: np.ndarray, header: Header, quality: int = 90
) -> CompressedImage:
    """JPEG message of an RGB picture, uint8, shape (height, width, 3)."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    msg = CompressedImage(header=header, format='jpeg')
    msg.data = array.array('B', data.tobytes())
    return msg


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


def _through_cv_bridge(msg: Image) -> np.ndarray:
    known = ', '.join(_CHANNELS)
    if importlib.util.find_spec('cv_bridge') is None:
        raise ObservationError(
            f'image encoding {msg.encoding!r} is not one of {known}; set the camera driver to one '
            'of them, or install cv_bridge, which converts more'
        )
    import cv_bridge

    bridge: Any = cv_bridge.CvBridge()
    try:
        return np.ascontiguousarray(bridge.imgmsg_to_cv2(msg, desired_encoding='rgb8'))
    except cv_bridge.CvBridgeError as error:
        raise ObservationError(
            f'image encoding {msg.encoding!r} cannot become rgb8: {error}; use one of {known}'
        ) from error
