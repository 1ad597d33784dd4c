"""Our unified VLA against the official numbers, and the honesty of that comparison."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from univla_core.paths import repository_root
from univla_ros.conformance import run_conformance


def reference():
    if 'UNIVLA_CONFORMANCE_UNIFIED_VLA' in os.environ:
        return Path(os.environ['UNIVLA_CONFORMANCE_UNIFIED_VLA'])
    root = repository_root()
    return None if root is None else root.parent / 'shared' / 'conformance' / 'unified_vla'


FOLDER = reference()
pytestmark = pytest.mark.skipif(
    FOLDER is None or not FOLDER.is_dir(),
    reason='no conformance data; name their folder in UNIVLA_CONFORMANCE_UNIFIED_VLA',
)


def test_every_array_is_within_tolerance():
    rows = run_conformance(FOLDER)
    assert [row for row in rows if not row.ok] == []
    assert {row.group for row in rows} == {'FAST', 'arithmetic', 'sequences', 'model', 'vision'}
    assert len(rows) > 300


def test_damage_is_found_and_named(tmp_path):
    """A changed, a missing and an unknown array, and a missing tokenizer: each fails a row."""
    folder = shutil.copytree(FOLDER, tmp_path / 'data', copy_function=shutil.copyfile)
    for path in [folder, *folder.rglob('*')]:
        path.chmod(0o755)
    with np.load(folder / 'fixtures.npz') as content:
        arrays = dict(content)
    arrays['unnorm_libero'] = arrays['unnorm_libero'] + 1e-6
    del arrays['bin_decoded_from_call']
    arrays['surprise'] = np.zeros(1)
    np.savez(folder / 'fixtures.npz', **arrays)
    shutil.rmtree(folder / 'fast_tokenizers' / 'fast')
    (folder / 'tiny_emu3.safetensors').unlink()
    (folder / 'vision_vq.npz').unlink()
    failed = {row.name: row.note for row in run_conformance(folder) if not row.ok}
    assert failed['arithmetic/unnorm_libero'] == 'beyond tolerance'
    assert 'missing' in failed['arithmetic/bin_decoded_from_call']
    assert failed['arrays/surprise'] == 'no check reads this array'
    assert {'FAST/fast', 'model/*', 'vision/vision_vq.npz'} <= set(failed)
    assert 'arrays/loss_value' in failed
    assert not any(name.startswith('sequences') for name in failed)
