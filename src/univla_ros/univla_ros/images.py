"""Camera messages to RGB pictures and back."""

from __future__ import annotations

import array
import importlib.util
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from univla_core.errors import ObservationError
from univla_data.pictures import CHANNELS
from univla_data.pictures import decoded_compressed
from univla_data.pictures import decoded_image
from univla_data.pictures import jpeg


def image_from_msg(msg: Image) -> np.ndarray:
    """RGB picture, uint8, shape (height, width, 3).

    The common 8-bit encodings are read here; others through cv_bridge where it is installed.

    Raises:
        ObservationError: If the encoding is not understood or the data do not fill the picture.
    """
    return decoded_image(msg) if msg.encoding in CHANNELS else _through_cv_bridge(msg)


def image_from_compressed_msg(msg: CompressedImage) -> np.ndarray:
    """RGB picture, uint8, shape (height, width, 3), of a JPEG or PNG message.

    Raises:
        ObservationError: If the data cannot be decoded.
    """
    return decoded_compressed(msg)


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
    msg = CompressedImage(header=header, format='jpeg')
    msg.data = array.array('B', jpeg(picture, quality).tobytes())
    return msg


def _through_cv_bridge(msg: Image) -> np.ndarray:
    known = ', '.join(CHANNELS)
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
