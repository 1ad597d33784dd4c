"""TensorFlow's JPEG round trip, to the bit where sides are multiples of 16.

LIBERO's pictures pass through JPEG before the policy sees them. TensorFlow decodes with the
"fast" integer transform, whose rounding differs from Pillow's by up to a dozen levels, so the
lossy part of the codec stands here; the lossless entropy coding is left out.

Source: ITU-T T.81; the integer arithmetic of libjpeg 6b (`jfdctint`, `jidctfst`, `jdsample`).
"""

from __future__ import annotations

import numpy as np

_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
# Scale factors of the Arai, Agui and Nakajima transform, times 2^14.
_AAN = np.array([1.0] + [np.sqrt(2.0) * np.cos(k * np.pi / 16.0) for k in range(1, 8)])
_AAN_SCALES = np.rint(np.outer(_AAN, _AAN) * 2**14).astype(np.int64)


def jpeg_round_trip(image: np.ndarray, quality: int = 95) -> np.ndarray:
    """Encode with halved chroma and decode as TensorFlow does.

    Args:
        image: RGB, uint8, shape (height, width, 3).
        quality: libjpeg's quality, 50 to 100.

    Returns:
        RGB, uint8, of the same shape.
    """
    height, width = image.shape[:2]
    pad = ((0, -height % 16), (0, -width % 16), (0, 0))
    luma, blue, red = _to_ycc(np.pad(image, pad, mode='edge').astype(np.int64))
    luma = _code(luma, _table(_LUMINANCE, quality))
    chroma = _table(_CHROMINANCE, quality)
    rows, columns = (height + 1) // 2, (width + 1) // 2
    blue, red = (_code(_halve(x), chroma)[:rows, :columns] for x in (blue, red))
    upsampled = (_double(x)[:height, :width] - 128 for x in (blue, red))
    return _to_rgb(luma[:height, :width], *upsampled)


def _table(base: tuple[tuple[int, ...], ...], quality: int) -> np.ndarray:
    return np.clip((np.array(base) * (200 - 2 * quality) + 50) // 100, 1, 255)


def _to_ycc(rgb: np.ndarray) -> tuple[np.ndarray, ...]:
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    center = (128 << 16) + 32767
    return (
        (19595 * r + 38470 * g + 7471 * b + 32768) >> 16,
        (-11059 * r - 21709 * g + 32768 * b + center) >> 16,
        (32768 * r - 27439 * g - 5329 * b + center) >> 16,
    )


def _to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> np.ndarray:
    red = y + ((91881 * cr + 32768) >> 16)
    green = y + ((-22554 * cb - 46802 * cr + 32768) >> 16)
    blue = y + ((116130 * cb + 32768) >> 16)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255).astype(np.uint8)


def _halve(plane: np.ndarray) -> np.ndarray:
    """Average 2 x 2 samples; the rounding bias alternates along a row."""
    total = plane[::2, ::2] + plane[::2, 1::2] + plane[1::2, ::2] + plane[1::2, 1::2]
    return (total + 1 + np.arange(total.shape[1]) % 2) >> 2


def _double(plane: np.ndarray) -> np.ndarray:
    """Triangle filter to twice the size, 3/4 of the nearer and 1/4 of the farther sample."""
    above = np.concatenate([plane[:1], plane[:-1]])
    below = np.concatenate([plane[1:], plane[-1:]])
    rows = np.stack([3 * plane + above, 3 * plane + below], axis=1).reshape(-1, plane.shape[1])
    left = np.concatenate([rows[:, :1], rows[:, :-1]], axis=1)
    right = np.concatenate([rows[:, 1:], rows[:, -1:]], axis=1)
    both = np.stack([(3 * rows + left + 8) >> 4, (3 * rows + right + 7) >> 4], axis=2)
    return both.reshape(len(rows), -1)


def _code(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Quantise the cosine transform of every 8 x 8 block and transform back."""
    down, right = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = plane.reshape(down, 8, right, 8).swapaxes(1, 2)  # (down, right, 8, 8)
    rows = _accurate_dct(np.moveaxis(blocks - 128, -1, 0), -2)  # axis 0: frequency along a row
    coefficients = _accurate_dct(np.moveaxis(rows, -1, 0), 2)  # (v, u, down, right), times 8
    divisors = 8 * table[:, :, None, None]
    levels = np.sign(coefficients) * ((np.abs(coefficients) + divisors // 2) // divisors)
    multipliers = (table * _AAN_SCALES + (1 << 11)) >> 12
    columns = _fast_idct(levels * multipliers[:, :, None, None])  # (row, u, down, right)
    samples = _fast_idct(columns.swapaxes(0, 1))  # (column, row, down, right)
    samples = np.clip((samples >> 5) + 128, 0, 255)
    return samples.transpose(2, 1, 3, 0).reshape(plane.shape)


def _accurate_dct(x: np.ndarray, shift: int) -> np.ndarray:
    """One-dimensional forward transform along axis 0 with 13-bit constants.

    Results carry 2^-shift more than the orthonormal transform times sqrt(8).
    """
    s0, s1, s2, s3 = x[0] + x[7], x[1] + x[6], x[2] + x[5], x[3] + x[4]
    d0, d1, d2, d3 = x[3] - x[4], x[2] - x[5], x[1] - x[6], x[0] - x[7]
    e0, e1, e2, e3 = s0 + s3, s1 + s2, s1 - s2, s0 - s3
    even = (e2 + e3) * 4433  # 0.541
    z5 = (d0 + d2 + d1 + d3) * 9633  # 1.176
    z1, z2 = (d0 + d3) * -7373, (d1 + d2) * -20995  # 0.900, 2.563
    z3, z4 = (d0 + d2) * -16069 + z5, (d1 + d3) * -3196 + z5  # 1.962, 0.390
    return np.stack(
        [
            _descale(e0 + e1, shift),
            _descale(d3 * 12299 + z1 + z4, 13 + shift),
            _descale(even + e3 * 6270, 13 + shift),
            _descale(d2 * 25172 + z2 + z3, 13 + shift),
            _descale(e0 - e1, shift),
            _descale(d1 * 16819 + z2 + z4, 13 + shift),
            _descale(even - e2 * 15137, 13 + shift),
            _descale(d0 * 2446 + z1 + z3, 13 + shift),
        ]
    )


def _descale(x: np.ndarray, bits: int) -> np.ndarray:
    return (x + (1 << (bits - 1))) >> bits if bits > 0 else x << -bits


def _fast_idct(x: np.ndarray) -> np.ndarray:
    """One-dimensional inverse transform along axis 0, with 8-bit constants that truncate."""
    even10, even11 = x[0] + x[4], x[0] - x[4]
    even13 = x[2] + x[6]
    even12 = ((x[2] - x[6]) * 362 >> 8) - even13  # sqrt(2)
    t0, t3 = even10 + even13, even10 - even13
    t1, t2 = even11 + even12, even11 - even12
    z13, z10 = x[5] + x[3], x[5] - x[3]
    z11, z12 = x[1] + x[7], x[1] - x[7]
    t7 = z11 + z13
    z5 = (z10 + z12) * 473 >> 8  # 1.848
    t6 = (z10 * -669 >> 8) + z5 - t7  # 2.613
    t5 = ((z11 - z13) * 362 >> 8) - t6
    t4 = (z12 * 277 >> 8) - z5 + t5  # 1.082
    return np.stack([t0 + t7, t1 + t6, t2 + t5, t3 - t4, t3 + t4, t2 - t5, t1 - t6, t0 - t7])
