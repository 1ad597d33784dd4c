"""CPU threads of torch for a while: no more than there are idle cores."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

#: What a core did since the machine started, in ticks of 10 ms; Linux alone tells it.
_STAT = Path('/proc/stat')
_LOOK_S = 0.1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads within; 0 takes those that torch has, but no more than cores are idle.

    Threads that wait for each other on busy cores collapse: two beside one other process on two
    cores trained 13 times slower than one (48 and 637 samples/s, head of UniAct).
    """
    before = torch.get_num_threads()
    if count == 0 and before > 1 and 'OMP_NUM_THREADS' not in os.environ:
        count = min(before, max(1, round(idle_cores())))
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def idle_cores(look_s: float = _LOOK_S) -> float:
    """How many cores nobody uses, by a look of so long [s]; all of them where none can be had."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    try:
        begin = _idle_ticks()
        time.sleep(look_s)
        idle, total = (later - first for later, first in zip(_idle_ticks(), begin, strict=True))
    except (OSError, ValueError):
        return float(cores or 1)
    share = idle / total if total > 0 else 1.0
    return share * (cores or 1)


def _idle_ticks() -> tuple[int, int]:
    """Ticks without work (waiting for disks counts), and all ticks."""
    ticks = [int(value) for value in _STAT.read_text().split('\n', 1)[0].split()[1:]]
    return ticks[3] + ticks[4], sum(ticks[:8])
