"""The one vocabulary of the unified VLA, and the sequences written in it.

Source: arXiv:2506.19850; `baaivision/UniVLA`, `emu3/mllm/processing_emu3.py`.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex
from tokenizers import pre_tokenizers
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ObservationError

PAD = 151643
LAST_ACTION = PAD - 1  # FAST id f is LAST_ACTION - f: the ends of the text vocabulary serve twice
BEGIN_REASON, END_REASON = 151842, 151843
BEGIN_ACTION, END_ACTION = 151844, 151845
END_OF_FRAME = 151847
BEGIN, END = 151849, 151850
IMAGE, BEGIN_IMAGE, END_IMAGE = 151851, 151852, 151853
FIRST_VISUAL = 151854
NUM_VISUAL = 32768
NUM_TOKENS = FIRST_VISUAL + NUM_VISUAL
NO_LABEL = -100

TEXT_FILE = 'emu3.tiktoken'
# How Qwen's vocabulary cuts text into pieces before it merges bytes.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)


class TextTokenizer:
    """Byte-pair encoding by rank, as tiktoken does it.

    Args:
        ranks: Rank, which is the id, of each token's bytes; all single bytes must be there.
    """

    def __init__(self, ranks: Mapping[bytes, int], where: str = 'text tokenizer') -> None:
        missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
        if missing or max(ranks.values()) >= PAD:
            raise CheckpointError(
                f'{where}: a vocabulary of ids below {PAD} with every single byte is needed; '
                f'use the {TEXT_FILE} of the checkpoint'
            )
        self._ranks = dict(ranks)
        self._split = pre_tokenizers.Split(Regex(_PIECES), 'isolated')

    @classmethod
    def from_file(cls, path: Path) -> TextTokenizer:
        """Read an `emu3.tiktoken`: a line per token, its bytes in base 64 and its rank.

        Raises:
            CheckpointError: If it is missing or holds something else.
        """
        try:
            lines = path.read_bytes().splitlines()
            pairs = (line.split() for line in lines if line)
            ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
        except (OSError, ValueError) as error:
            raise CheckpointError(f'{path}: no usable text vocabulary ({error})') from error
        return cls(ranks, str(path))

    def encode(self, text: str) -> list[int]:
        """Ids of a text; what looks like a special token in it is text too."""
        pieces = self._split.pre_tokenize_str(unicodedata.normalize('NFC', text))
        return [number for piece, _ in pieces for number in self._merged(piece.encode('utf-8'))]

    def _merged(self, piece: bytes) -> list[int]:
        parts = [piece[i : i + 1] for i in range(len(piece))]
        while True:
            ranked = [
                (rank, i)
                for i in range(len(parts) - 1)
                if (rank := self._ranks.get(parts[i] + parts[i + 1])) is not None
            ]
            if not ranked:
                return [self._ranks[part] for part in parts]
            _, at = min(ranked)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]


class SequenceWriter:
    """Writes instruction, pictures and actions as ids.

    Args:
        text: Tokenizer of the words.
    """

    def __init__(self, text: TextTokenizer) -> None:
        self.text = text

    def instruction(self, words: str) -> list[int]:
        """Begin and the bare words: no template, nothing in front of the first picture."""
        return [BEGIN, *self.text.encode(words)]

    def opened_image(self, shape: Sequence[int]) -> list[int]:
        """What stands before the visual ids of (frames, rows, columns)."""
        return [BEGIN_IMAGE, *self.text.encode('*'.join(map(str, shape))), IMAGE]

    def image(self, codes: np.ndarray) -> list[int]:
        """Block of one picture.

        Args:
            codes: Visual codes, (rows, columns), or (frames, rows, columns) for several frames.

        Raises:
            ObservationError: If they are of another shape or outside the vocabulary.
        """
        frames = codes[None] if codes.ndim == 2 else codes
        if frames.ndim != 3 or not frames.size:
            raise ObservationError(f'visual codes of shape {codes.shape} are no picture')
        if frames.min() < 0 or frames.max() >= NUM_VISUAL:
            raise ObservationError(f'a visual code lies outside 0 … {NUM_VISUAL - 1}')
        ids = self.opened_image(frames.shape)
        for frame in frames:
            ids += [*(FIRST_VISUAL + frame.ravel()).tolist(), END_OF_FRAME]
        return [*ids, END_IMAGE]

    def observation(self, views: Sequence[np.ndarray]) -> list[int]:
        """The blocks of all views, the main one first."""
        return [number for codes in views for number in self.image(codes)]

    def frame_separator(self, shape: Sequence[int]) -> list[int]:
        """Between two frames of a world-model roll-out."""
        return [END_OF_FRAME, END_IMAGE, *self.opened_image(shape)]

    def plan(
        self,
        words: str,
        observations: Sequence[Sequence[np.ndarray]],
        actions: Sequence[Sequence[int]] = (),
        ask: int = BEGIN_ACTION,
    ) -> list[int]:
        """What the model continues: the words once, then observations with what was done.

        Args:
            words: The instruction.
            observations: Views of each, the newest last; one more than `actions`.
            actions: What the model said on each earlier one, its end included.
            ask: Last id; `BEGIN_REASON` lets the model reason first.
        """
        ids = self.instruction(words)
        for place, views in enumerate(observations):
            ids += self.observation(views)
            if place < len(actions):
                ids += [BEGIN_ACTION, *actions[place]]
        return [*ids, ask]

    def world(self, words: str, frames: Sequence[np.ndarray]) -> list[int]:
        """The words and frames one after the other, each a block of its own."""
        return [*self.instruction(words), *self.observation(frames)]

    def lesson(
        self,
        words: str,
        observations: Sequence[Sequence[np.ndarray]],
        chunks: Sequence[Sequence[int]],
    ) -> list[int]:
        """A training sequence: the words, then each observation and its chunk's FAST ids."""
        ids = self.instruction(words)
        for views, chunk in zip(observations, chunks, strict=True):
            spoken = [*spoken_action(chunk), END_ACTION]
            ids += [*self.observation(views), BEGIN_ACTION, *spoken]
        return ids


def spoken_action(fast_ids: Sequence[int] | np.ndarray) -> list[int]:
    """Ids in the one vocabulary of FAST ids."""
    return [LAST_ACTION - int(number) for number in fast_ids]


def heard_action(ids: Sequence[int] | np.ndarray, num_ids: int) -> list[int]:
    """FAST ids of ids in the one vocabulary; the inverse of `spoken_action`.

    Raises:
        ActionError: If one of them is no action token.
    """
    numbers = [LAST_ACTION - int(number) for number in ids]
    for number, spoken in zip(numbers, ids, strict=True):
        if not 0 <= number < num_ids:
            raise ActionError(f'token {spoken} is malformed: it is no action token')
    return numbers


def action_labels(ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """Labels of policy training: what lies from the begin to the end of an action."""
    labels, inside = np.full(len(ids), NO_LABEL, dtype=np.int64), False
    for place, number in enumerate(ids):
        inside = inside or number == BEGIN_ACTION
        if inside:
            labels[place] = number
        inside = inside and number != END_ACTION
    return labels


def everything_labels(ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """Labels of all that follows the words."""
    values = np.asarray(ids, dtype=np.int64)
    follows = np.cumsum(values == BEGIN_IMAGE) > 0
    return np.where(follows, values, NO_LABEL)


def vision_labels(ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """Labels of world-model training: visual ids only."""
    values = np.asarray(ids, dtype=np.int64)
    return np.where(values >= FIRST_VISUAL, values, NO_LABEL)
