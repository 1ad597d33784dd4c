from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner
from univla_core.errors import ConfigError

from univla_ros import cli


def test_training_is_offered_where_its_package_is_installed():
    app = typer.Typer()
    cli.add_installed_commands(app)
    result = CliRunner().invoke(app, ['train', '--help'], env={'COLUMNS': '120'})
    assert result.exit_code == 0, result.output
    assert 'pretrain' in result.output


def test_a_missing_package_gives_a_clear_sentence(monkeypatch):
    monkeypatch.setattr(cli, 'entry_points', lambda group: [])
    app = typer.Typer()
    app.callback()(lambda: None)  # with one command only, typer would leave out its name
    cli.add_installed_commands(app)
    result = CliRunner().invoke(app, ['train', 'policy', '--recipe', 'tiny'])
    assert isinstance(result.exception, ConfigError)
    with pytest.raises(ConfigError, match='univla_training is not installed here; build'):
        raise result.exception
