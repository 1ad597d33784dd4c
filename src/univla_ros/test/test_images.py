"""Camera messages become RGB pictures, exactly or not at all."""

from __future__ import annotations

import array
import importlib.util
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from univla_core.errors import ObservationError
from univla_ros.images import image_from_compressed_msg
from univla_ros.images import image_from_msg
from univla_ros.images import image_to_compressed_msg
from univla_ros.images import image_to_msg

# Two pixels: orange and a dark blue.
RGB = np.array([[[255, 128, 0], [1, 2, 90]]], dtype=np.uint8)


def message(encoding: str, rows: list[list[int]], width: int, step: int = 0) -> Image:
    data = array.array('B', bytes(value for row in rows for value in row))
    return Image(height=len(rows), width=width, encoding=encoding, step=step, data=data)


def gradient(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x, 5 * y, 2 * (x + y)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ('encoding', 'row'),
    [
        ('rgb8', [255, 128, 0, 1, 2, 90]),
        ('bgr8', [0, 128, 255, 90, 2, 1]),
        ('rgba8', [255, 128, 0, 7, 1, 2, 90, 7]),
        ('bgra8', [0, 128, 255, 7, 90, 2, 1, 7]),
    ],
)
def test_every_common_encoding_gives_the_same_picture(encoding, row):
    picture = image_from_msg(message(encoding, [row], 2, len(row)))
    np.testing.assert_array_equal(picture, RGB)
    assert picture.flags.c_contiguous


def test_grey_becomes_three_equal_channels():
    picture = image_from_msg(message('mono8', [[10, 20], [30, 40]], 2, 2))
    np.testing.assert_array_equal(picture[..., 0], [[10, 20], [30, 40]])
    np.testing.assert_array_equal(picture, picture[..., :1].repeat(3, axis=2))


def test_padding_at_the_end_of_rows_is_cut_off():
    rows = [[255, 128, 0, 1, 2, 90, 99, 99], [9, 8, 7, 6, 5, 4, 99, 99]]
    picture = image_from_msg(message('rgb8', rows, 2, 8))
    np.testing.assert_array_equal(picture, [[[255, 128, 0], [1, 2, 90]], [[9, 8, 7], [6, 5, 4]]])


def test_a_driver_that_leaves_step_at_zero_means_no_padding():
    np.testing.assert_array_equal(image_from_msg(message('rgb8', [RGB.ravel().tolist()], 2)), RGB)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_picture_survives_raw(height, width, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    msg = image_to_msg(picture, Header(frame_id='camera'))
    assert (msg.header.frame_id, msg.encoding, msg.step) == ('camera', 'rgb8', 3 * width)
    np.testing.assert_array_equal(image_from_msg(msg), picture)


def test_a_flipped_view_is_written_as_it_looks():
    picture = gradient()[::-1, ::-1]
    np.testing.assert_array_equal(image_from_msg(image_to_msg(picture, Header())), picture)


def test_a_message_does_not_share_memory_with_the_picture():
    picture = gradient()
    msg = image_to_msg(picture, Header())
    picture[:] = 0
    assert image_from_msg(msg).any()


@pytest.mark.parametrize(
    ('height', 'width', 'step', 'count'),
    [
        (2, 2, 6, 11),  # a byte short
        (2, 2, 5, 12),  # rows overlap
        (0, 2, 6, 0),
        (2, 0, 0, 12),
        (1, 2**31, 6, 6),
    ],
)
def test_data_that_do_not_fill_the_picture_are_refused(height, width, step, count):
    data = array.array('B', bytes(count))
    msg = Image(height=height, width=width, step=step, encoding='rgb8', data=data)
    with pytest.raises(ObservationError, match=f'holds {count} bytes; the camera driver'):
        image_from_msg(msg)


@pytest.mark.skipif(importlib.util.find_spec('cv_bridge') is not None, reason='cv_bridge is here')
@pytest.mark.parametrize('encoding', ['yuv422_yuy2', 'bayer_rggb8', '16UC1', '32FC1', 'rgb16', ''])
def test_an_unknown_encoding_names_the_known_ones(encoding):
    with pytest.raises(ObservationError, match=r'rgb8, bgr8, rgba8, bgra8, mono8.*cv_bridge'):
        image_from_msg(message(encoding, [[0] * 8], 2, 8))


# --- compressed -----------------------------------------------------------------------------


def test_jpeg_keeps_colours_in_order():
    """A smooth picture changes by a few grey levels; swapped channels would differ by hundreds."""
    picture = gradient()
    msg = image_to_compressed_msg(picture, Header(frame_id='camera'))
    assert (msg.format, msg.header.frame_id) == ('jpeg', 'camera')
    back = image_from_compressed_msg(msg)
    assert np.abs(back.astype(int) - picture).mean() < 4


def test_quality_costs_bytes():
    sizes = [len(image_to_compressed_msg(gradient(), Header(), q).data) for q in (30, 60, 95)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode('.png', picture[..., ::-1])[1].tobytes()


def compressed(data: bytes, kind: str = 'jpeg') -> CompressedImage:
    return CompressedImage(format=kind, data=array.array('B', data))


def test_png_is_exact():
    picture = gradient()
    np.testing.assert_array_equal(image_from_compressed_msg(compressed(png(picture))), picture)


def test_a_grey_png_becomes_rgb():
    data = cv2.imencode('.png', gradient()[..., 0])[1].tobytes()
    assert image_from_compressed_msg(compressed(data)).shape == (48, 64, 3)


def test_zeros_after_the_end_of_a_jpeg_do_no_harm():
    data = bytes(image_to_compressed_msg(gradient(), Header()).data)
    assert image_from_compressed_msg(compressed(data + bytes(4096))).shape == (48, 64, 3)


@pytest.mark.parametrize('kind', ['jpeg', 'png'])
@pytest.mark.parametrize('share', [0.1, 0.5, 0.9, 0.995])
def test_a_picture_cut_short_is_refused_not_filled_with_grey(kind, share):
    whole = (
        bytes(image_to_compressed_msg(gradient(), Header()).data)
        if kind == 'jpeg'
        else png(gradient())
    )
    with pytest.raises(ObservationError, match='cut short or no picture'):
        image_from_compressed_msg(compressed(whole[: int(share * len(whole))], kind))


def absurd_png() -> bytes:
    """A header that promises 2 * 10^9 pixels a side."""
    header = struct.pack('>IIBBBBB', 2_000_000_000, 2_000_000_000, 8, 2, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack('>I', zlib.crc32(name + data))
        return struct.pack('>I', len(data)) + name + data + check

    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IEND', b'')


@pytest.mark.parametrize(
    'data', [b'', b'\xff\xd8', b'\xff\xd8\xff\xd9', b'not a picture', bytes(100), absurd_png()]
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(ObservationError, match='send whole JPEG or PNG'):
        image_from_compressed_msg(compressed(data))
