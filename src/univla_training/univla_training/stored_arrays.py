"""Arrays of as many samples each, which are kept in one file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

ArraysT = TypeVar('ArraysT', bound='StoredArrays')


@dataclass(frozen=True, kw_only=True)
class StoredArrays:
    """Base of dataclasses whose fields are arrays, one entry of each for a sample."""

    def __len__(self) -> int:
        return len(getattr(self, self._names()[0]))

    def only(self: ArraysT, which: np.ndarray) -> ArraysT:
        """Some of the samples, by a mask (n,) or by their numbers."""
        return type(self)(**{name: value[which] for name, value in vars(self).items()})

    def save(self, path: Path) -> None:
        """Write everything to one file, whole or not at all."""
        unfinished = path.with_suffix('.part.npz')
        np.savez(unfinished, **vars(self))
        unfinished.rename(path)

    @classmethod
    def load(cls: type[ArraysT], path: Path) -> ArraysT:
        """Read what `save` wrote."""
        with np.load(path) as archive:
            return cls(**{name: archive[name] for name in cls._names()})

    @classmethod
    def _names(cls) -> list[str]:
        return [field.name for field in dataclasses.fields(cls)]


def joined(parts: Sequence[ArraysT]) -> ArraysT:
    """Several sets of one kind as one."""
    names = vars(parts[0])
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return type(parts[0])(**arrays)
