"""The recorder reads commands off whatever topic a robot's driver has."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import rclpy
from univla_control.command import Command
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_ros.command_recorder import CommandRecorder
from univla_ros.command_recorder import record_commands
from univla_ros.drivers import load_driver

ROBOTS = [(name, {}) for name in robot_names()] + [
    ('airbot', {'profile': 'airbot_ros1'}),
    ('airbot', {'profile': 'forward_controller'}),
    ('mobile_base', {'stamped': False}),
]


@pytest.mark.parametrize(('robot', 'options'), ROBOTS)
def test_what_the_adapter_sends_is_recorded_with_its_time(rig, robot, options):
    body = load_embodiment(robot)
    body = dataclasses.replace(body, driver={**body.driver, **options})
    node = rclpy.create_node('controller_node')
    driver = load_driver(node, body)
    recorder = record_commands(rig.probe, body)
    driver.activate(0.02)
    assert rig.until(lambda: driver._publishers[0].get_subscription_count())
    count = body.axis_count
    values = 0.01 * np.arange(1, count + 1)
    arm = body.kind == 'arm'
    before = rig.now()
    for scale in (1.0, 2.0, 3.0):
        driver.send(
            Command(
                time=0.0,
                positions=scale * values if arm else np.zeros(0),
                velocities=np.zeros(count) if arm else scale * values,
                accelerations=np.zeros(count),
                gripper_opening=None,
                twist=None,
                source='policy',
                limit_use=0.0,
                chunk_sequence=0,
                chunk_step=-1,
            ),
            None,
        )
        rig.spin(0.05)
    assert rig.until(lambda: len(recorder.values) == 3)
    np.testing.assert_allclose(recorder.values[2], 3.0 * values, rtol=1e-6)
    assert before <= recorder.times[0] <= recorder.times[2] <= rig.now()
    assert (recorder.gaps() > 0.03).all()
    driver.close()
    node.destroy_node()


def test_gaps_are_the_times_between_commands():
    recorder = CommandRecorder(times=[1.0, 1.02, 1.05])
    np.testing.assert_allclose(recorder.gaps(), [0.02, 0.03])


@pytest.mark.parametrize('options', [{'adapter': 'urscript'}, {'profile': 'airbot_py'}])
def test_a_driver_without_a_command_topic_is_refused(rig, options):
    body = load_embodiment('airbot')
    body = dataclasses.replace(body, driver={**body.driver, **options})
    with pytest.raises(ConfigError):
        record_commands(rig.probe, body)
