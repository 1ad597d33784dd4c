"""What FAST ids stand for: rounded frequencies of a chunk, and the signs they are spelled with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from univla_core.errors import ActionError


def coefficients(chunk: np.ndarray, scale: float) -> np.ndarray:
    """Rounded DCT along time, int64, (horizon, action_dim); row 0 is frequency 0."""
    values = np.asarray(chunk, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ActionError(
            f'a chunk to encode has shape {values.shape}; it must be (horizon, action_dim) with '
            'finite values'
        )
    return np.round(dct_matrix(len(values)) @ values * scale).astype(np.int64)


@lru_cache(maxsize=16)
def dct_matrix(length: int) -> np.ndarray:
    """Matrix of the orthonormal DCT-II, (frequency, time)."""
    frequency, time = np.arange(length)[:, None], np.arange(length)[None, :]
    matrix = np.sqrt(2.0 / length) * np.cos(np.pi * (2 * time + 1) * frequency / (2 * length))
    matrix[0] /= np.sqrt(2.0)
    return matrix


@lru_cache(maxsize=1)
def bytes_of_signs() -> dict[str, int]:
    """Byte behind each sign of byte-level BPE: printable Latin-1 as is, others from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    signs = {chr(byte): byte for byte in printable}
    signs.update({chr(256 + place): byte for place, byte in enumerate(others)})
    return signs


def needed_signs(largest: int) -> list[str]:
    """Byte-level signs that the characters 0 … `largest` are written with."""
    used = set(''.join(map(chr, range(largest + 1))).encode('utf-8'))
    return [sign for sign, byte in bytes_of_signs().items() if byte in used]
