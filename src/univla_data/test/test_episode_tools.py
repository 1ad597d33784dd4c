"""Episodes are measured without their pictures; moving them about loses none."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from univla_core.errors import DataError
from univla_data.episode_reader import find_episodes
from univla_data.episode_tools import outliers
from univla_data.episode_tools import read_motion
from univla_data.episode_tools_files import drop
from univla_data.episode_tools_files import merge
from univla_data.episode_writer import EpisodeWriter


def test_motion_is_that_of_the_commands(recorded, script):
    """The last joint turns quickest, 0.3 rad/s; all commands change, so no frame is idle."""
    motion = read_motion(recorded)
    assert motion.seconds == pytest.approx(script.frames * script.period_s)
    assert motion.speed == pytest.approx(0.3, abs=1e-6)
    assert motion.idle[:-1].sum() == 0
    assert motion.shares['kick'] == pytest.approx(2 / 11)
    assert motion.counts['/widowx/camera/primary/image_raw/compressed'] == script.frames


def test_standing_is_idle_but_for_the_frame_in_which_the_gripper_closes(
    tmp_path, widowx, provenance, script
):
    with EpisodeWriter(tmp_path / 'still', widowx, provenance) as writer:
        command, here = writer.command, script.set_point(0.0)
        writer.command = lambda stamp, joints, rates, opening: command(stamp, here, rates, opening)
        script.play(writer)
        motion = read_motion(writer.close(True))
    assert np.flatnonzero(~motion.idle).tolist() == [5]  # told at 1.0 s
    assert motion.speed == 0.0


def test_what_cannot_be_measured_is_named(tmp_path, widowx, provenance, script):
    with EpisodeWriter(tmp_path / 'mute', widowx, provenance) as writer:
        writer.command = lambda *_: None
        script.play(writer)
        path = writer.close(True)
    with pytest.raises(DataError, match='mute: /widowx/command holds nothing'):
        read_motion(path)


def test_only_what_differs_from_its_own_task_is_an_outlier(recorded):
    motion = read_motion(recorded)

    def lasting(number, seconds, task='reach'):
        return dataclasses.replace(
            motion,
            path=recorded.with_name(f'{task}{number}'),
            provenance=dataclasses.replace(motion.provenance, task=task),
            stamps=np.array([0.0, seconds]),
            commands=motion.commands[:2],
        )

    usual = [lasting(i, 5.0 + 0.1 * i) for i in range(6)]
    assert outliers(usual) == {}
    odd = outliers([*usual, lasting(9, 30.0), lasting(0, 60.0, 'push')])
    ((path, reasons),) = odd.items()
    assert path == recorded.with_name('reach9')
    assert any('seconds 30.00, median 5.30' in reason for reason in reasons)


@pytest.fixture
def data(tmp_path, recorded, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        shutil.copytree(recorded, tmp_path / 'data' / name)
    return tmp_path / 'data'


def test_dropped_episodes_are_in_the_trash_whole(tmp_path, data):
    before = (data / 'a' / 'first.mcap').read_bytes()
    ((_, where),) = drop([data / 'a'])
    assert where.resolve() == tmp_path / 'out/trash/data/a'
    assert (where / 'first.mcap').read_bytes() == before
    assert find_episodes(data) == [data / 'b']


def test_a_second_episode_of_that_name_does_not_replace_the_first(data, recorded):
    drop([data / 'a'])
    shutil.copytree(recorded, data / 'a')
    ((_, where),) = drop([data / 'a'])
    assert where.name == 'a-2' and where.with_name('a').is_dir()


def test_what_is_no_single_episode_is_not_dropped(data):
    with pytest.raises(DataError, match='is not one episode; name the folders'):
        drop([data / 'a', data])
    assert len(find_episodes(data)) == 2


def test_merging_copies_each_episode_once(tmp_path, data, widowx, provenance, script):
    """`a` and `b` are the same, but for their names; the other `a` is not."""
    with EpisodeWriter(tmp_path / 'more' / 'a', widowx, provenance) as writer:
        script.play(writer)
        writer.close(False)
    broken = tmp_path / 'more' / 'broken'
    broken.mkdir()
    (broken / 'broken.mcap').write_bytes(b'nothing')
    report = merge([data, tmp_path / 'more'], tmp_path / 'all')
    names = [path.relative_to(tmp_path / 'all').as_posix() for path in report.made]
    assert names == ['widowx/reach/a', 'widowx/reach/b', 'widowx/reach/a-2']
    assert [path for path, _ in report.problems] == [broken]
    assert len(find_episodes(data)) == 2
    again = merge([data], tmp_path / 'all')
    assert again.made == [] and len(again.there) == 2
