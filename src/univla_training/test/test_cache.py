from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_data.episode import Episode
from univla_data.episode import SentCommands
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance
from univla_models.image_processor import ImageProcessor
from univla_models.release import processor_document
from univla_training.cache import build_store
from univla_training.recorded import FrameFormat
from univla_training.recorded import encode
from univla_training.recorded import read_frames
from univla_training.settings import DataSettings

from univla_training import cache

FORMAT = FrameFormat(side=28, camera='primary', rate_hz=5.0, horizon=4)
SETTINGS = DataSettings(robots=['widowx', 'franka'])


def episode(robot: str = 'widowx', seed: int = 0, frames: int = 8, size=(48, 64)) -> Episode:
    """An arm whose first joint turns by 0.01 rad a frame, before noise."""
    rng = np.random.default_rng(seed)
    home = load_embodiment(robot).home
    positions = np.repeat(home[None], frames, axis=0)
    positions[:, 0] += 0.01 * np.arange(frames)
    return Episode(
        robot=robot,
        task='reach',
        instruction='reach the red cube',
        seed=seed,
        success=True,
        metadata={},
        stamps=0.2 * np.arange(frames),
        images={'primary': rng.integers(0, 256, (frames, *size, 3), dtype=np.uint8)},
        positions=positions,
        opening=np.ones(frames),
        commands=positions,
        command_opening=np.ones(frames),
        sources=np.array(['expert'] * frames),
    )


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of episodes whose files only name them, and how often each was read."""
    reads: list[str] = []

    def read(path: Path, frame_format: FrameFormat):
        reads.append(path.name)
        robot, seed, *rest = (path / 'metadata.yaml').read_text().split()
        size = (48, 64) if not rest else (60, 80)
        return encode(episode(robot, int(seed), size=size), frame_format, str(path))

    monkeypatch.setattr(cache, 'read_frames', read)

    def add(name: str, content: str) -> None:
        (tmp_path / 'data' / name).mkdir(parents=True)
        (tmp_path / 'data' / name / 'metadata.yaml').write_text(content)

    def build(settings: DataSettings = SETTINGS):
        return build_store(tmp_path / 'data', tmp_path / 'cache', settings, 28)

    (tmp_path / 'data').mkdir()
    build.add, build.reads = add, reads
    return build


def test_training_pictures_equal_deployed_ones_bit_for_bit():
    """Stored picture and camera picture have the same pixel values for the policy."""
    seen = episode(size=(480, 640), frames=2)
    _, arrays = encode(seen, FORMAT, 'test')
    processor = ImageProcessor.from_mapping(processor_document(28), 'test')
    for stored, original in zip(arrays['pictures'], seen.images['primary'], strict=True):
        assert (processor(stored) == processor(original)).all()


def test_episodes_become_arrays_in_order(data):
    data.add('a', 'widowx 1')
    data.add('b/c', 'franka 2')
    store = data()
    assert [(row.robot, row.seed, row.start, row.stop) for row in store.episodes] == [
        ('widowx', 1, 0, 8),
        ('franka', 2, 8, 16),
    ]
    widowx, franka = np.arange(8), np.arange(8, 16)
    _, arrays = encode(episode('franka', 2), FORMAT, 'test')
    assert (store.pictures[franka] == arrays['pictures']).all()
    turned = store.actions(widowx, 'joint_position')[:, 0, 0]
    assert turned[:-1] == pytest.approx(load_embodiment('widowx').home[0] + 0.01 * widowx[1:])
    assert store.actions(franka, 'joint_delta').shape == (8, 4, 8)
    assert store.proprioception(widowx).shape == (8, 7)
    assert store.clean[widowx].all()


def test_only_new_episodes_are_read(data):
    data.add('a', 'widowx 1')
    data.add('b', 'widowx 2')
    before = data()
    data.add('aa', 'widowx 3')
    after = data()
    assert data.reads == ['a', 'b', 'aa']
    # What was there keeps its frames, so that labels made for them stay right.
    places = {row.path: row.start for row in before.episodes}
    assert places.items() <= {row.path: row.start for row in after.episodes}.items()
    assert before.signature != after.signature == data().signature


def test_a_broken_build_goes_on_where_it_was(data, monkeypatch):
    data.add('a', 'widowx 1')
    data.add('b', 'widowx 2')
    read = cache.read_frames

    def fail(path, frame_format):
        if path.name == 'b':
            raise TrainingError('b is broken')
        return read(path, frame_format)

    monkeypatch.setattr(cache, 'read_frames', fail)
    with pytest.raises(TrainingError, match='b is broken'):
        data()
    monkeypatch.setattr(cache, 'read_frames', read)
    store = data()
    assert len(store) == 16
    _, arrays = encode(episode('widowx', 2), FORMAT, 'test')
    second = next(row for row in store.episodes if row.seed == 2)
    assert (store.pictures[second.start : second.stop] == arrays['pictures']).all()


@pytest.mark.parametrize('episodes', [0, 1])
def test_too_few_episodes_are_refused(data, episodes):
    for number in range(episodes):
        data.add(str(number), 'widowx 1')
    with pytest.raises(TrainingError, match=f'holds {episodes} recorded episodes'):
        data()


def test_episodes_of_other_robots_do_not_count(data):
    data.add('a', 'widowx 1')
    data.add('b', 'franka 1')
    with pytest.raises(TrainingError, match='0 of its episodes are of airbot'):
        data(DataSettings(robots=['airbot']))


def test_pictures_of_unequal_size_are_refused(data):
    data.add('a', 'widowx 1')
    data.add('b', 'widowx 2 large')
    with pytest.raises(TrainingError, match=r'widowx have different sizes \(64x48 .*, 80x60 '):
        data()


#: Commands of which the one at 0.8 s, where row 3 of frame 0 ends, is broken.
BROKEN = SentCommands(
    times=0.2 * np.arange(8),
    values=np.where(np.arange(8)[:, None] == 4, np.nan, np.zeros((8, 6))),
    openings=np.ones(8),
)


def with_changes(**changes) -> Episode:
    return dataclasses.replace(episode(), **changes)


@pytest.mark.parametrize(
    ('broken', 'message'),
    [
        (with_changes(sent=BROKEN), 'action 3 of frame 0 is not finite in joint_position'),
        (with_changes(commands=np.full((8, 6), np.inf)), 'commands of frame 0'),
        (with_changes(positions=np.full((8, 6), np.nan)), 'measured positions of frame 0'),
        (with_changes(opening=np.full(8, np.nan)), 'gripper opening holds NaN'),
        (episode(frames=1), '1 frames and 1 pictures; at least two'),
        (with_changes(images={}), r"no pictures of camera 'primary', only of \(none\)"),
    ],
)
def test_an_unusable_episode_says_why(broken, message):
    with pytest.raises(TrainingError, match=f'somewhere: .*{message}'):
        encode(broken, FORMAT, 'somewhere')


def test_kicks_and_failures_are_not_imitated():
    sources = np.array(['expert'] * 8)
    sources[5] = 'kick'
    _, arrays = encode(with_changes(sources=sources), FORMAT, 'test')
    # Chunks of 4 rows that begin at frames 2 to 5 hold the kick.
    assert arrays['clean'].tolist() == [True, True, False, False, False, False, True, True]
    _, failed = encode(with_changes(success=False), FORMAT, 'test')
    assert not failed['clean'].any()
    stale = np.arange(8) != 3
    _, arrays = encode(with_changes(fresh=stale), FORMAT, 'test')
    assert arrays['clean'].tolist() == stale.tolist()


def test_what_follows_a_push_is_not_imitated():
    """Success after 0.7 s leaves frames 0 to 3; other tasks show their end in the picture."""
    known = {'metadata': {'details': {'success_time_s': 0.7}}}
    _, arrays = encode(with_changes(task='push', **known), FORMAT, 'test')
    assert arrays['clean'].tolist() == [True] * 4 + [False] * 4
    _, arrays = encode(with_changes(task='pick', **known), FORMAT, 'test')
    assert arrays['clean'].all()
    _, arrays = encode(with_changes(task='push'), FORMAT, 'test')  # nobody noted when it was done
    assert arrays['clean'].all()


def record(path: Path, seed: int) -> None:
    """One second of a WidowX that stands still, as the recorder writes it."""
    robot = load_embodiment('widowx')
    pictures = np.random.default_rng(seed).integers(0, 256, (6, 480, 640, 3), dtype=np.uint8)
    home, still = robot.home, np.zeros(6)
    about = Provenance(robot='widowx', task='reach', seed=seed, cameras={'primary': 5.0})
    writer = EpisodeWriter(path, robot, about, quality=None)
    writer.instruction(0.9, 'reach the red cube')
    for tick in range(60):
        now = 1.0 + tick / 50.0
        writer.joint_state(now, home, still, 1.0)
        writer.command(now, home, still, 1.0)
        if tick % 10 == 0:
            writer.picture(now, 'primary', pictures[tick // 10])
    writer.close(True, ('expert',))


@pytest.mark.slow
def test_processes_read_recorded_episodes(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, 'FEW', 1)
    for seed in (1, 2):
        record(tmp_path / f'data/{seed}', seed)
    store = build_store(tmp_path / 'data', tmp_path / 'cache', SETTINGS, 28, workers=2)
    assert {row.seed for row in store.episodes} == {1, 2}
    for row in store.episodes:
        made, arrays = read_frames(Path(row.path), FORMAT)
        assert made['instruction'] == 'reach the red cube'
        assert (store.pictures[row.start : row.stop] == arrays['pictures']).all()
    again = build_store(tmp_path / 'data', tmp_path / 'cache', SETTINGS, 28)
    assert again.signature == store.signature
