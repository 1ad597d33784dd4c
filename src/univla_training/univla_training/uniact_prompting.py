"""UniAct's prompts in training: a small tokenizer in Qwen2's manner, and padded batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer
from tokenizers import models
from tokenizers import pre_tokenizers
from univla_core.errors import ConfigError
from univla_models.synthetic_tokenizer import TASK_WORDS
from univla_models.uniact_prompt import UniactPrompt
from univla_models.uniact_synthetic import CONTROL

from univla_training.prompting import TextBatch

#: Sign of a blank in byte-level vocabularies.
BLANK = chr(288)
#: Words that may stand without a blank before them.
_FIRST_WORDS = [
    'assistant',
    'user',
    'reach',
    'push',
    'pick',
    'put',
    'place',
    'point',
    'drive',
    'go',
    'move',
    'grasp',
    'lift',
    'open',
    'close',
    'turn',
    'take',
    'stack',
    'touch',
    'pull',
    'bring',
]


def build_uniact_tokenizer() -> Tokenizer:
    """A byte-level tokenizer that knows the words of the tasks and Qwen2's control tokens.

    Words grow letter by letter from their beginning; what it does not know it spells in bytes.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: number for number, letter in enumerate(letters)}
    merges: dict[tuple[str, str], None] = {}
    for word in [*(BLANK + word for word in TASK_WORDS), *_FIRST_WORDS]:
        for end in range(1, len(word)):
            merges[word[:end], word[end]] = None
            vocab.setdefault(word[: end + 1], len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL])
    return tokenizer


class UniactPrompts:
    """Token ids of the instructions of a data set, as planning makes them.

    Offers what `univla_training.prompting.Prompts` offers.

    Args:
        prompt: The prompt of the checkpoint.
    """

    def __init__(self, prompt: UniactPrompt) -> None:
        self._prompt = prompt
        self._known: dict[str, tuple[int, ...]] = {}

    def word_id(self, word: str) -> int:
        """Token id of a word inside a sentence.

        Raises:
            ConfigError: If the tokenizer takes more than one token for it.
        """
        ids = self._prompt.tokenizer.encode(f' {word}').ids
        if len(ids) != 1:
            raise ConfigError(f'{word!r} is {len(ids)} tokens; one that names a thing must be one')
        return int(ids[0])

    def ids(self, instruction: str) -> tuple[int, ...]:
        """Token ids with the video token repeated."""
        if instruction not in self._known:
            self._known[instruction] = tuple(self._prompt.ids(instruction))
        return self._known[instruction]

    def batch(self, instructions: Sequence[str]) -> TextBatch:
        """Prompts, right padded; `start` is the last token of each, whose state counts."""
        rows = [self.ids(instruction) for instruction in instructions]
        width = max(map(len, rows))
        ids = np.full((len(rows), width), self._prompt.pad_token, dtype=np.int64)
        keep = np.zeros((len(rows), width), dtype=bool)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            keep[number, : len(row)] = True
        return TextBatch(
            ids=torch.from_numpy(ids),
            keep=torch.from_numpy(keep),
            start=torch.tensor([len(row) - 1 for row in rows]),
        )


def own_uniact_prompts(num_video_tokens: int) -> UniactPrompts:
    """The prompts of the checkpoints that we make."""
    return UniactPrompts(UniactPrompt(build_uniact_tokenizer(), num_video_tokens))
