"""Un-normalisation, commands, statistics, constraint and bins against the official numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import norm_stats_from_mapping
from univla_core.norm_stats import normalize
from univla_core.norm_stats import unnormalize
from univla_models.emu3_language import allow_only
from univla_models.unified_vla_actions import GOOGLE_ROBOT
from univla_models.unified_vla_actions import BinTokenizer
from univla_models.unified_vla_actions import RunningStats
from univla_models.unified_vla_actions import StickyGripper
from univla_models.unified_vla_actions import axis_angle
from univla_models.unified_vla_actions import widowx_gripper

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json

GROUP = 'arithmetic'
UNITS = 1e-9
COMMANDS = 1e-7
# Environment → key of its statistics in meta.json; the Google robot's are in the code.
STATISTICS = {
    'libero': 'norm_stats_libero',
    'calvin': 'norm_stats_calvin',
    'widowx_bridge': 'norm_stats_bridge',
}


def check_arithmetic(folder: Path, rows: Rows, archive: Archive) -> None:
    """Compare `unnorm_*`, `post_*`, `stats_*`, `constraint_*` and `bin_*`."""
    meta = read_json(folder / 'meta.json')
    for check in (_check_units, _check_commands, _check_stats, _check_constraint, _check_bins):
        with rows.section(f'{GROUP}/{check.__name__.removeprefix("_check_")}'):
            check(rows, archive, meta)


def stats_of(meta: dict[str, Any], environment: str) -> NormStats:
    """Statistics of an environment."""
    if environment not in STATISTICS:
        return GOOGLE_ROBOT
    (entry,) = meta[STATISTICS[environment]].values()
    return norm_stats_from_mapping(entry, environment)


def _check_units(rows: Rows, archive: Archive, meta: dict[str, Any]) -> None:
    for environment in (*STATISTICS, 'google_robot'):
        got = unnormalize(archive['unnorm_in'], stats_of(meta, environment), 'bounds_q99')
        rows.against(GROUP, archive, f'unnorm_{environment}', got, UNITS)


def _check_commands(rows: Rows, archive: Archive, meta: dict[str, Any]) -> None:
    found = [match for name in archive.names if (match := re.fullmatch(r'post_(.+)_in', name))]
    for match in found:
        actions, stem = archive[match[0]], f'post_{match[1]}'
        step = StickyGripper().step if 'google' in match[1] else widowx_gripper
        gripper = [step(float(value)) for value in actions[:, -1]]
        rows.against(GROUP, archive, f'{stem}_world_vector', actions[:, :3], COMMANDS)
        rows.against(GROUP, archive, f'{stem}_rot_axangle', axis_angle(actions), COMMANDS)
        rows.against(GROUP, archive, f'{stem}_gripper', gripper, COMMANDS)
    rows.require(GROUP, bool(found), 'post_*')


def _check_stats(rows: Rows, archive: Archive, meta: dict[str, Any]) -> None:
    batches = archive['stats_batches']
    several, single = RunningStats(), RunningStats()
    for batch in batches:
        several.update(batch)
    single.update(np.concatenate(list(batches)))
    running, whole = several.stats(), single.stats()
    normalized = normalize(batches[0], whole, 'bounds_q99')
    for name, got in (
        ('mean', running.mean),
        ('std', running.std),
        ('q01', running.q01),
        ('q99', running.q99),
        ('single_q01', whole.q01),
        ('single_q99', whole.q99),
        ('single_normalized_batch0', normalized),
    ):
        rows.against(GROUP, archive, f'stats_{name}', got, UNITS)


def _check_constraint(rows: Rows, archive: Archive, meta: dict[str, Any]) -> None:
    scores = torch.from_numpy(archive['constraint_scores'])
    got = allow_only(scores, torch.from_numpy(archive['constraint_allowed'])).numpy()
    wanted = archive['constraint_out']
    rows.compare(f'{GROUP}/constraint forbidden', np.isinf(got), np.isinf(wanted), 0.0)
    kept = ~np.isinf(wanted)
    rows.compare(f'{GROUP}/constraint_out', got[kept], wanted[kept], 0.0)


def _check_bins(rows: Rows, archive: Archive, meta: dict[str, Any]) -> None:
    bins, values = BinTokenizer(), archive['bin_in']
    for name, got in (
        ('ids_call', bins.encode(values)),
        ('ids_encode', bins.encode_like_original(values)),
        ('decoded_from_call', bins.decode(archive['bin_ids_call'])),
        ('decoded_from_encode', bins.decode(archive['bin_ids_encode'])),
    ):
        rows.against(GROUP, archive, f'bin_{name}', got)
