"""The policy node on a real executor: pictures and words in, latent actions out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import String
from univla_ros.conversions import header_to_msg
from univla_ros.conversions import latent_action_from_msg
from univla_ros.conversions import seconds_from_msg
from univla_ros.images import image_to_compressed_msg
from univla_ros.images import image_to_msg
from univla_ros.nodes.policy_node import PolicyNode
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR

from univla_msgs.msg import LatentAction

IMAGE = '/widowx/camera/primary/image_raw'
PICTURE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)


@pytest.fixture
def desk(rig):
    """An active policy node with its publishers and the plans it makes."""

    class Desk:
        def __init__(self) -> None:
            self.node = rig.add(PolicyNode, 'widowx', allow_untrained=True, plan_rate_hz=20.0)
            self.plans = rig.record(LatentAction, '/widowx/latent_action', PLAN)
            self.images = rig.publisher(Image, IMAGE, SENSOR)
            self.words = rig.publisher(String, '/widowx/instruction')

        def see(self, picture=PICTURE, stamp=None, encoding=''):
            msg = image_to_msg(picture, header_to_msg(rig.now() if stamp is None else stamp))
            msg.encoding = encoding or msg.encoding
            self.images.publish(msg)
            return msg

        def plan(self, **kind):
            before = len(self.plans)

            def again():
                self.sent = self.see(**kind)
                rig.spin(0.08)
                return len(self.plans) > before

            assert rig.until(again), 'no plan came'
            return self.plans[-1]

    return Desk()


def test_a_plan_carries_the_stamp_of_its_picture(desk, rig):
    """The controller places actions by this stamp, so it must be the camera's."""
    desk.words.publish(String(data='pick up the red cube'))
    msg = desk.plan()
    latent = latent_action_from_msg(msg)
    assert seconds_from_msg(msg.header.stamp) <= seconds_from_msg(msg.plan_start)
    assert latent.plan_start < latent.plan_stop
    assert latent.codes.shape == (4,)
    assert ((latent.codes >= 0) & (latent.codes < 16)).all()
    assert latent.latent.shape[0] == 4
    assert latent.visual.shape[0] == 256
    assert latent.instruction == 'pick up the red cube'
    assert latent.codebook == desk.node._policy.codebook


def test_sequence_counts_plans_without_gaps(desk):
    """A gap tells a listener that it lost a plan."""
    desk.words.publish(String(data='reach the blue cube'))
    first, second = desk.plan().sequence, desk.plan().sequence
    assert second > first
    assert [m.sequence for m in desk.plans] == list(range(1, len(desk.plans) + 1))


def test_without_an_instruction_nothing_is_planned(desk, rig):
    """A robot without a task stays still; blank words are no task."""
    desk.words.publish(String(data='   '))
    for _ in range(5):
        desk.see()
        rig.spin(0.08)
    assert desk.plans == []
    assert desk.node._dropped['instruction'] == 1


def test_greedy_plans_repeat(desk):
    """The same picture and words give the same plan: history starts anew with the words."""
    codes = []
    for _ in range(2):
        desk.words.publish(String(data='pick up the green cube'))
        codes.append(latent_action_from_msg(desk.plan()))
        desk.words.publish(String(data='something else'))
        desk.plan()
    assert np.array_equal(codes[0].codes, codes[1].codes)
    assert np.allclose(codes[0].latent, codes[1].latent)


def test_the_next_plan_knows_the_one_before(desk, rig):
    """The prompt repeats the codes of the last plan; a new instruction starts without."""
    policy = desk.node._policy
    for words in ('pick up the green cube', 'reach the red cube'):
        desk.words.publish(String(data=words))
        desk.plan(), desk.plan()
        planned = [m for m in desk.plans if m.instruction == words]
        first, second = map(latent_action_from_msg, planned[:2])
        alone = policy.plan(PICTURE, words)
        after = policy.plan(PICTURE, words, history_codes=first.codes)
        assert np.allclose(first.latent, alone.latent, atol=1e-5)
        assert np.allclose(second.latent, after.latent, atol=1e-5)
        assert not np.allclose(second.latent, alone.latent, atol=1e-3)


def test_tell_reaches_the_policy(desk, rig):
    """`univla tell` from another process sets the instruction."""
    command = [sys.executable, '-m', 'univla_ros.cli', 'tell', 'widowx', 'push the blue cube']
    teller = subprocess.Popen(command)
    assert rig.until(lambda: desk.node._instruction == 'push the blue cube', 30.0)
    assert rig.until(lambda: teller.poll() is not None)
    assert teller.returncode == 0


def test_tell_says_when_nobody_listens():
    """An instruction into the void would look as if the robot refused."""
    command = [sys.executable, '-m', 'univla_ros.cli', 'tell', 'nobody', 'push the blue cube']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert 'no policy listens on /nobody/instruction' in ' '.join(done.stderr.split())


@pytest.mark.parametrize(
    ('kind', 'complaint'),
    [
        ({'picture': PICTURE[::2]}, 'sends 640x240 pictures, expected 640x480'),
        ({'stamp': 0.0}, 'without a time stamp'),
        ({'encoding': 'bayer_rggb8'}, "encoding 'bayer_rggb8'"),
    ],
)
def test_bad_pictures_are_dropped_counted_and_named(desk, rig, kind, complaint):
    """Nothing is filled in; /diagnostics says which camera and why."""
    desk.words.publish(String(data='reach the red cube'))
    for _ in range(4):
        desk.see(**kind)
        rig.spin(0.06)
    assert desk.plans == []
    assert desk.node._dropped['primary'] >= 1
    status = desk.node.diagnostics._statuses['observation/primary']
    assert complaint in status.message


def test_a_stale_picture_is_not_planned_on(desk, rig):
    """A camera that lags by a second shows a world that is gone."""
    desk.words.publish(String(data='reach the red cube'))
    for _ in range(4):
        desk.see(stamp=rig.now() - 1.0)
        rig.spin(0.06)
    assert desk.plans == []
    assert 'old' in desk.node.diagnostics._statuses['observation/observation'].message


def test_a_camera_that_falls_silent_is_named(desk, rig):
    """No picture wakes no callback; /diagnostics tells all the same."""
    desk.words.publish(String(data='reach the red cube'))
    desk.plan()
    rig.spin(0.5)
    desk.node.diagnostics.publish()
    status = desk.node.diagnostics._statuses['inference']
    assert 'camera primary: newest picture is' in status.message


def test_compressed_pictures_are_planned_on(rig):
    """A lab that sends JPEG over Wi-Fi uses the same node."""
    rig.add(PolicyNode, 'widowx', allow_untrained=True, image_transport='compressed')
    plans = rig.record(LatentAction, '/widowx/latent_action', PLAN)
    images = rig.publisher(CompressedImage, f'{IMAGE}/compressed', SENSOR)
    rig.publisher(String, '/widowx/instruction').publish(String(data='reach the red cube'))

    def see():
        images.publish(image_to_compressed_msg(PICTURE, header_to_msg(rig.now())))
        rig.spin(0.1)
        return plans

    assert rig.until(see)


@pytest.mark.parametrize(
    ('values', 'complaint'),
    [
        ({'checkpoint': 'nowhere'}, "no checkpoint 'nowhere'"),
        ({'policy': 'gpt'}, "unknown policy 'gpt'; known are univla"),
        ({'robot': 'r2d2'}, "unknown robot 'r2d2'; known are airbot"),
        ({'cameras': ['wrist']}, 'has no camera wrist; its cameras are primary'),
        ({'device': 'cuda:7'}, 'cuda'),
        ({'allow_untrained': False}, 'untrained and must not move a real robot'),
    ],
)
def test_what_does_not_fit_refuses_to_configure(rig, values, complaint):
    """The error says what, where and how to mend; the node stays unconfigured."""
    given = {'allow_untrained': True, **values}
    robot = given.pop('robot', 'widowx')
    if robot == 'r2d2':
        from rclpy.parameter import Parameter

        node = PolicyNode(parameter_overrides=[Parameter('robot', value=robot)])
        rig.nodes.append(node)
    else:
        node = rig.add(PolicyNode, robot, start=False, **given)
    assert not node.start()
    assert complaint in node.last_error
