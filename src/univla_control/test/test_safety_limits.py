"""Limits are tightened by parameters, and never loosened past the maker's."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.safety_limits import SafetySettings
from univla_control.safety_limits import safety_limits
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError


@pytest.mark.parametrize('name', robot_names())
def test_without_settings_the_robot_yaml_counts(name):
    """Defaults stand once, in the YAML of the robot."""
    robot = load_embodiment(name)
    limits, cartesian = safety_limits(robot, SafetySettings())
    assert np.array_equal(limits.velocity, robot.limits.velocity)
    assert (cartesian is None) is (robot.kind == 'base')
    if cartesian is not None:
        assert cartesian.ee_speed == robot.cartesian.ee_speed
        assert np.array_equal(cartesian.workspace_lower, robot.cartesian.workspace_lower)


@pytest.mark.parametrize('name', robot_names())
@pytest.mark.parametrize('share', [0.2, 0.9, 1.0])
@pytest.mark.parametrize('scale', [0.05, 1.0])
def test_no_setting_leaves_the_maker_s_limits(name, share, scale):
    """A share of 1 is the maker's limit, or the YAML's tighter operating set."""
    robot = load_embodiment(name)
    limits, _ = safety_limits(robot, SafetySettings(limit_share=share, speed_scale=scale))
    maker = robot.maker_limits
    assert (limits.velocity <= scale * share * maker.velocity * (1.0 + 1e-12)).all()
    assert (limits.acceleration <= share * maker.acceleration * (1.0 + 1e-12)).all()
    assert (limits.lower >= maker.lower - 1e-12).all()
    assert (limits.upper <= maker.upper + 1e-12).all()


@pytest.mark.parametrize(
    ('setting', 'says'),
    [
        ({'ee_speed_mps': 3.1}, 'maker'),
        ({'ee_rotation_radps': 2.6}, 'maker'),
        ({'workspace_lower_m': [0.0, 0.0]}, 'three finite numbers'),
        ({'workspace_upper_m': [0.0, 0.0, float('nan')]}, 'three finite numbers'),
        ({'workspace_lower_m': [5.0, 0.0, 0.0]}, 'would be empty'),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting, says):
    """FR3: 3.0 m/s and 2.5 rad/s are the maker's."""
    with pytest.raises(ConfigError, match=says):
        safety_limits(load_embodiment('franka'), SafetySettings(**setting))


def test_a_box_is_cut_out_of_the_robot_s_own():
    """Wider than the YAML's changes nothing, narrower counts."""
    robot = load_embodiment('widowx')
    asked = SafetySettings(workspace_lower_m=[-9.0, -0.1, 0.02])
    _, cartesian = safety_limits(robot, asked)
    own = robot.cartesian
    assert cartesian.workspace_lower.tolist() == [own.workspace_lower[0], -0.1, 0.02]
    assert np.array_equal(cartesian.workspace_upper, own.workspace_upper)
