"""Our UniVLA against the official numbers, and the honesty of that comparison."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_core.paths import repository_root
from univla_decoders.decoder import RobotDecoder
from univla_models.synthetic import write_checkpoint
from univla_models.synthetic_decoders import DecoderSpec
from univla_models.synthetic_decoders import spec_for
from univla_models.univla import UnivlaPolicy
from univla_ros.conformance import main
from univla_ros.conformance import run_conformance
from univla_ros.conformance.rows import Rows


def reference():
    if 'UNIVLA_CONFORMANCE' in os.environ:
        return Path(os.environ['UNIVLA_CONFORMANCE'])
    root = repository_root()
    return None if root is None else root.parent / 'shared' / 'conformance' / 'univla'


FOLDER = reference()
needs_reference = pytest.mark.skipif(
    FOLDER is None or not FOLDER.is_dir(),
    reason='no conformance data; name their folder in UNIVLA_CONFORMANCE',
)


@needs_reference
def test_every_array_is_within_tolerance(tmp_path):
    rows = run_conformance(FOLDER)
    assert [row for row in rows if not row.ok] == []
    groups = {row.group for row in rows}
    assert {'policy', 'training', 'decoders', 'full size', 'lam_stage1', 'lam_stage2'} <= groups
    assert {'ensembling', 'unnorm', 'image processor', 'centre crop'} <= groups
    assert len(rows) > 150


@needs_reference
def test_damage_is_found_and_named(tmp_path):
    """A changed weight, a missing file, a missing and an unknown array: each is a failed row."""
    folder = shutil.copytree(FOLDER, tmp_path / 'data', copy_function=shutil.copyfile)
    for path in [folder, *folder.rglob('*')]:
        path.chmod(0o755)
    with np.load(folder / 'ensembling.npz') as content:
        arrays = dict(content)
    arrays['libero_out'] = arrays['libero_out'] + 1e-6
    del arrays['bridge_out']
    arrays['surprise'] = np.zeros(1)
    np.savez(folder / 'ensembling.npz', **arrays)
    (folder / 'unnorm.npz').unlink()
    shutil.rmtree(folder / 'policy')
    shutil.rmtree(folder / 'lam_stage1')
    status = main(folder, tmp_path / 'out.json')
    document = json.loads((tmp_path / 'out.json').read_text())
    assert status == 1
    assert document['ok'] is False
    failed = {row['name']: row['note'] for row in document['results'] if not row['ok']}
    assert failed['ensembling/libero_out'] == 'beyond tolerance'
    assert 'missing' in failed['ensembling/bridge_out']
    assert failed['ensembling/surprise'] == 'no check reads this array'
    assert 'unnorm/unnorm.npz' in failed
    assert 'lam_stage1/io.npz' in failed
    assert any(name.startswith('policy/') for name in failed)
    assert not any(name.startswith(('lam_stage2', 'image processor')) for name in failed)


def test_unknown_folders_are_refused_with_the_known_layouts(tmp_path):
    with pytest.raises(ConfigError, match='univla'):
        run_conformance(tmp_path)
    with pytest.raises(ConfigError, match='no such folder'):
        run_conformance(tmp_path / 'absent')


def test_errors_are_absolute_below_one_and_relative_above():
    rows = Rows()
    rows.compare('g/small', [0.5], [0.4], 0.2)
    rows.compare('g/large', [1010.0], [1000.0], 0.02)
    rows.compare('g/nan', [np.nan], [0.0], 1.0)
    rows.compare('g/shape', [1.0, 2.0], [1.0], 1.0)
    assert [round(row.error, 6) for row in rows.rows[:2]] == [0.1, 0.01]
    assert [row.ok for row in rows.rows] == [True, True, False, False]


def test_an_array_that_nobody_reads_is_a_failed_row(tmp_path):
    np.savez(tmp_path / 'x.npz', a=np.zeros(1), b=np.zeros(1))
    rows = Rows()
    rows.archive('g', tmp_path / 'x.npz', lambda archive: rows.against('g', archive, 'a', [0.0]))
    rows.archive('g', tmp_path / 'y.npz', lambda archive: None)
    assert [(row.name, row.ok) for row in rows.rows] == [
        *(('g/a', True), ('g/b', False), ('g/y.npz', False))
    ]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    specs = [spec_for(load_embodiment(name)) for name in robot_names()]
    specs.append(
        DecoderSpec(
            robot='feeling',
            action_space='joint_position',
            names=('j', 'gripper'),
            q01=(-1.0, 0.0),
            q99=(1.0, 1.0),
            head='proprioception',
            proprioception_dim=2,
        )
    )
    return write_checkpoint(tmp_path_factory.mktemp('synthetic') / 'checkpoint', specs)


@pytest.fixture(scope='module')
def latent(checkpoint):
    policy = UnivlaPolicy.from_pretrained(checkpoint, device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return policy.plan(image, 'pick up the red block')


@pytest.mark.parametrize('robot', [*robot_names(), 'feeling'])
def test_one_synthetic_plan_drives_every_robot(checkpoint, latent, robot):
    decoder = RobotDecoder.load(checkpoint / 'decoders' / robot)
    body = np.zeros(2) if robot == 'feeling' else None
    chunk = decoder.decode(latent, body)
    assert chunk.shape == (decoder.horizon, len(decoder.declaration.names))
    assert decoder.declaration.codebook == latent.codebook
    assert decoder.declaration.trained is False
