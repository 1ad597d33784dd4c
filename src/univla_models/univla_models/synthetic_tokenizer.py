"""A small tokenizer with the id layout of Llama-2, for checkpoints made from nothing."""

from __future__ import annotations

import string
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from tokenizers import AddedToken
from tokenizers import Tokenizer
from tokenizers import decoders
from tokenizers import models
from tokenizers import normalizers
from tokenizers import processors

from univla_models.prompts import LONE_SPACE_ID
from univla_models.prompts import action_token

PAD_ID = 32000
NUM_CODES = 16
FIRST_BYTE_ID = 3
FIRST_WORD_ID = 259
# Words of the prompt at their Llama-2 ids; "▁" stands for the space before a word.
PROMPT_WORDS = {
    '▁In': 512,
    '▁What': 1724,
    '▁action': 3158,
    '▁should': 881,
    '▁the': 278,
    '▁robot': 19964,
    '▁take': 2125,
    '▁to': 304,
    'Out': 3744,
    ':': 29901,
    '?': 29973,
}
_TASK_TEXT = (
    'a an and away back ball bar base basket block blue board bottle bottom bowl box brown '
    'bring button can carrot '
    'center circle clean close cloth corner cube cup cupboard cylinder dish door '
    'down drawer drive drop eggplant far fold forward from front go goal grasp gray green grip '
    'handle hold home in into it large left let lid lift light line lower marker middle move near '
    'next of off on onto open orange out over path peg pick pillar pink place plate point pull '
    'purple push put ramp reach red release right ring rotate screwdriver shelf side slide small '
    'spoon square stack stop store straight table target then through top touch towel tower tray '
    'triangle turn twice under up wait wall white wipe with yellow zone'
)
TASK_WORDS = tuple(_TASK_TEXT.split())


def build_tokenizer(task_words: Iterable[str] = TASK_WORDS) -> Tokenizer:
    """A byte-pair tokenizer that knows the prompt, `task_words`, letters and bytes.

    Every text can be tokenised: what it does not know falls back to bytes.
    """
    vocab, merges = _vocabulary(task_words)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocab, merges=merges, unk_token='<unk>', fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', pair='<s> $A <s>:1 $B:1', special_tokens=[('<s>', 1)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace('▁', ' '),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(' ', 1, 0),
        ]
    )
    special = ['<unk>', '<s>', '</s>', '<PAD>', *map(action_token, range(NUM_CODES))]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    return tokenizer


def write_tokenizer(path: Path, task_words: Iterable[str] = TASK_WORDS) -> None:
    """Write `tokenizer.json`."""
    build_tokenizer(task_words).save(str(path), pretty=False)


def _vocabulary(task_words: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    vocab = {'<unk>': 0, '<s>': 1, '</s>': 2, '▁': LONE_SPACE_ID, '<PAD>': PAD_ID}
    vocab |= {f'<0x{byte:02X}>': FIRST_BYTE_ID + byte for byte in range(256)}
    vocab |= {action_token(code): PAD_ID + 1 + code for code in range(NUM_CODES)}
    vocab |= PROMPT_WORDS
    taken = set(vocab.values())
    letters = (n for n in count(LONE_SPACE_ID + 1) if n not in taken)
    for letter in string.ascii_letters + string.digits + string.punctuation:
        vocab.setdefault(letter, next(letters))
    words = (n for n in count(FIRST_WORD_ID) if n not in taken)
    merges: dict[tuple[str, str], None] = {}
    for word in [*PROMPT_WORDS, '▁History', *(f'▁{word}' for word in task_words)]:
        for end in range(1, len(word)):  # a word grows letter by letter from its beginning
            merges[word[:end], word[end]] = None
            if word[: end + 1] not in vocab:
                vocab[word[: end + 1]] = next(words)
    return vocab, list(merges)
