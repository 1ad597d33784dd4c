"""A configuration dataclass is the same thing as a YAML section and as ROS parameters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter
from univla_core.errors import ConfigError
from univla_core.parameters import default_of
from univla_core.parameters import load_config
from univla_core.parameters import parameter
from univla_ros.node_parameters import declare_parameters
from univla_ros.nodes.controller_node import ControllerConfig
from univla_ros.nodes.decoder_node import DecoderConfig
from univla_ros.nodes.monitor_node import MonitorConfig
from univla_ros.nodes.policy_node import PolicyConfig
from univla_ros.nodes.sim_node import SimConfig

CONFIGS = (ControllerConfig, DecoderConfig, MonitorConfig, PolicyConfig, SimConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One field of each kind."""

    rate_hz: float = parameter(10.0, 'Rate [Hz]', low=1.0, high=200.0)
    horizon: int = parameter(8, 'Actions per chunk', low=1, high=64)
    mode: str = parameter('hold', 'What to do', choices=('hold', 'stop'))
    loud: bool = parameter(False, 'Whether to say more')
    names: list[str] = parameter(['primary'], 'Cameras')
    scale: float = parameter(0.5, 'Share', low=0.0, high=1.0, live=True)
    least: float = parameter(0.5, 'Bounded on one side', low=0.0)


@pytest.fixture(scope='module', autouse=True)
def ros():
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def make_node():
    nodes = []

    def make(*arguments: str, **overrides: Any):
        node = rclpy.create_node(
            'decoder_node',
            cli_args=['--ros-args', *arguments] if arguments else None,
            parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()],
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()


def another_value(field: dataclasses.Field) -> Any:
    """A valid value that is not the default."""
    default, meta = default_of(field), field.metadata
    if meta['choices']:
        return next((choice for choice in meta['choices'] if choice != default), default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, (int, float)):
        other = default + 1 if meta['high'] is None or default < meta['high'] else default - 1
        bounded = min(other, meta['high']) if meta['high'] is not None else other
        return type(default)(bounded if meta['low'] is None else max(bounded, meta['low']))
    if isinstance(default, list) and isinstance(default[0], float):
        return [value + 1.0 for value in default]
    return ['left', 'right'] if isinstance(default, list) else f'{default}x'


def write(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({'/**': {'ros__parameters': values}}))
    return path


@pytest.mark.parametrize('kind', [*CONFIGS, Example])
def test_a_node_reads_the_same_configuration_with_and_without_ros(make_node, tmp_path, kind):
    values = {field.name: another_value(field) for field in dataclasses.fields(kind)}
    path = write(tmp_path / 'parameters.yaml', values)
    with_ros = declare_parameters(make_node('--params-file', str(path)), kind)
    assert with_ros == load_config(kind, path)
    assert with_ros != kind()


@pytest.mark.parametrize('kind', CONFIGS)
def test_defaults_stand_in_the_dataclass_alone(make_node, kind):
    assert declare_parameters(make_node(), kind) == kind()


def test_a_descriptor_tells_a_person_what_the_field_tells(make_node):
    node = make_node()
    declare_parameters(node, Example)
    rate = node.describe_parameter('rate_hz')
    assert rate.description == 'Rate [Hz]'
    assert rate.type == ParameterType.PARAMETER_DOUBLE
    (bounds,) = rate.floating_point_range
    assert (bounds.from_value, bounds.to_value) == (1.0, 200.0)
    (bounds,) = node.describe_parameter('horizon').integer_range
    assert (bounds.from_value, bounds.to_value) == (1, 64)
    assert node.describe_parameter('mode').additional_constraints == 'one of hold, stop'


@pytest.mark.parametrize(
    ('overrides', 'words'),
    [
        ({'rate_hz': 500.0}, 'rate_hz'),
        ({'rate_hz': float('nan')}, 'rate_hz'),
        ({'horizon': 0}, 'horizon'),
        ({'horizon': 8.0}, 'horizon'),
        ({'rate_hz': 20}, 'rate_hz.*write 10.0, not 10'),
        ({'rate_hz': 'fast'}, 'rate_hz'),
        ({'loud': 1}, 'loud'),
        ({'names': 'primary'}, 'names'),
        ({'mode': 'jump'}, 'hold, stop'),
        ({'least': -1.0}, 'least'),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(make_node, overrides, words):
    with pytest.raises(ConfigError, match=f'/decoder_node.*{words}'):
        declare_parameters(make_node(**overrides), Example)


def test_a_structural_parameter_cannot_be_changed_while_the_node_runs(make_node):
    node = make_node()
    declare_parameters(node, Example)
    (result,) = node.set_parameters([Parameter('horizon', value=4)])
    assert not result.successful
    assert node.get_parameter('horizon').value == 8


def test_a_live_parameter_can_be_changed_within_its_range(make_node):
    node = make_node()
    declare_parameters(node, Example)
    good, bad = (node.set_parameters([Parameter('scale', value=v)])[0] for v in (0.25, 7.0))
    assert good.successful and not bad.successful
    assert node.get_parameter('scale').value == 0.25
