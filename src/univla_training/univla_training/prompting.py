"""Instructions as batches of token ids, and the places in them where codes are predicted."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from univla_core.errors import ConfigError
from univla_models.prompts import PromptTokenizer
from univla_models.prompts import build_prompt
from univla_models.release import PAD_ID


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Prompts with what follows them, right padded.

    Attributes:
        ids: Token ids, (batch, text).
        keep: False where `ids` is padding, (batch, text).
        start: Index of the token that predicts the first code, (batch,).
    """

    ids: Tensor
    keep: Tensor
    start: Tensor


class Prompts:
    """Token ids of the instructions of a data set, as planning makes them, without history."""

    def __init__(self, tokenizer: PromptTokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, tuple[int, ...]] = {}

    @property
    def action_ids(self) -> Tensor:
        """Token id of each code, (num_codes,)."""
        return torch.from_numpy(self._tokenizer.action_ids)

    def word_id(self, word: str) -> int:
        """Token id of a word inside a sentence.

        Raises:
            ConfigError: If the tokenizer takes more than one token for it.
        """
        ids = self._tokenizer.encode(word)[1:]
        if len(ids) != 1:
            raise ConfigError(f'{word!r} is {len(ids)} tokens; one that names a thing must be one')
        return ids[0]

    def ids(self, instruction: str) -> tuple[int, ...]:
        """Token ids up to the one that predicts the first code."""
        if instruction not in self._known:
            prompt = build_prompt(instruction, None, 'none')
            self._known[instruction] = tuple(self._tokenizer.plan_ids(prompt))
        return self._known[instruction]

    def batch(self, instructions: Sequence[str], following: np.ndarray | None = None) -> TextBatch:
        """Prompts of a batch.

        Args:
            instructions: One for each sample.
            following: Token ids after each prompt, (batch, n).
        """
        rows = [self.ids(instruction) for instruction in instructions]
        more = 0 if following is None else following.shape[1]
        width = max(map(len, rows)) + more
        ids = np.full((len(rows), width), PAD_ID, dtype=np.int64)
        keep = np.zeros((len(rows), width), dtype=bool)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            if following is not None:
                ids[number, len(row) : len(row) + more] = following[number]
            keep[number, : len(row) + more] = True
        return TextBatch(
            ids=torch.from_numpy(ids),
            keep=torch.from_numpy(keep),
            start=torch.tensor([len(row) - 1 for row in rows]),
        )

    def by_length(self, instructions: Sequence[str]) -> Iterable[np.ndarray]:
        """Indices of samples whose prompts are equally long, group by group."""
        lengths = np.array([len(self.ids(instruction)) for instruction in instructions])
        for length in np.unique(lengths):
            yield np.flatnonzero(lengths == length)
