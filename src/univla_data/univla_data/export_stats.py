"""Statistics of exported columns, as LeRobot keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np

QUANTILES = {'q01': 0.01, 'q10': 0.1, 'q50': 0.5, 'q90': 0.9, 'q99': 0.99}
#: Of an episode's pictures at most so many count, and of these every fourth row and column.
_PICTURES, _STRIDE = 100, 4


def column_stats(values: np.ndarray) -> dict[str, list[Any]]:
    """Statistics over the first axis of a column (T, d) or (T,)."""
    table = values.reshape(len(values), -1).astype(np.float64)
    stats = {
        'min': table.min(axis=0),
        'max': table.max(axis=0),
        'mean': table.mean(axis=0),
        'std': table.std(axis=0),
        **{name: np.quantile(table, share, axis=0) for name, share in QUANTILES.items()},
    }
    return {**{name: row.tolist() for name, row in stats.items()}, 'count': [len(table)]}


def picture_counts(pictures: np.ndarray) -> tuple[np.ndarray, int]:
    """How often each of 256 values occurs in each channel (3, 256), and in how many pictures."""
    count = min(_PICTURES, len(pictures))
    chosen = np.linspace(0, len(pictures) - 1, count).round().astype(int)
    sample = pictures[chosen, ::_STRIDE, ::_STRIDE]
    channels = [np.bincount(sample[..., c].ravel(), minlength=256) for c in range(3)]
    return np.stack(channels), count


def picture_stats(counts: np.ndarray, pictures: int) -> dict[str, list[Any]]:
    """Statistics of each channel in [0, 1], shaped (3, 1, 1), from `picture_counts`."""
    levels = np.arange(256) / 255.0
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    variance = np.maximum(shares @ levels**2 - mean**2, 0.0)
    below = np.cumsum(counts, axis=1)
    total = below[:, -1]
    stats = {
        'min': levels[(counts > 0).argmax(axis=1)],
        'max': levels[255 - (counts[:, ::-1] > 0).argmax(axis=1)],
        'mean': mean,
        'std': np.sqrt(variance),
    }
    for name, share in QUANTILES.items():
        stats[name] = levels[(below >= share * total[:, None]).argmax(axis=1)]
    shaped = {name: row.reshape(3, 1, 1).tolist() for name, row in stats.items()}
    return {**shaped, 'count': [pictures]}
