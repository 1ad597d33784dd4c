"""Training finds episodes in folders, bags and exported data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from univla_core.errors import TrainingError
from univla_training.recordings import recorded_episodes


@pytest.fixture
def bags(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / 'data' / name for name in ('a', 'b', 'c')]
    for path in paths:
        path.mkdir(parents=True)
        (path / 'metadata.yaml').touch()
    return paths


def dataset(folder: Path, sources: list[Path]) -> Path:
    """What an export leaves, as far as it tells of its sources."""
    folder.mkdir()
    rows = [{'source': str(source)} for source in sources]
    (folder / 'univla_export.json').write_text(json.dumps({'episodes': rows}))
    return folder


def test_a_bag_is_one_episode_and_a_folder_all_that_are_in_it(bags, tmp_path):
    assert recorded_episodes(bags[0]) == [bags[0]]
    assert recorded_episodes(tmp_path) == bags
    assert recorded_episodes([bags[2], bags[0]]) == [bags[0], bags[2]]


def test_a_data_set_stands_for_the_recordings_it_was_made_from(bags, tmp_path):
    exported = dataset(tmp_path / 'set', bags[1:])
    assert recorded_episodes(exported) == bags[1:]
    assert recorded_episodes([exported, bags[1], bags[0]]) == bags


def test_a_data_set_without_its_recordings_is_refused(bags, tmp_path):
    exported = dataset(tmp_path / 'set', [bags[0], tmp_path / 'gone'])
    with pytest.raises(TrainingError, match=r'1 of its 2 recordings are gone, .*gone'):
        recorded_episodes(exported)
    (exported / 'univla_export.json').write_text('{')
    with pytest.raises(TrainingError, match='cannot be read'):
        recorded_episodes(exported)


def test_nothing_there_is_no_episode(tmp_path):
    assert recorded_episodes(tmp_path / 'nowhere') == []
