"""The sim node on a real executor: cameras, truth about the task, and the clock."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from std_msgs.msg import String
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_ros.images import image_from_msg
from univla_ros.nodes.sim_node import SimNode
from univla_ros.qos import STATUS


@pytest.mark.parametrize('robot', robot_names())
def test_every_robot_shows_its_camera(rig, robot):
    """Size and rate are those of the robot's YAML; the picture is not empty."""
    rig.add(SimNode, robot)
    camera = load_embodiment(robot).cameras['primary']
    images = rig.record(Image, f'/{robot}/camera/primary/image_raw')
    infos = rig.record(CameraInfo, f'/{robot}/camera/primary/camera_info')
    assert rig.until(lambda: len(images) > 3 and infos)
    picture = image_from_msg(images[-1])
    assert picture.shape == (camera.height, camera.width, 3)
    assert picture.std() > 10.0
    assert images[-1].header.frame_id.endswith('camera_primary_optical_frame')
    stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in images]
    assert (np.diff(stamps) > 0.0).all()
    assert infos[-1].k[0] == pytest.approx(infos[-1].k[4])


def test_the_truth_follows_the_instruction(rig):
    """The outcome names the task and object that the newest instruction names."""
    rig.add(SimNode, 'widowx')
    outcomes = rig.record(DiagnosticStatus, '/widowx/sim/outcome', STATUS)
    rig.publisher(String, '/widowx/instruction').publish(String(data='reach the blue cube'))
    assert rig.until(lambda: outcomes)
    values = {value.key: value.value for value in outcomes[-1].values}
    assert (values['task'], values['target']) == ('reach', 'blue_cube')
    assert values['success'] == 'False'
    assert float(values['distance [m]']) > 0.0


def test_simulated_time_is_published_on_request(rig):
    """With publish_clock the graph can run on use_sim_time."""
    rig.add(SimNode, 'mobile_base', publish_clock=True)
    clocks = rig.record(Clock, '/clock')
    assert rig.until(lambda: len(clocks) > 20)
    times = np.array([c.clock.sec + 1e-9 * c.clock.nanosec for c in clocks])
    assert (np.diff(times) >= 0.0).all()
    assert times[-1] > times[0]
