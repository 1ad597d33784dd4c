"""A simulated robot that fails on demand: camera noise, broken pictures, broken measurements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_ros.images import image_from_msg
from univla_ros.nodes.sim_node import SimNode
from univla_ros.qos import EVENT
from univla_ros.sim_drivers.camera_noise import CameraNoise
from univla_ros.sim_drivers.faults import check_fault
from univla_ros.sim_drivers.faults import misplaced


def test_noise_moves_every_picture_by_a_few_levels():
    """Standard deviation as asked, mean kept, never more than three sigmas, never twice alike."""
    noise = CameraNoise(120, 160, 1.0, seed=3)
    picture = np.full((120, 160, 3), 128, np.uint8)
    noisy = [noise.add(picture) for _ in range(20)]
    difference = noisy[0].astype(int) - 128
    assert abs(difference.mean()) < 0.02
    assert difference.std() == pytest.approx(1.0, abs=0.1)
    assert abs(difference).max() <= 3
    assert all((a != b).mean() > 0.3 for a, b in itertools.pairwise(noisy))


@pytest.mark.parametrize('level', [0, 255])
def test_noise_never_wraps_around(level):
    """Black does not become white."""
    noisy = CameraNoise(30, 40, 1.0, seed=0).add(np.full((30, 40, 3), level, np.uint8))
    assert abs(noisy.astype(int) - level).max() <= 6


def test_noise_repeats_with_its_seed_and_can_be_left_out():
    picture = np.full((30, 40, 3), 90, np.uint8)
    pairs = [CameraNoise(30, 40, 2.0, seed) for seed in (1, 1, 2)]
    first, same, other = [[noise.add(picture) for _ in range(5)] for noise in pairs]
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert np.array_equal(CameraNoise(30, 40, 0.0, 1).add(picture), picture)


def test_misplaced_joints_keep_the_gripper():
    """Joints 1 2 3 under the names of their neighbours; what follows them stays."""
    assert misplaced([1.0, 2.0, 3.0, 0.5], 3) == [3.0, 1.0, 2.0, 0.5]


def test_an_unknown_fault_lists_the_known_ones():
    with pytest.raises(ConfigError, match='camera_stall, camera_freeze'):
        check_fault('camera_stal')
    assert check_fault('') == ''


class Robot:
    """A simulated robot that can be broken."""

    def __init__(self, rig, robot):
        self._rig, self.name = rig, robot
        rig.add(SimNode, robot)
        self._publisher = rig.publisher(String, f'/{robot}/sim/fault', EVENT)

    def breaks(self, fault):
        """Break it and wait until what was under way has arrived."""
        self._publisher.publish(String(data=fault))
        self._rig.spin(0.3)


def test_a_camera_stalls_freezes_and_is_covered_on_demand(rig):
    """Healthy pictures differ; frozen ones do not, but have new stamps; black is not zero."""
    robot = Robot(rig, 'mobile_base')
    images = rig.record(Image, '/mobile_base/camera/primary/image_raw', 5)

    def shown(count=3):
        images.clear()
        assert rig.until(lambda: len(images) >= count)
        return [image_from_msg(msg) for msg in images]

    healthy = shown()
    assert not np.array_equal(healthy[0], healthy[1])
    robot.breaks('camera_freeze')
    frozen = shown()
    assert np.array_equal(frozen[0], frozen[-1])
    assert images[0].header.stamp != images[-1].header.stamp
    robot.breaks('camera_black')
    black = shown()
    assert black[0].max() <= 6
    assert not np.array_equal(black[0], black[1])
    robot.breaks('camera_stall')
    images.clear()
    rig.spin(0.5)
    assert not images
    robot.breaks('')
    assert shown()[0].std() > 10.0


def test_joint_states_stall_and_lie_on_demand(rig):
    """Other names, not a number, silence, and healthy again."""
    robot = Robot(rig, 'widowx')
    topic = load_embodiment('widowx').driver
    states = rig.record(JointState, f'{topic["namespace"]}/joint_states')

    def told():
        states.clear()
        assert rig.until(lambda: states)
        return np.array(states[0].position)

    count = load_embodiment('widowx').axis_count
    healthy = told()
    robot.breaks('joint_order')
    assert told()[:count] == pytest.approx(misplaced(healthy.tolist(), count)[:count], abs=0.02)
    robot.breaks('joint_nan')
    assert np.isnan(told()).all()
    robot.breaks('joint_stall')
    states.clear()
    rig.spin(0.3)
    assert not states
    robot.breaks('')
    assert told() == pytest.approx(healthy, abs=0.02)


def test_an_unknown_fault_changes_nothing(rig):
    robot = Robot(rig, 'mobile_base')
    images = rig.record(Image, '/mobile_base/camera/primary/image_raw', 5)
    robot.breaks('camera_stall')
    robot.breaks('camera_storm')
    images.clear()
    rig.spin(0.3)
    assert not images
