"""The ids that a small unified VLA keeps of the one vocabulary, and its small text tokenizer."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from univla_core.errors import TrainingError
from univla_models.synthetic_tokenizer import TASK_WORDS
from univla_models.unified_vla_tokens import FIRST_VISUAL
from univla_models.unified_vla_tokens import LAST_ACTION
from univla_models.unified_vla_tokens import NUM_TOKENS
from univla_models.unified_vla_tokens import PAD
from univla_models.unified_vla_tokens import TextTokenizer

#: Words that may begin a sentence.
_FIRST_TEXT = 'reach push pick put place point drive go move grasp lift open close turn'
_FIRST_WORDS = _FIRST_TEXT.split()


class Vocabulary:
    """Ids that may occur, ascending, and their places, which a small network counts by.

    Args:
        ranges: First and last of each run of ids; None keeps all.
    """

    def __init__(self, ranges: Sequence[tuple[int, int]] | None) -> None:
        self.ranges = None if ranges is None else [list(pair) for pair in ranges]
        whole = [(0, NUM_TOKENS - 1)] if ranges is None else ranges
        self.ids = np.concatenate([np.arange(first, last + 1) for first, last in whole])

    @classmethod
    def small(cls, text_ids: int, action_ids: int, visual_codes: int) -> Vocabulary:
        """The words, the actions, all special ids and the visual codes of a small checkpoint."""
        return cls(
            [
                (0, text_ids - 1),
                (LAST_ACTION - action_ids + 1, LAST_ACTION),
                (PAD, FIRST_VISUAL + visual_codes - 1),
            ]
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def first_visual(self) -> int:
        """Place of the first visual id; all behind it are visual, too."""
        return int(np.searchsorted(self.ids, FIRST_VISUAL))

    def places(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Places of ids, int64.

        Raises:
            TrainingError: If one of them was not kept.
        """
        wanted = np.asarray(ids, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        lost = wanted[self.ids[found] != wanted]
        if len(lost):
            raise TrainingError(
                f'id {int(lost[0])} is not in the vocabulary of this recipe; keep more visual '
                'codes or FAST ids in the section unified: network'
            )
        return found


def small_ranks() -> dict[bytes, int]:
    """Rank of each token: every byte, and the words of the tasks, grown letter by letter."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    # Words behind a blank come first, so that no shorter word breaks them up.
    for word in [*(f' {word}' for word in TASK_WORDS), *_FIRST_WORDS]:
        for end in range(2, len(word) + 1):
            ranks.setdefault(word[:end].encode(), len(ranks))
    return ranks


def small_text() -> TextTokenizer:
    """The text tokenizer of the checkpoints that we make."""
    return TextTokenizer(small_ranks())


def tiktoken_file(ranks: dict[bytes, int]) -> bytes:
    """Content of `emu3.tiktoken`."""
    lines = (base64.b64encode(token) + b' %d' % rank for token, rank in ranks.items())
    return b'\n'.join(lines) + b'\n'
