"""UniAct's normalisation, chunks and masks against the official numbers, both ways."""

from __future__ import annotations

import re

import numpy as np
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import normalize
from univla_core.norm_stats import unnormalize
from univla_decoders.uniact_data import action_targets

from univla_ros.conformance.rows import Rows
from univla_ros.conformance.uniact_reference import Reference

GROUP = 'normalisation'
EXACT = 1e-9
RULES = {'mean_std': 'moments', 'min_max': 'min_max', 'min_max_99': 'unit_q99'}
OXE_RULES = {**RULES, 'min_max_99': 'unit_q99_margin'}


def check_data(rows: Rows, reference: Reference) -> None:
    """Compare `norm_<data set>_*`."""
    found = [re.fullmatch(r'norm_(.+)_raw', name) for name in reference.archive.names]
    datasets = [match[1] for match in found if match and not match[1].endswith('_proprio')]
    rows.require(GROUP, bool(datasets), 'norm_*_raw')
    for dataset in datasets:
        with rows.section(f'{GROUP}/norm_{dataset}_*'):
            _check_dataset(rows, reference, dataset)


def _check_dataset(rows: Rows, reference: Reference, dataset: str) -> None:
    archive, everything = reference.archive, reference.statistics
    own = f'AIR/{dataset}' in everything
    stats = everything[f'AIR/{dataset}' if own else f'OXE/{dataset}']
    raw = archive[f'norm_{dataset}_raw']
    for way, rule in (RULES if own else OXE_RULES).items():
        name = f'norm_{dataset}_{way}'
        if f'{name}_action' not in archive:
            continue
        horizon = archive[f'{name}_action'].shape[1]
        chunks, mask = action_targets(raw, stats.action, rule, horizon)
        # The original divides by the range even where there is none, and masks the result.
        wanted = archive[f'{name}_action']
        told = np.isfinite(wanted)
        chunks, wanted = np.where(told, chunks, 0.0), np.where(told, wanted, 0.0)
        rows.compare(f'{GROUP}/{name}_action', chunks, wanted, EXACT)
        rows.against(GROUP, archive, f'{name}_mask', mask)
        _check_back(rows, name, archive[f'{name}_action'], raw, stats.action, rule)
    name = f'norm_{dataset}_proprio'
    if name in archive and stats.proprioception is not None:
        body = archive[f'{name}_raw']
        rows.against(GROUP, archive, name, normalize(body, stats.proprioception, 'moments'), EXACT)
        back = unnormalize(archive[name], stats.proprioception, 'moments')
        rows.compare(f'{GROUP}/{name} back', back, body, EXACT)


def _check_back(
    rows: Rows, name: str, chunks: np.ndarray, raw: np.ndarray, stats: NormStats, rule: str
) -> None:
    """From the official chunks to robot units, where the episode had an action."""
    moved = np.isfinite(chunks[:, 0]).all(axis=0)
    back = unnormalize(chunks[:, 0], stats, rule)
    rows.compare(f'{GROUP}/{name} back', back[:, moved], raw[:, moved], EXACT)
