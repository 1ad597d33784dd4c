"""The hash that names a vocabulary of codes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def codebook_hash(ids: Sequence[int] | np.ndarray, names: Sequence[str], rows: np.ndarray) -> str:
    """First 16 hex digits of SHA-256 over ids, names and embeddings of the codes.

    Two checkpoints with the same hash mean the same by a code, so a decoder trained on one
    serves the other.

    Args:
        ids: Token id of each code.
        names: Text of each code.
        rows: Embedding of each code as stored, shape (codes, dim).
    """
    digest = hashlib.sha256()
    for token, name in zip(ids, names, strict=True):
        digest.update(f'{int(token)}:{name}\n'.encode())
    digest.update(np.ascontiguousarray(rows, dtype='<f4').tobytes())
    return digest.hexdigest()[:16]
