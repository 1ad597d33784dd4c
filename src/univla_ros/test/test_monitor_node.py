"""The monitor node on a real executor: picture, markers, transforms."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_ros.conversions import action_chunk_to_msg
from univla_ros.conversions import header_to_msg
from univla_ros.images import image_from_msg
from univla_ros.images import image_to_msg
from univla_ros.nodes.monitor_node import MonitorNode
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR
from univla_ros.qos import STATUS
from visualization_msgs.msg import MarkerArray

from univla_msgs.msg import ActionChunk as ActionChunkMsg

ROBOT = load_embodiment('widowx')


@pytest.fixture
def view(rig):
    """An active monitor that has heard one joint state."""

    class View:
        def __init__(self) -> None:
            self.transforms = rig.record(TFMessage, '/tf')
            self.fixed = rig.record(TFMessage, '/tf_static', STATUS)
            self.markers = rig.record(MarkerArray, '/widowx/markers')
            self.images = rig.record(Image, '/widowx/monitor/image')
            self.descriptions = rig.record(String, '/widowx/robot_description', STATUS)
            self.node = rig.add(MonitorNode, 'widowx', simulated_camera=True)
            joints = rig.publisher(JointState, '/wx250s/joint_states')
            msg = JointState(name=[*ROBOT.axis_names, 'left_finger'])
            msg.position = [*ROBOT.home.tolist(), 0.037]
            msg.header = header_to_msg(rig.now())
            joints.publish(msg)
            assert rig.until(lambda: self.node._state)

        def plan(self):
            data = np.zeros((5, 7))
            data[:, 2] = 0.02
            chunk = ActionChunk(
                robot='widowx',
                action_space='eef_delta',
                names=ROBOT.action_names('eef_delta'),
                data=data,
                step_duration_s=0.1,
                stamp=rig.now(),
                sequence=1,
            )
            publisher = rig.publisher(ActionChunkMsg, '/widowx/action_chunk', PLAN)
            publisher.publish(action_chunk_to_msg(chunk))
            assert rig.until(lambda: self.markers)

    return View()


def test_transforms_lead_from_base_to_end_effector(view, rig):
    """Walking /tf and /tf_static gives the forward kinematics of the measured joints."""
    assert rig.until(lambda: view.transforms and view.fixed)
    edges = {
        t.child_frame_id: t for m in (view.transforms[-1], view.fixed[-1]) for t in m.transforms
    }
    place, frame = np.zeros(3), 'wx250s/ee_gripper_link'
    while frame != 'wx250s/base_link':
        edge = edges[frame].transform
        q = edge.rotation
        v = np.array([q.x, q.y, q.z])
        turned = place + 2.0 * np.cross(v, np.cross(v, place) + q.w * place)
        step = edge.translation
        place = turned + np.array([step.x, step.y, step.z])
        frame = edges[frame].header.frame_id
    assert np.allclose(place, ROBOT.chain.forward(ROBOT.home)[:3, 3], atol=1e-9)


def test_every_link_of_the_description_has_a_transform(view, rig):
    """RViz's robot model needs each link's frame under the same name."""
    assert rig.until(lambda: view.transforms and view.fixed and view.descriptions)
    root = ElementTree.fromstring(view.descriptions[-1].data)
    links = {link.get('name') for link in root.iter('link')}
    known = {t.child_frame_id for m in (view.transforms[-1], view.fixed[-1]) for t in m.transforms}
    assert links - known == {'wx250s/base_link'}


def test_markers_show_the_planned_path(view):
    """Five steps of 2 cm up: the line ends 10 cm above where it began, in the base frame."""
    view.plan()
    line = view.markers[-1].markers[0]
    assert line.header.frame_id == 'wx250s/base_link'
    assert len(line.points) == 6
    assert line.points[-1].z - line.points[0].z == pytest.approx(0.10)


def test_the_picture_shows_the_plan(view, rig):
    """The annotated picture differs from the camera's where the path runs, and keeps its stamp."""
    view.plan()
    grey = np.full((480, 640, 3), 128, dtype=np.uint8)
    publisher = rig.publisher(Image, '/widowx/camera/primary/image_raw', SENSOR)
    assert rig.until(view.node._image_publisher.get_subscription_count)

    def see():
        publisher.publish(image_to_msg(grey, header_to_msg(12.5)))
        rig.spin(0.05)
        return view.images

    assert rig.until(see)
    picture = image_from_msg(view.images[-1])
    assert view.images[-1].header.stamp.sec == 12
    middle = view.node._overlay.path.mean(axis=0).astype(int)
    patch = picture[middle[1] - 6 : middle[1] + 6, middle[0] - 6 : middle[0] + 6]
    assert (patch != 128).any()
    assert (picture[:44] < 128).any()
