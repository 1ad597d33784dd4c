"""Collecting comparisons, so that nothing of the reference is left out unsaid."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.errors import UnivlaError


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: Group and array, `group/array`.
        error: Largest error, absolute up to magnitude 1 and relative above; infinite when the
            array could not be compared.
        tolerance: Largest error that is accepted; 0 asks for equality.
        ok: Whether it was.
        note: Why not, in words.
    """

    name: str
    error: float
    tolerance: float
    ok: bool
    note: str = ''

    @property
    def group(self) -> str:
        """Part of the name before the first slash."""
        return self.name.partition('/')[0]

    def as_json(self) -> dict[str, Any]:
        """Plain values; an infinite error becomes null."""
        error = self.error if math.isfinite(self.error) else None
        return {**vars(self), 'error': error}


class Archive:
    """Arrays of an `.npz`; remembers which were read."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as content:
            self._arrays = {name: content[name] for name in content.files}
        self._unread = dict.fromkeys(self._arrays)
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        self._unread.pop(name, None)
        return self._arrays[name]

    @property
    def names(self) -> list[str]:
        """Names of all arrays."""
        return list(self._arrays)

    @property
    def unread(self) -> list[str]:
        """Names of the arrays nobody asked for."""
        return list(self._unread)


class Rows:
    """The comparisons made so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def compare(self, name: str, got: Any, wanted: Any, tolerance: float) -> None:
        """Add the largest error between two arrays; shapes must agree."""
        got, wanted = np.asarray(got), np.asarray(wanted)
        if got.shape != wanted.shape:
            self.fail(name, f'shape is {got.shape}, not {wanted.shape}', tolerance)
            return
        if got.dtype.kind in 'US' or wanted.dtype.kind in 'US':
            error = 0.0 if np.array_equal(got, wanted) else math.inf
        else:
            wanted = wanted.astype(np.float64)
            distance = np.abs(got.astype(np.float64) - wanted)
            scaled = distance / np.maximum(1.0, np.abs(wanted)) if tolerance < 1.0 else distance
            error = float(scaled.max(initial=0.0)) if np.isfinite(scaled).all() else math.inf
        ok = error <= tolerance
        self.rows.append(Row(name, error, tolerance, ok, '' if ok else 'beyond tolerance'))

    def mean(self, name: str, got: Any, wanted: Any, tolerance: float) -> None:
        """Add the mean absolute error between two arrays of one shape."""
        distance = np.abs(np.asarray(got, dtype=float) - np.asarray(wanted, dtype=float))
        self.compare(name, distance.mean(), 0.0, tolerance)

    def against(
        self, group: str, archive: Archive, name: str, got: Any, tolerance: float = 0.0
    ) -> None:
        """Compare with an array of the archive; its absence is a failed row."""
        if name in archive:
            self.compare(f'{group}/{name}', got, archive[name], tolerance)
        else:
            self.fail(f'{group}/{name}', f'array is missing in {archive.path.name}', tolerance)

    def fail(self, name: str, note: str, tolerance: float = 0.0) -> None:
        """Add a comparison that could not be made."""
        self.rows.append(Row(name, math.inf, tolerance, False, note))

    def require(self, group: str, found: bool, what: str) -> None:
        """Add a failed row if something that the layout promises was not found."""
        if not found:
            self.fail(f'{group}/{what}', 'nothing of this kind is in the folder')

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Turn data that are missing or unusable into a failed row and go on after it."""
        try:
            yield
        except (UnivlaError, OSError, KeyError, IndexError, ValueError, RuntimeError) as error:
            self.fail(name, f'{type(error).__name__}: {error}')

    def archive(self, group: str, path: Path, check: Callable[[Archive], None]) -> None:
        """Run a check on one `.npz`; arrays that it left unread become failed rows."""
        archive = None
        with self.section(f'{group}/{path.name}'):
            archive = Archive(path)
            check(archive)
        for name in archive.unread if archive is not None else []:
            self.fail(f'{group}/{name}', 'no check reads this array')


def read_json(path: Path) -> Any:
    """Parse a JSON file of the reference."""
    return json.loads(path.read_text(encoding='utf-8'))
