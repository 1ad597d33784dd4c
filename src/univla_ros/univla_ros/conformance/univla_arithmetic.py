"""Ensembling and un-normalisation of UniVLA against the official numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import clipped_std
from univla_core.norm_stats import normalize
from univla_core.norm_stats import unnormalize
from univla_core.temporal_ensembling import TemporalEnsembler
from univla_core.temporal_ensembling import softmax
from univla_decoders.gripper import bridge_gripper
from univla_decoders.gripper import calvin_gripper
from univla_decoders.gripper import gripper_continuous
from univla_decoders.gripper import libero_gripper

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows

ENSEMBLING = 1e-9
UNNORMALISATION = 1e-12
REAL_WORLD_WINDOW = 8


def check_arithmetic(folder: Path, rows: Rows) -> None:
    """Compare `ensembling.npz` and `unnorm.npz`."""
    rows.archive(
        'ensembling',
        folder / 'ensembling.npz',
        lambda archive: _check_ensembling(rows, archive),
    )
    rows.archive('unnorm', folder / 'unnorm.npz', lambda archive: _check_rules(rows, archive))


def _check_ensembling(rows: Rows, archive: Archive) -> None:
    names = [name.removesuffix('_chunks') for name in archive.names if 'chunks' in name]
    for name in names:
        with rows.section(f'ensembling/{name}_out'):
            got = _ensembled(archive, name)
            rows.against('ensembling', archive, f'{name}_out', got, ENSEMBLING)
    rows.require('ensembling', bool(names), '*_chunks')
    chunks = archive['r2r_logits']
    ensembler = TemporalEnsembler(chunks.shape[1])
    actions = [ensembler.step(softmax(chunk)).argmax() for chunk in chunks]
    rows.against('ensembling', archive, 'r2r_actions', actions)


def _check_rules(rows: Rows, archive: Archive) -> None:
    _check_bounds(rows, archive)
    _check_moments(rows, archive)


def _ensembled(archive: Archive, name: str) -> np.ndarray:
    """One action per control step from one network prediction per control step."""
    chunks = archive[f'{name}_chunks']
    real = name.startswith('real_world')
    window = REAL_WORLD_WINDOW if real else chunks.shape[1]
    ensembler = TemporalEnsembler(window, take_last=real)
    resets = f'{name}_reset_before'
    resets = archive[resets].tolist() if resets in archive else []
    actions = []
    for step, chunk in enumerate(chunks):
        if step in resets:
            ensembler.reset()
        actions.append(ensembler.step(chunk))
    if f'{name}_q01' not in archive:
        return np.array(actions)
    q01, q99, mask = (archive[f'{name}_{key}'] for key in ('q01', 'q99', 'mask'))
    return unnormalize(np.array(actions), NormStats(q01=q01, q99=q99, mask=mask), 'bounds_q99')


def _check_bounds(rows: Rows, archive: Archive) -> None:
    action = archive['action']
    q01, q99, mask = (archive[key] for key in ('q01', 'q99', 'mask'))
    stats = NormStats(q01=q01, q99=q99, mask=mask)
    got = unnormalize(action, stats, 'bounds_q99')
    libero, continuous = got.copy(), got.copy()
    libero[:, -1] = libero_gripper(got[:, -1])
    continuous[:, -1] = gripper_continuous(got[:, -1])
    bare = unnormalize(action, NormStats(q01=q01, q99=q99), 'bounds_q99')
    for name, value in (
        ('unnorm', got),
        ('unnorm_no_mask', bare),
        ('libero_env_action', libero),
        ('gripper_continuous', continuous),
        ('bridge_gripper', bridge_gripper(action[:, -1:])),
        ('calvin_gripper', calvin_gripper(action[:, -1])),
        ('normalised', normalize(archive['raw'], stats, 'bounds_q99')),
    ):
        rows.against('unnorm', archive, name, value, UNNORMALISATION)


def _check_moments(rows: Rows, archive: Archive) -> None:
    stats = NormStats(mean=archive['mean'], std=archive['std'])
    action = archive['action']
    for name, value in (
        ('std_clipped', clipped_std(stats)),
        ('real_action', unnormalize(action, stats, 'mean_std')),
        ('real_proprio_normalised', normalize(action, stats, 'mean_std')),
    ):
        rows.against('unnorm', archive, name, value, UNNORMALISATION)
