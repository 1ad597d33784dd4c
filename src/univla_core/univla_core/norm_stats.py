"""Norm stats: how training data were scaled, and the way back to robot units."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ShapeError

RULES = ('bounds_q99', 'mean_std', 'none', 'moments', 'min_max', 'unit_q99', 'unit_q99_margin')
SMALLEST_STD = 0.01
_FIELDS = ('q01', 'q99', 'mean', 'std', 'minimum', 'maximum', 'mask')
_NEEDS = {
    'bounds_q99': ('q01', 'q99'),
    'mean_std': ('mean', 'std'),
    'none': (),
    'moments': ('mean', 'std'),
    'min_max': ('minimum', 'maximum'),
    'unit_q99': ('q01', 'q99'),
    'unit_q99_margin': ('q01', 'q99'),
}
# UniAct's statistics files call things by other names than OpenVLA's.
_NAMES = {
    'minimum': ('min', '0min'),
    'maximum': ('max', '100max'),
    'q01': ('q01', '1min'),
    'q99': ('q99', '99max'),
}
# Rules of UniAct, all without a clip or a floor: x → (x - offset) / scale.
_AFFINE: dict[str, Callable[[Any], tuple[np.ndarray, np.ndarray]]] = {
    'moments': lambda s: (s.mean, s.std),
    'min_max': lambda s: ((s.minimum + s.maximum) / 2.0, (s.maximum - s.minimum) / 2.0),
    'unit_q99': lambda s: (s.q01, s.q99 - s.q01),
    'unit_q99_margin': lambda s: (s.q01, s.q99 - s.q01 + 1e-6),
}


@dataclass(frozen=True, kw_only=True)
class NormStats:
    """Statistics of one vector quantity in robot units, each of shape (dim,) or absent.

    Attributes:
        q01, q99: Quantiles that the rule `bounds_q99` maps to [-1, 1].
        mean, std: Moments that the rules `mean_std` and `moments` use.
        minimum, maximum: Extremes; equal ones mark a dimension that never moved.
        mask: False for dimensions that pass unchanged (the gripper); absent means all True.
    """

    q01: np.ndarray | None = None
    q99: np.ndarray | None = None
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    minimum: np.ndarray | None = None
    maximum: np.ndarray | None = None
    mask: np.ndarray | None = None

    @property
    def dim(self) -> int:
        """Number of dimensions, 0 when nothing is known."""
        known = (getattr(self, name) for name in _FIELDS)
        return next((len(values) for values in known if values is not None), 0)

    def require(self, rule: str, dim: int, where: str) -> None:
        """Refuse a rule these statistics cannot serve.

        Raises:
            ConfigError: If the rule is unknown.
            CheckpointError: If statistics are missing or of another size than `dim`.
        """
        if rule not in RULES:
            raise ConfigError(
                f'{where}: unknown normalisation {rule!r}; choose {", ".join(RULES)}'
            )
        missing = [name for name in _NEEDS[rule] if getattr(self, name) is None]
        if missing:
            raise CheckpointError(
                f'{where}: normalisation {rule} needs {" and ".join(missing)}, '
                'which the statistics lack; declare the rule the checkpoint was trained with'
            )
        if _NEEDS[rule] and self.dim != dim:
            raise CheckpointError(
                f'{where}: norm stats have {self.dim} dimensions but {dim} are needed; '
                'use the dataset_statistics.json saved with this checkpoint'
            )


@dataclass(frozen=True, kw_only=True)
class DatasetStats:
    """Norm stats of one training data set; `proprioception` may be absent."""

    action: NormStats
    proprioception: NormStats | None = None


def unnormalize(values: np.ndarray, stats: NormStats, rule: str) -> np.ndarray:
    """Map normalised values back to robot units.

    Args:
        values: Shape (..., dim); in [-1, 1] for `bounds_q99` and `min_max`, in [0, 1] for
            `unit_q99`, with or without a margin, zero mean for `mean_std` and `moments`.
        stats: Statistics of shape (dim,), in robot units.
        rule: One of `RULES`.

    Returns:
        Float64 of the same shape. Dimensions masked out in `stats` keep their value.

    Raises:
        ShapeError: If the last axis is not `dim`.

    Source: bounds-quantile rule of OpenVLA, arXiv:2406.09246; mean and std of UniVLA's arms.
    """
    values = _checked(values, stats, rule)
    if rule == 'none':
        return values
    if rule == 'bounds_q99':
        low, high = _known(stats, 'q01'), _known(stats, 'q99')
        scaled = 0.5 * (values + 1.0) * (high - low) + low
    elif rule in _AFFINE:
        offset, scale = _AFFINE[rule](stats)
        scaled = values * scale + offset
    else:
        scaled = values * clipped_std(stats) + _known(stats, 'mean')
    return scaled if stats.mask is None else np.where(stats.mask, scaled, values)


def normalize(values: np.ndarray, stats: NormStats, rule: str) -> np.ndarray:
    """Scale robot units as training did; the inverse of `unnormalize` inside the bounds.

    `bounds_q99` clips to [-1, 1]; dimensions that never moved become 0.

    Raises:
        ShapeError: If the last axis is not `dim`.
    """
    values = _checked(values, stats, rule)
    if rule == 'none':
        return values
    if rule == 'bounds_q99':
        low, high = _known(stats, 'q01'), _known(stats, 'q99')
        scaled = np.clip(2.0 * (values - low) / (high - low + 1e-8) - 1.0, -1.0, 1.0)
        scaled = np.where(_never_moved(stats), 0.0, scaled)
    elif rule in _AFFINE:
        offset, scale = _AFFINE[rule](stats)
        scaled = np.divide(values - offset, scale, out=np.zeros_like(values), where=scale != 0.0)
    else:
        scaled = (values - _known(stats, 'mean')) / clipped_std(stats)
    return scaled if stats.mask is None else np.where(stats.mask, scaled, values)


def clipped_std(stats: NormStats) -> np.ndarray:
    """Standard deviation with its floor of 0.01, which keeps still joints finite."""
    return np.maximum(_known(stats, 'std'), SMALLEST_STD)


def choose_key(stats: Mapping[str, object], key: str | None, where: str) -> str:
    """Find the data set whose statistics apply.

    A lone data set needs no key, and `<key>_no_noops` stands in for `<key>`, as LIBERO's
    cleaned data sets are named.

    Raises:
        CheckpointError: If the choice is open or the key unknown; the known keys are listed.
    """
    known = ', '.join(stats) or '(none)'
    if key is None:
        if len(stats) == 1:
            return next(iter(stats))
        raise CheckpointError(f'{where}: name an unnorm_key; the statistics hold {known}')
    for candidate in (key, f'{key}_no_noops'):
        if candidate in stats:
            return candidate
    raise CheckpointError(f'{where}: no statistics for unnorm_key {key!r}; they hold {known}')


def read_dataset_statistics(path: str | Path) -> dict[str, DatasetStats]:
    """Read a `dataset_statistics.json`.

    Raises:
        CheckpointError: If the file is missing, is no JSON object or holds unusable numbers.
    """
    try:
        document = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f'{path}: cannot read dataset statistics ({error}); '
            'copy the file that was saved with the checkpoint'
        ) from error
    return dataset_stats_from_mapping(document, str(path))


def dataset_stats_from_mapping(document: Any, where: str) -> dict[str, DatasetStats]:
    """Statistics by data set from the parsed JSON.

    Raises:
        CheckpointError: Naming the entry that is unusable.
    """
    if not isinstance(document, Mapping):
        raise CheckpointError(f'{where}: must hold one JSON object with an entry per data set')
    found = {}
    for key, entry in document.items():
        if not isinstance(entry, Mapping) or not {'action', 'action_statics'} & set(entry):
            raise CheckpointError(f'{where}: entry {key!r} has no "action" statistics')
        action = entry.get('action', entry.get('action_statics'))
        proprio = entry.get('proprio', entry.get('proprio_statics'))
        found[key] = DatasetStats(
            action=norm_stats_from_mapping(action, f'{where}: {key}.action'),
            proprioception=None
            if proprio is None
            else norm_stats_from_mapping(proprio, f'{where}: {key}.proprio'),
        )
    return found


def norm_stats_from_mapping(values: Mapping[str, Any], where: str) -> NormStats:
    """Norm stats from one JSON object with keys `q01`, `q99`, `mean`, `std`, `min`, `max`, `mask`.

    Quantiles nested one list too deep, as CALVIN's file has them, are flattened. UniAct's files
    say `1min`, `99max`, `0min` and `100max`.

    Raises:
        CheckpointError: If sizes differ, or a value is not finite or not in order.
    """
    try:
        arrays = {
            field: np.ravel(np.asarray(values[name], dtype=bool if field == 'mask' else float))
            for field in _FIELDS
            for name in _NAMES.get(field, (field,))
            if name in values
        }
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{where}: not a list of numbers ({error})') from error
    sizes = {field: len(array) for field, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise CheckpointError(f'{where}: statistics of different sizes {sizes}')
    for field, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f'{where}: {field} holds NaN or infinity')
    stats = NormStats(**arrays)
    if stats.q01 is not None and stats.q99 is not None and (stats.q99 < stats.q01).any():
        raise CheckpointError(f'{where}: a q99 lies below its q01; the file is mixed up')
    if stats.std is not None and (stats.std < 0.0).any():
        raise CheckpointError(f'{where}: a std is negative')
    return stats


def _never_moved(stats: NormStats) -> np.ndarray:
    if stats.minimum is not None and stats.maximum is not None:
        return stats.minimum == stats.maximum
    return _known(stats, 'q01') == _known(stats, 'q99')


def _known(stats: NormStats, name: str) -> np.ndarray:
    values = getattr(stats, name)
    assert values is not None, f'{name} was required before'
    return values


def _checked(values: np.ndarray, stats: NormStats, rule: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    stats.require(rule, stats.dim, 'norm stats')
    if rule != 'none' and (values.ndim == 0 or values.shape[-1] != stats.dim):
        raise ShapeError(
            f'values of shape {values.shape} do not fit norm stats of {stats.dim} dimensions; '
            'the last axis must hold one value per dimension'
        )
    return values
