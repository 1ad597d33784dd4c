"""FAST: an action chunk as a short sequence of ids, and back.

A chunk is transformed along time (orthonormal DCT-II), scaled, rounded, written as one character
per coefficient and compressed by byte-pair encoding.

Source: arXiv:2501.09747 as modified by `baaivision/UniVLA`, `pretrain/fast*`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers import decoders
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import trainers
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError

from univla_models.checkpoint_files import read_json
from univla_models.codebook import codebook_hash
from univla_models.fast_coefficients import bytes_of_signs
from univla_models.fast_coefficients import coefficients
from univla_models.fast_coefficients import dct_matrix
from univla_models.fast_coefficients import needed_signs

TOKENIZER_FILE = 'tokenizer.json'
SETTINGS_FILE = 'processor_config.json'
LIBRARY_FILE = 'tokenizer_config.json'
CLEANING = 'clean_up_tokenization_spaces'

# What the tokenizer library of the original removes from a decoded text when it "cleans up".
_CLEANED = (
    *((f' {mark}', mark) for mark in '.?!,'),
    (" ' ", "'"),
    *((f' {ending}', ending) for ending in ("n't", "'m", "'s", "'ve", "'re")),
)


class FastTokenizer:
    """The FAST action tokenizer of one data set.

    Args:
        tokenizer: Byte-level BPE over the characters.
        scale: Factor before rounding; larger is finer.
        min_token: Smallest coefficient; it becomes character 0.
        num_ids: Size of the vocabulary as the language model reserves it.
        cleans: Whether the original "cleans up" decoded text, see `decode_like_original`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        scale: float,
        min_token: int,
        num_ids: int,
        cleans: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.scale, self.min_token, self.num_ids = float(scale), int(min_token), int(num_ids)
        self.cleans = cleans

    @classmethod
    def from_folder(cls, folder: str | Path) -> FastTokenizer:
        """Read a folder as released: `tokenizer.json`, `processor_config.json`.

        Raises:
            CheckpointError: If a file is missing or unusable.
        """
        folder = Path(folder)
        settings = read_json(folder / SETTINGS_FILE)
        library = read_json(folder / LIBRARY_FILE) if (folder / LIBRARY_FILE).is_file() else {}
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise CheckpointError(f'{path}: no such file; copy the FAST folder of the checkpoint')
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f'{path}: no usable tokenizer ({error})') from error
        try:
            made = cls(
                tokenizer,
                float(settings['scale']),
                int(settings['min_token']),
                int(settings['vocab_size']),
                bool(library.get(CLEANING, False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'{folder / SETTINGS_FILE}: unusable, {error!r}; it must hold scale, min_token '
                'and vocab_size'
            ) from error
        if not made.scale > 0.0 or tokenizer.get_vocab_size() > made.num_ids:
            raise CheckpointError(
                f'{folder}: scale {made.scale} must be positive and {made.num_ids} ids must hold '
                f'the {tokenizer.get_vocab_size()} of {TOKENIZER_FILE}; the files do not belong '
                'together'
            )
        return made

    @classmethod
    def fit(
        cls, chunks: Iterable[np.ndarray], scale: float = 10.0, num_ids: int = 1024
    ) -> FastTokenizer:
        """Make a tokenizer from normalised chunks, each (horizon, action_dim).

        The alphabet is every byte that a character of the range can need, so that nothing is ever
        dropped; the original takes the characters themselves, most of which never occur.

        Raises:
            ConfigError: If there are no chunks or their range needs more ids.
        """
        rounded = [coefficients(chunk, scale) for chunk in chunks]
        if not rounded:
            raise ConfigError('no chunks to fit a FAST tokenizer on; give at least one')
        every = np.concatenate([values.ravel() for values in rounded])
        low, high = int(every.min()), int(every.max())
        alphabet = needed_signs(high - low)
        if max(high - low, len(alphabet)) > num_ids:
            raise ConfigError(
                f'coefficients range over {high - low + 1} integers and need {len(alphabet)} '
                f'bytes, more than {num_ids} ids; lower the scale or allow more ids'
            )
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=num_ids,
            min_frequency=2,
            special_tokens=[],
            initial_alphabet=alphabet,
            max_token_length=10000,
            show_progress=False,
        )
        texts = (''.join(map(chr, values.ravel() - low)) for values in rounded)
        tokenizer.train_from_iterator(texts, trainer=trainer)
        return cls(tokenizer, scale, low, num_ids)

    def save(self, folder: str | Path) -> None:
        """Write the released layout."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(folder / TOKENIZER_FILE))
        settings = {
            'scale': self.scale,
            'min_token': self.min_token,
            'vocab_size': self.num_ids,
        }
        (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=1), encoding='utf-8')
        library = {CLEANING: self.cleans}
        (folder / LIBRARY_FILE).write_text(json.dumps(library, indent=1), encoding='utf-8')

    def holds(self, horizon: int) -> bool:
        """Whether every chunk in [-1, 1] of this many steps keeps its coefficients.

        The smallest possible one is the first of a constant -1: -scale · √horizon.
        """
        return round(-self.scale * horizon**0.5) >= self.min_token

    def encode(self, chunk: np.ndarray) -> list[int]:
        """Ids of a chunk.

        Args:
            chunk: Normalised to about [-1, 1], shape (horizon, action_dim).

        Raises:
            ActionError: If it is no finite chunk, or the ids would decode to another one because
                a coefficient lies outside what the tokenizer was fitted on.
        """
        integers = coefficients(chunk, self.scale).ravel() - self.min_token
        ids = self._ids(np.maximum(integers, 0))
        spelled = [ord(sign) for sign in self._characters(ids)]
        if spelled != integers.tolist():
            raise ActionError(
                f'a chunk of {len(chunk)} steps has coefficients from '
                f'{integers.min() + self.min_token} to {integers.max() + self.min_token}, which '
                f'this FAST tokenizer (from {self.min_token}) cannot say; clip the normalised '
                'chunk to [-1, 1] and use the tokenizer made for this number of steps'
            )
        return ids

    def encode_like_original(self, chunk: np.ndarray) -> list[int]:
        """Ids as the original gives them: smaller coefficients are silently raised."""
        integers = coefficients(chunk, self.scale).ravel() - self.min_token
        return self._ids(np.maximum(integers, 0))

    def decode(self, ids: Sequence[int] | np.ndarray, horizon: int, action_dim: int) -> np.ndarray:
        """The chunk that a whole and well-formed sequence means.

        Returns:
            Normalised, float64, shape (horizon, action_dim); not clipped.

        Raises:
            ActionError: If the sequence is empty, holds an id that is none, does not spell
                characters, or has more or fewer coefficients than the chunk.
        """
        numbers = [int(number) for number in ids]
        if not numbers:
            raise ActionError('no action token was planned, so there is no motion to decode')
        text = self._characters(numbers)
        wanted = horizon * action_dim
        if len(text) != wanted:
            kind = 'overlong' if len(text) > wanted else 'too short'
            raise ActionError(
                f'the action tokens are {kind}: they hold {len(text)} coefficients, a chunk of '
                f'{horizon} x {action_dim} has {wanted}'
            )
        return self._chunk([ord(character) for character in text], horizon, action_dim)

    @property
    def end(self) -> int:
        """Code that ends a plan, the one after the ids."""
        return self.num_ids

    @property
    def codebook(self) -> str:
        """Hash of what the ids mean: their signs, the scale and the smallest coefficient."""
        tokens = self.tokenizer.get_vocab()
        ids = sorted(tokens.values())
        names = sorted(tokens, key=tokens.__getitem__)
        meaning = np.array([[self.scale, self.min_token, self.num_ids]])
        return codebook_hash(ids, names, meaning)

    def decode_plan(
        self, codes: Sequence[int] | np.ndarray, horizon: int, action_dim: int
    ) -> np.ndarray:
        """The chunk of a plan as it travels: ids, and then `end`.

        Returns:
            Normalised, float64, shape (horizon, action_dim), clipped to [-1, 1], beyond which no
            training data lay.

        Raises:
            ActionError: As `decode`, or if the sequence was cut before its end.
        """
        ids = [int(code) for code in codes]
        if self.end not in ids:
            raise ActionError(
                f'the action tokens are overlong: {len(ids)} were said without coming to an end'
                if ids
                else 'no action token was planned, so there is no motion to decode'
            )
        if ids.index(self.end) != len(ids) - 1:
            raise ActionError('the action tokens are malformed: they go on after their end')
        return np.clip(self.decode(ids[:-1], horizon, action_dim), -1.0, 1.0)

    def decode_like_original(
        self, ids: Sequence[int] | np.ndarray, horizon: int, action_dim: int
    ) -> np.ndarray:
        """The chunk that the original makes of any sequence; for comparisons only.

        It drops unknown ids, "cleans" punctuation, cuts what is too much and takes what is missing
        for 0, so that no tokens at all become a motion to the middle of the range.
        """
        known = [int(number) for number in ids if 0 <= int(number) < self.num_ids]
        text = self.tokenizer.decode(known, skip_special_tokens=False)
        for found, kept in _CLEANED if self.cleans else ():
            text = text.replace(found, kept)
        wanted = horizon * action_dim
        integers = [ord(character) for character in text][:wanted]
        missing = [-self.min_token] * (wanted - len(integers))
        return self._chunk(integers + missing, horizon, action_dim)

    def bytes_of(self, number: int) -> bytes:
        """The bytes that an id stands for.

        Raises:
            ActionError: If it is none, or stands for no coefficient.
        """
        token = self.tokenizer.id_to_token(number) if 0 <= number < self.num_ids else None
        if token is None:
            raise ActionError(
                f'action token {number} is malformed: ids go from 0 to {self.num_ids - 1}'
            )
        try:
            return bytes(bytes_of_signs()[sign] for sign in token)
        except KeyError as error:
            raise ActionError(
                f'action token {number} is malformed: it stands for no coefficient'
            ) from error

    def _ids(self, integers: np.ndarray) -> list[int]:
        return self.tokenizer.encode(''.join(map(chr, integers))).ids

    def _characters(self, ids: Sequence[int]) -> str:
        """The text of ids, or an error where the library would put a replacement sign."""
        spelled = b''.join(self.bytes_of(number) for number in ids)
        try:
            return spelled.decode('utf-8')
        except UnicodeDecodeError as error:
            raise ActionError(
                f'the action tokens are malformed: they break a coefficient at byte {error.start}'
            ) from error

    def _chunk(self, integers: Sequence[int], horizon: int, action_dim: int) -> np.ndarray:
        values = np.array(integers, dtype=np.float64).reshape(horizon, action_dim)
        # The matrix is orthonormal, so its transpose is its inverse.
        return dct_matrix(horizon).T @ ((values + self.min_token) / self.scale)
