"""HDF5 files have the layout that UniVLA's training reads."""

from __future__ import annotations

import cv2
import h5py
import numpy as np
import pytest
from univla_data.episode_reader import read_episode
from univla_data.episode_writer import EpisodeWriter
from univla_data.export import Export
from univla_data.export import ExportOptions
from univla_data.provenance import Provenance


@pytest.fixture(scope='module')
def paths(tmp_path_factory, recorded, widowx, script):
    """A whole episode, and one whose pictures end after five frames."""
    data = tmp_path_factory.mktemp('hdf5')
    known = Provenance(robot='widowx', cameras={'primary': 5.0})
    with EpisodeWriter(data / 'short', widowx, known) as writer:
        picture = writer.picture

        def early(stamp, camera, shot):
            if stamp < script.begin_s + 0.9:
                picture(stamp, camera, shot)

        writer.picture = early
        script.play(writer)
        return [recorded, writer.close(True)]


def exported(paths, out, **wish):
    options = ExportOptions(format='hdf5', out=out, action_space='joint_delta', **wish)
    Export(paths, options).run()
    return sorted(out.glob('*.hdf5'))


def test_layout_and_name(tmp_path, paths, widowx):
    (file,) = exported(paths[:1], tmp_path / 'out')
    assert file.name == 'reach_the_red_cube+00000.hdf5'
    episode = read_episode(paths[0])
    with h5py.File(file) as data:
        assert data['action'].shape == (10, 7) and data['action'].dtype == np.float32
        np.testing.assert_allclose(data['observations/qpos'][:, :6], episode.positions, atol=1e-6)
        assert data['control_source'].asstr()[:].tolist() == episode.sources.tolist()
        assert data['observations/qpos'].attrs['names'].tolist() == [*widowx.axis_names, 'gripper']
        assert data.attrs['instruction'] == 'reach the red cube'
        assert data.attrs['success'] == 'true' and data.attrs['compress']


def test_flipped_channels_are_the_picture(tmp_path, paths):
    """UniVLA's loader decodes JPEG and flips the channels."""
    (file,) = exported(paths[:1], tmp_path / 'out')
    expected = read_episode(paths[0]).images['primary']
    with h5py.File(file) as data:
        packed, sizes = data['observations/images/primary'], data['compress_len']
        assert sizes.shape == (1, 10) and packed.shape == (10, sizes[0].max())
        for number in range(10):
            shot = cv2.imdecode(packed[number], 1)[..., ::-1]
            assert np.abs(shot.astype(float) - expected[number]).mean() < 2.0


def test_raw_pictures_are_exact(tmp_path, paths):
    (file,) = exported(paths[:1], tmp_path / 'out', raw=True)
    expected = read_episode(paths[0]).images['primary']
    with h5py.File(file) as data:
        assert not data.attrs['compress']
        assert (data['observations/images/primary'][:][..., ::-1] == expected).all()


def test_short_episodes_stand_still_until_the_longest_ends(tmp_path, paths):
    files = exported(paths, tmp_path / 'out')
    lengths = []
    for file in files:
        with h5py.File(file) as data:
            count = int(data.attrs['frames'])
            lengths.append(count)
            assert data['action'].shape == (10, 7)
            assert data['is_pad'][:].tolist() == [False] * count + [True] * (10 - count)
            assert not data['clean'][count:].any()
            assert (data['action'][count:, :6] == 0.0).all()
            assert (data['action'][count:, 6] == data['action'][count - 1, 6]).all()
            last = cv2.imdecode(data['observations/images/primary'][9], 1)
            assert last.shape == (480, 640, 3)
    assert sorted(lengths) == [5, 10]


def test_lengths_stay_where_that_is_wished(tmp_path, paths):
    files = exported(paths, tmp_path / 'out', equal_length=False)
    lengths = []
    for file in files:
        with h5py.File(file) as data:
            lengths.append(len(data['action']))
    assert sorted(lengths) == [5, 10]
