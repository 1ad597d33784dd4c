"""From the instruction to token ids: UniVLA's prompt and its vocabulary of action tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError

BOS_ID = 1
EOS_ID = 2
LONE_SPACE_ID = 29871
HISTORY_STYLES = ('none', 'codes', 'list')


class PromptTokenizer:
    """A Llama-2 tokenizer with action tokens `<ACT_0>`, `<ACT_1>`, … after its vocabulary.

    Attributes:
        action_ids: Token id of each code, int64, shape (num_codes,).
    """

    def __init__(self, tokenizer: Tokenizer, where: str = 'tokenizer') -> None:
        self._tokenizer = tokenizer
        ids: list[int] = []
        while (token := tokenizer.token_to_id(action_token(len(ids)))) is not None:
            ids.append(token)
        if not ids:
            raise CheckpointError(
                f'{where}: has no token {action_token(0)}; use the tokenizer.json saved with the '
                'UniVLA checkpoint, not the one of its base model'
            )
        if tokenizer.token_to_id('▁') != LONE_SPACE_ID:
            raise CheckpointError(
                f'{where}: "▁" is not token {LONE_SPACE_ID}; a Llama-2 tokenizer is needed'
            )
        self.action_ids = np.array(ids, dtype=np.int64)

    @classmethod
    def from_file(cls, path: Path) -> PromptTokenizer:
        """Read a `tokenizer.json`.

        Raises:
            CheckpointError: If it is missing or no such tokenizer.
        """
        if not path.is_file():
            raise CheckpointError(f'{path}: no such file; copy the tokenizer of the checkpoint')
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f'{path}: no usable tokenizer ({error})') from error
        return cls(tokenizer, str(path))

    @property
    def num_codes(self) -> int:
        """Number of action tokens."""
        return len(self.action_ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, the beginning-of-sequence token first."""
        ids = self._tokenizer.encode(text).ids
        return ids if ids[:1] == [BOS_ID] else [BOS_ID, *ids]

    def plan_ids(self, prompt: str) -> list[int]:
        """Token ids to plan from: they end with the lone space that precedes action tokens."""
        return end_with_lone_space(self.encode(prompt))


def end_with_lone_space(ids: Sequence[int]) -> list[int]:
    """Append the lone-space token unless the ids end with it.

    Training text continues "Out: <ACT…", whose space is a token of its own.
    """
    return list(ids) if ids[-1] == LONE_SPACE_ID else [*ids, LONE_SPACE_ID]


def action_token(code: int) -> str:
    """Text of the action token for one code."""
    return f'<ACT_{code}>'


def build_prompt(
    instruction: str, history: Sequence[int] | None = None, style: str = 'codes'
) -> str:
    """The prompt of UniVLA.

    Args:
        instruction: The task in words; lower-cased, as all official evaluations do.
        history: Codes of the plan before this one, None or empty on the first call.
        style: `none` ignores history, `codes` repeats the codes, `list` repeats them in the
            punctuation of a Python list (as the R2R checkpoint was trained), empty list included.

    Raises:
        ObservationError: If the instruction has no words.
        ConfigError: If the style is unknown.
    """
    if style not in HISTORY_STYLES:
        raise ConfigError(f'unknown history style {style!r}; choose {", ".join(HISTORY_STYLES)}')
    words = instruction.strip().lower() if isinstance(instruction, str) else ''
    if not words:
        raise ObservationError('the instruction is empty; say what the robot shall do')
    codes = ''.join(action_token(int(code)) for code in (history if history is not None else ()))
    past = ''
    if style == 'list':
        past = f" History action ['{codes}']"
    elif style == 'codes' and codes:
        past = f' History action {codes}'
    return f'In: What action should the robot take to {words}?{past}\nOut:'
