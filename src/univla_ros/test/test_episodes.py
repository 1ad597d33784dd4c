"""`univla export` and `univla episodes` as the user types them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_data.episode_reader import find_episodes
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance
from univla_ros.cli import app


def drive(folder: Path, seconds: float, success: bool) -> None:
    """A base that drives straight on."""
    base = load_embodiment('mobile_base')
    known = Provenance(robot='mobile_base', task='drive', instruction='drive on')
    rows = np.mgrid[0:480, 0:640][0]
    with EpisodeWriter(folder, base, known) as writer:
        for i in range(round(seconds * 30) + 1):
            now = 100.0 + i / 30
            writer.odometry(now, (0.2, 0.0), (0.2 * i / 30, 0.0, 0.0))
            writer.command(now, np.zeros(0), np.array([0.2, 0.0]))
            shot = np.stack([(rows + i) % 250, rows // 2, rows // 3], axis=-1)
            writer.picture(now, 'primary', shot.astype(np.uint8))
        writer.close(success)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp('data') / 'data'
    for i in range(5):
        drive(data / str(i), 4.0 if i == 4 else 1.0, i != 2)
    (data / 'broken').mkdir()
    (data / 'broken' / 'broken.mcap').write_bytes(b'no bag')
    return data


def said(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words], env={'COLUMNS': '300'})
    if isinstance(result.exception, DataError):
        raise result.exception
    return result.exit_code, result.output


def test_export_tells_what_it_did_and_what_it_could_not(recorded, tmp_path):
    code, text = said('export', recorded, '--format', 'hdf5', '--out', tmp_path / 'out')
    assert code == 1
    assert '5 episodes' in text and '1 could not be exported' in text
    assert f'{recorded}/broken/broken.mcap' in text
    files = sorted((tmp_path / 'out').glob('drive_on+*.hdf5'))
    assert len(files) == 5
    with h5py.File(files[0]) as data:
        np.testing.assert_allclose(data['action'][:5], [[0.2, 0.0]] * 5, atol=1e-6)


def test_list_says_length_success_and_what_stands_out(recorded, tmp_path):
    code, text = said('episodes', 'list', recorded, '--json', tmp_path / 'list.json')
    assert code == 1 and 'broken.mcap' in text
    rows = json.loads((tmp_path / 'list.json').read_text())
    assert [row['success'] for row in rows] == [True, True, False, True, True]
    assert [row['seconds'] for row in rows] == pytest.approx([1.0, 1.0, 1.0, 1.0, 4.0])
    assert [bool(row['outlier']) for row in rows] == [False] * 4 + [True]
    _, text = said('episodes', 'list', recorded, '--failures')
    assert f'{recorded}/2' in text and f'{recorded}/3' not in text


def test_stats_count_by_robot_and_task(recorded, tmp_path):
    said('episodes', 'stats', recorded, '--json', tmp_path / 'stats.json')
    told = json.loads((tmp_path / 'stats.json').read_text())
    (group,) = told['groups']
    assert (group['robot'], group['task']) == ('mobile_base', 'drive')
    assert (group['episodes'], group['successes'], group['outliers']) == (5, 4, 1)
    assert group['seconds'] == pytest.approx(8.0)
    assert len(told['problems']) == 1


def test_show_and_plot_leave_pictures(recorded, tmp_path):
    code, text = said('episodes', 'show', recorded / '0', '--out', tmp_path)
    assert code == 0 and 'drive on' in text and '/mobile_base/odom' in text
    said('episodes', 'plot', recorded, '--out', tmp_path)
    for name in ('0.png', 'episodes.png', 'contact_sheet.png'):
        picture = cv2.imread(str(tmp_path / name))
        assert picture.std() > 10.0, f'{name} is blank'


def test_show_wants_one_episode(recorded):
    with pytest.raises(DataError, match='is not one episode'):
        said('episodes', 'show', recorded)


def test_drop_and_merge(recorded, tmp_path):
    code, text = said('episodes', 'merge', recorded, '--out', tmp_path / 'all')
    assert code == 1 and '5 copied' in text and 'broken.mcap' in text
    copies = find_episodes(tmp_path / 'all')
    code, text = said('episodes', 'drop', copies[0], '--trash', tmp_path / 'trash')
    assert code == 0 and 'back: mv' in text
    assert find_episodes(tmp_path / 'all') == copies[1:]
    assert len(find_episodes(tmp_path / 'trash')) == 1
