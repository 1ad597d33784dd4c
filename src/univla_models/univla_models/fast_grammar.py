"""Which FAST ids may follow, so that what is said is one whole chunk: constrained decoding."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
from univla_core.errors import ActionError

from univla_models.fast_tokenizer import FastTokenizer

#: Bytes that begin a character of so many bytes are at least this.
_FIRST_BYTES = ((0xF0, 4), (0xE0, 3), (0xC0, 2))


class ChunkGrammar:
    """Allows ids while coefficients of a chunk are missing, and the end when none is.

    A model that speaks under it can still plan a wrong motion, but no longer one of the wrong
    length. The original allows every id at any place.

    Args:
        fast: The tokenizer.
        horizon: Rows of a chunk.
        action_dim: Columns.
    """

    def __init__(self, fast: FastTokenizer, horizon: int, action_dim: int) -> None:
        self.end, self.wanted = fast.end, horizon * action_dim
        self._bytes: list[bytes | None] = []
        for number in range(fast.num_ids):
            try:
                self._bytes.append(fast.bytes_of(number))
            except ActionError:
                self._bytes.append(None)
        self._allowed: dict[tuple[int, bytes], np.ndarray] = {}

    @property
    def longest(self) -> int:
        """Most ids of a chunk, the end included: one for each byte."""
        widest = max(len(part) for part in self._bytes if part is not None)
        return self.wanted * min(widest, 4) + 1

    def allowed(self, said: Sequence[int]) -> np.ndarray:
        """Whether each id may follow these, and last whether the end may, (num_ids + 1,)."""
        spelled = b''.join(self._bytes[number] or b'' for number in said)
        whole, begun = _cut(spelled)
        return self._after(self.wanted - whole, begun)

    def in_order(self, codes: Sequence[int]) -> Callable[[Sequence[int]], np.ndarray]:
        """The same for a model that counts ids in another order.

        Args:
            codes: The FAST id, or the end, at each of its places.

        Returns:
            Places of what was said → whether each place may follow, (places,).
        """
        order = np.asarray(codes, dtype=np.int64)
        return lambda said: self.allowed(order[list(said)].tolist())[order]

    def _after(self, missing: int, begun: bytes) -> np.ndarray:
        """The same, where so many coefficients are missing and one is spelled in part."""
        known = self._allowed.get((missing, begun))
        if known is None:
            known = np.array(
                [self._fits(part, missing, begun) for part in self._bytes]
                + [missing == 0 and not begun]
            )
            self._allowed[missing, begun] = known
        return known

    @staticmethod
    def _fits(part: bytes | None, missing: int, begun: bytes) -> bool:
        if not part:
            return False
        try:
            whole, rest = _cut(begun + part)
        except UnicodeDecodeError:
            return False
        return whole + bool(rest) <= missing


def _cut(spelled: bytes) -> tuple[int, bytes]:
    """Number of whole characters, and the bytes of one that is spelled in part.

    Raises:
        UnicodeDecodeError: If that is no text.
    """
    for back in range(1, min(4, len(spelled) + 1)):
        lead = spelled[-back]
        if lead & 0xC0 == 0x80:
            continue  # the character begins further to the left
        size = next((size for least, size in _FIRST_BYTES if lead >= least), 1)
        if size > back:
            return len(spelled[:-back].decode('utf-8')), spelled[-back:]
        break
    return len(spelled.decode('utf-8')), b''
