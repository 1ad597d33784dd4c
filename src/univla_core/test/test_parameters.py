"""Configuration: one dataclass, checked by name, type, range and choice."""

from dataclasses import dataclass
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from univla_core.errors import ConfigError
from univla_core.parameters import config_from_mapping
from univla_core.parameters import default_of
from univla_core.parameters import load_config
from univla_core.parameters import parameter
from univla_core.parameters import read_yaml


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A configuration with one field of each kind."""

    robot: str = parameter('widowx', 'Robot body', choices=('widowx', 'franka'))
    rate_hz: float = parameter(10.0, 'Rate [Hz]', low=1.0, high=100.0)
    horizon: int = parameter(8, 'Actions per chunk', low=1)
    enabled: bool = parameter(True, 'Whether it runs')
    topics: list[str] = parameter(['a', 'b'], 'Topics to hear')


def test_no_values_give_the_defaults():
    config = config_from_mapping(Sample, {}, 'test')
    assert config == Sample()
    assert config.topics == ['a', 'b']


def test_defaults_can_be_asked_without_an_instance():
    assert [default_of(field) for field in fields(Sample)] == ['widowx', 10.0, 8, True, ['a', 'b']]


def test_two_configs_do_not_share_a_list():
    first = Sample()
    first.topics.append('c')
    assert Sample().topics == ['a', 'b']


@given(st.floats(1.0, 100.0))
def test_values_in_range_arrive_unchanged(rate):
    assert config_from_mapping(Sample, {'rate_hz': rate}, 'test').rate_hz == rate


def test_a_whole_number_serves_as_a_float():
    rate = config_from_mapping(Sample, {'rate_hz': 20}, 'test').rate_hz
    assert rate == 20.0
    assert isinstance(rate, float)


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'rate': 5.0}, 'unknown key rate; known keys are robot, rate_hz'),
        ({'rate_hz': 0.5}, r'rate_hz is 0.5; it must lie in \[1.0, 100.0\]'),
        ({'rate_hz': float('nan')}, 'must lie in'),
        ({'rate_hz': 'fast'}, "rate_hz is 'fast'; write a float"),
        ({'horizon': 8.5}, 'write a int'),
        ({'horizon': True}, 'write a int'),
        ({'horizon': 0}, 'must lie in'),
        ({'enabled': 1}, 'write a bool'),
        ({'topics': 'a'}, 'write a list'),
        ({'robot': 'pr2'}, "robot is 'pr2'; choose one of widowx, franka"),
    ],
)
def test_what_does_not_fit_is_refused_with_source_and_remedy(values, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        config_from_mapping(Sample, values, 'here.yaml')
    assert str(caught.value).startswith('here.yaml')


def test_a_ros_parameter_file_is_read(tmp_path):
    path = tmp_path / 'node.yaml'
    path.write_text('/**:\n  ros__parameters:\n    robot: franka\n    rate_hz: 20.0\n')
    assert load_config(Sample, path) == Sample(robot='franka', rate_hz=20.0)


def test_a_file_without_the_section_gives_the_defaults(tmp_path):
    path = tmp_path / 'node.yaml'
    path.write_text('/other:\n  ros__parameters:\n    rate_hz: 20.0\n')
    assert load_config(Sample, path) == Sample()


@pytest.mark.parametrize(
    ('text', 'reason'),
    [('a: [1', 'not valid YAML'), ('- 1\n- 2\n', 'must hold a mapping'), ('', 'not NoneType')],
)
def test_files_that_are_no_mapping_are_refused(tmp_path, text, reason):
    path = tmp_path / 'wrong.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_yaml(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r'absent.yaml: cannot be read'):
        read_yaml(tmp_path / 'absent.yaml')
