"""Configuration and checkpoints are found the same way everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from univla_core.errors import ConfigError

from univla_core import paths


@pytest.fixture
def no_checkout(monkeypatch):
    """As on a robot where the packages are installed by copy."""
    monkeypatch.setattr(paths, 'repository_root', lambda: None)
    monkeypatch.delenv('UNIVLA_CONFIG', raising=False)
    monkeypatch.delenv('UNIVLA_CHECKPOINTS', raising=False)
    monkeypatch.setenv('AMENT_PREFIX_PATH', '')


def folder_with_robots(parent: Path) -> Path:
    (parent / 'robots').mkdir(parents=True)
    return parent


def test_checkout_is_found_from_its_own_modules():
    """The tests run from a checkout, so there is one."""
    root = paths.repository_root()
    assert root is not None
    assert (root / 'config' / 'robots' / 'widowx.yaml').is_file()


def test_named_folder_goes_before_the_checkout(monkeypatch, tmp_path):
    """`UNIVLA_CONFIG` wins, unless it holds no robots."""
    monkeypatch.setenv('UNIVLA_CONFIG', str(tmp_path))
    assert paths.config_directory() != tmp_path
    folder_with_robots(tmp_path)
    assert paths.config_directory() == tmp_path


def test_installed_share_folder_is_found(no_checkout, monkeypatch, tmp_path):
    """The first prefix of a sourced workspace that holds the package, overlays first."""
    share = folder_with_robots(tmp_path / 'second' / 'share' / 'univla_ros' / 'config')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{tmp_path / "first"}:{tmp_path / "second"}')
    assert paths.config_directory() == share


def test_without_any_folder_the_message_tells_both_ways_out(no_checkout):
    """Source the workspace or set the variable."""
    with pytest.raises(ConfigError, match=r'local_setup\.bash.*UNIVLA_CONFIG'):
        paths.config_directory()


def test_checkpoint_is_a_path_or_a_name(no_checkout, monkeypatch, tmp_path):
    """An existing path is taken as it is; a name is looked up in the folders."""
    (tmp_path / 'bridge').mkdir()
    assert paths.checkpoint_path(str(tmp_path / 'bridge')) == (tmp_path / 'bridge').resolve()
    monkeypatch.setenv('UNIVLA_CHECKPOINTS', str(tmp_path))
    assert paths.checkpoint_path('bridge') == tmp_path / 'bridge'


def test_unknown_checkpoint_lists_the_known_ones(no_checkout, monkeypatch, tmp_path):
    """A stray file beside them is not offered as a checkpoint."""
    (tmp_path / 'bridge').mkdir()
    (tmp_path / 'notes.txt').touch()
    monkeypatch.setenv('UNIVLA_CHECKPOINTS', str(tmp_path))
    with pytest.raises(ConfigError, match='bridge') as caught:
        paths.checkpoint_path('brigde')
    assert 'notes.txt' not in str(caught.value)
