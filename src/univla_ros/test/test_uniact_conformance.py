"""Our UniAct against the official numbers, and the honesty of that comparison."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from univla_core.paths import repository_root
from univla_ros.conformance import run_conformance
from univla_ros.conformance import uniact


def reference():
    if 'UNIACT_CONFORMANCE' in os.environ:
        return Path(os.environ['UNIACT_CONFORMANCE'])
    root = repository_root()
    return None if root is None else root.parent / 'shared' / 'conformance' / 'uniact'


FOLDER = reference()
needs_reference = pytest.mark.skipif(
    FOLDER is None or not FOLDER.is_dir(),
    reason='no conformance data; name their folder in UNIACT_CONFORMANCE',
)


@needs_reference
def test_every_array_is_within_tolerance():
    rows = run_conformance(FOLDER)
    assert [row for row in rows if not row.ok] == []
    groups = {row.group for row in rows}
    assert groups == {
        'temperature', 'codebook', 'heads', 'policy', 'normalisation', 'evaluation'
    }  # fmt: skip
    assert len(rows) > 90


@needs_reference
def test_damage_is_found_and_named(tmp_path):
    """A changed, a missing and an unknown array, another temperature, a missing head."""
    folder = shutil.copytree(FOLDER, tmp_path / 'data', copy_function=shutil.copyfile)
    for path in [folder, *folder.rglob('*')]:
        path.chmod(0o755)
    with np.load(folder / 'fixtures.npz') as content:
        arrays = dict(content)
    arrays['vq_entropy'] = arrays['vq_entropy'] + 1e-4
    del arrays['vq_soft1_u']
    arrays['surprise'] = np.zeros(1)
    np.savez(folder / 'fixtures.npz', **arrays)
    schedule = json.loads((folder / 'temperature_schedule.json').read_text())
    schedule[0]['temperature_used_by_forward_k'][1] += 1e-6
    (folder / 'temperature_schedule.json').write_text(json.dumps(schedule))
    (folder / 'head_libero-2-rgb.safetensors').unlink()
    failed = {row.name: row.note for row in run_conformance(folder) if not row.ok}
    assert failed['codebook/vq_entropy'] == 'beyond tolerance'
    assert 'missing' in failed['codebook/vq_soft1_u']
    assert failed['uniact/surprise'] == 'no check reads this array'
    assert 'temperature/case 0' in failed
    assert 'head_libero-2-rgb' in failed['uniact/check_heads']
    assert not any(name.startswith(('normalisation', 'evaluation')) for name in failed)


def test_only_its_own_layout_is_taken(tmp_path):
    assert not uniact.detect(tmp_path)
    for name in uniact.MARKS[:2]:
        (tmp_path / name).write_text('{}')
    assert uniact.detect(tmp_path)
