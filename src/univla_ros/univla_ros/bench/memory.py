"""Resident memory of processes, and whether it grows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_PAGE = os.sysconf('SC_PAGE_SIZE')


def resident_bytes(pid: int) -> int | None:
    """Resident set size of a process; None once it has ended."""
    try:
        return int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def growth(times: Sequence[float], values: Sequence[float]) -> float:
    """Growth of a series from its beginning to its end, as a share of its beginning.

    A line through the series by Theil and Sen, the median of all slopes between two samples: a
    short peak does not bend it.

    Args:
        times: Of the samples, increasing, (n,).
        values: The samples, (n,).

    Returns:
        0 with fewer than three samples.
    """
    if len(times) < 3:
        return 0.0
    t, v = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    i, j = np.triu_indices(len(t), 1)
    slope = np.median((v[j] - v[i]) / (t[j] - t[i]))
    begin = np.median(v - slope * (t - t[0]))
    return float(slope * (t[-1] - t[0]) / begin)
