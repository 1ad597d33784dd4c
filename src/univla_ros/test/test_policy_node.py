"""The policy node on a real executor: pictures and words in, latent actions out."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Int32MultiArray
from std_msgs.msg import String
from univla_core.errors import ObservationError
from univla_ros.conversions import header_to_msg
from univla_ros.conversions import latent_action_from_msg
from univla_ros.conversions import seconds_from_msg
from univla_ros.images import image_to_compressed_msg
from univla_ros.images import image_to_msg
from univla_ros.nodes.policy_node import PolicyNode
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR

from univla_msgs.msg import Heartbeat
from univla_msgs.msg import LatentAction

IMAGE = '/widowx/camera/primary/image_raw'
PICTURE = np.random.default_rng(0).integers(0, 250, (480, 640, 3), dtype=np.uint8)
BLACK = np.zeros((480, 640, 3), dtype=np.uint8)


SHOTS = itertools.count()


def taken():
    """A picture with one pixel of noise: a real camera never takes the same one twice."""
    shot = PICTURE.copy()
    shot.flat[next(SHOTS)] += 1
    return shot


@pytest.fixture
def desk(rig):
    """An active policy node with its publishers and what it says."""

    class Desk:
        def __init__(self, **values) -> None:
            # Plans on a busy test machine may take long, and pictures come as the test runs.
            calm = {'hang_timeout_s': 5.0, 'camera_timeout_periods': 20.0, 'plan_rate_hz': 20.0}
            self.node = rig.add(PolicyNode, 'widowx', allow_untrained=True, **{**calm, **values})
            self.policy = self.node._policy
            self.plans = rig.record(LatentAction, '/widowx/latent_action', PLAN)
            self.beats = rig.record(Heartbeat, '/widowx/policy/heartbeat', SENSOR)
            self.images = rig.publisher(Image, IMAGE, SENSOR)
            self.words = rig.publisher(String, '/widowx/instruction')
            self.codes = rig.publisher(Int32MultiArray, '/widowx/teleop/latent_code')

        def see(self, picture=None, stamp=None, encoding=''):
            picture = taken() if picture is None else picture
            msg = image_to_msg(picture, header_to_msg(rig.now() if stamp is None else stamp))
            msg.encoding = encoding or msg.encoding
            self.images.publish(msg)

        def watch(self, times=5, **kind):
            for _ in range(times):
                self.see(**kind)
                rig.spin(0.06)

        def plan(self, **kind):
            before = len(self.plans)

            def again():
                self.see(**kind)
                rig.spin(0.08)
                return len(self.plans) > before

            assert rig.until(again), 'no plan came'
            return self.plans[-1]

        def says(self, fault, timeout_s=3.0):
            """Whether the newest beat is of this fault, empty for a healthy one."""
            return rig.until(lambda: self.beats and self.beats[-1].fault == fault, timeout_s)

        def status(self, function):
            self.node.diagnostics.publish()
            return self.node.diagnostics._statuses[function]

    return Desk


def test_a_plan_carries_the_stamp_of_its_picture(desk, rig):
    """The controller places actions by this stamp, so it must be the camera's."""
    desk = desk()
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
    assert latent.codebook == desk.policy.codebook


def test_sequence_counts_plans_without_gaps(desk):
    """A gap tells a listener that it lost a plan."""
    desk = desk()
    desk.words.publish(String(data='reach the blue cube'))
    first, second = desk.plan().sequence, desk.plan().sequence
    assert second > first
    assert [m.sequence for m in desk.plans] == list(range(1, len(desk.plans) + 1))


def test_without_an_instruction_nothing_is_planned(desk, rig):
    """A robot without a task stays still; blank words are no task."""
    desk = desk()
    desk.words.publish(String(data='   '))
    for _ in range(5):
        desk.see()
        rig.spin(0.08)
    assert desk.plans == []
    assert desk.node._complaints['instruction'] == 1


def test_greedy_plans_repeat(desk):
    """The same picture and words give the same plan: history starts anew with the words."""
    desk = desk(frozen_pictures=0)
    codes = []
    for _ in range(2):
        desk.words.publish(String(data='pick up the green cube'))
        codes.append(latent_action_from_msg(desk.plan(picture=PICTURE)))
        desk.words.publish(String(data='something else'))
        desk.plan(picture=PICTURE)
    assert np.array_equal(codes[0].codes, codes[1].codes)
    assert np.allclose(codes[0].latent, codes[1].latent)


def test_the_next_plan_knows_the_one_before(desk, rig):
    """The prompt repeats the codes of the last plan; a new instruction starts without."""
    desk = desk(frozen_pictures=0)
    policy = desk.policy
    for words in ('pick up the green cube', 'reach the red cube'):
        desk.words.publish(String(data=words))
        desk.plan(picture=PICTURE), desk.plan(picture=PICTURE)
        planned = [m for m in desk.plans if m.instruction == words]
        first, second = map(latent_action_from_msg, planned[:2])
        alone = policy.plan(PICTURE, words)
        after = policy.plan(PICTURE, words, history_codes=first.codes)
        assert np.allclose(first.latent, alone.latent, atol=1e-5)
        assert np.allclose(second.latent, after.latent, atol=1e-5)
        assert not np.allclose(second.latent, alone.latent, atol=1e-3)


def test_tell_reaches_the_policy(desk, rig):
    """`univla tell` from another process sets the instruction."""
    desk = desk()
    command = [sys.executable, '-m', 'univla_ros.cli', 'tell', 'widowx', 'push the blue cube']
    teller = subprocess.Popen(command)
    assert rig.until(lambda: desk.node._planner.instruction == 'push the blue cube', 30.0)
    assert rig.until(lambda: teller.poll() is not None)
    assert teller.returncode == 0


def test_tell_says_when_nobody_listens():
    """An instruction into the void would look as if the robot refused."""
    command = [sys.executable, '-m', 'univla_ros.cli', 'tell', 'nobody', 'push the blue cube']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert 'no policy listens on /nobody/instruction' in ' '.join(done.stderr.split())


@pytest.mark.parametrize(
    ('kind', 'fault', 'complaint'),
    [
        ({'picture': PICTURE[::2]}, 'wrong_camera', 'sends 640x240 pictures, expected 640x480'),
        ({'stamp': 0.0}, 'wrong_camera', 'without a time stamp'),
        ({'encoding': 'bayer_rggb8'}, 'wrong_camera', "encoding 'bayer_rggb8'"),
        ({'picture': BLACK}, 'black_camera', 'camera primary is black'),
        ({'picture': PICTURE}, 'frozen_camera', 'camera primary repeats one picture'),
    ],
    ids=['size', 'stamp', 'encoding', 'black', 'frozen'],
)
def test_bad_pictures_are_not_planned_on_and_named(desk, kind, fault, complaint):
    """Heartbeat and /diagnostics say which camera and why, until a good picture comes."""
    desk = desk()
    desk.words.publish(String(data='reach the red cube'))
    desk.plan()
    desk.see(**kind)
    desk.watch(5, **kind)
    before = len(desk.plans)
    desk.watch(5, **kind)
    assert len(desk.plans) == before
    assert desk.says(fault)
    assert complaint in desk.beats[-1].reason and not desk.beats[-1].healthy
    status = desk.status('observation/primary')
    assert status.level == DiagnosticStatus.ERROR and complaint in status.message
    dropped = {v.key: v.value for v in status.values}
    assert int(dropped['dropped']) >= 9
    desk.plan()
    assert desk.says('')
    assert desk.status('observation/primary').level == DiagnosticStatus.OK


def test_a_stale_picture_is_not_planned_on(desk, rig):
    """A camera that lags by a second shows a world that is gone."""
    desk = desk()
    desk.words.publish(String(data='reach the red cube'))
    for _ in range(4):
        desk.see(stamp=rig.now() - 1.0)
        rig.spin(0.06)
    assert desk.plans == []
    assert desk.says('stale_camera')
    assert 'newest picture is 1.' in desk.beats[-1].reason


def test_a_camera_that_was_never_heard_is_missing(desk):
    desk = desk()
    assert desk.says('missing_camera')
    assert 'no picture from camera primary yet' in desk.beats[-1].reason
    status = desk.status('observation/primary')
    assert status.level == DiagnosticStatus.STALE and 'camera primary' in status.message


def test_a_camera_that_falls_silent_is_named(desk, rig):
    """No picture wakes no callback; the heartbeat tells all the same."""
    desk = desk(camera_timeout_periods=4.0)
    desk.words.publish(String(data='reach the red cube'))
    desk.plan()
    rig.spin(0.5)
    assert desk.says('stale_camera')
    assert 'no picture from camera primary for' in desk.beats[-1].reason
    assert desk.status('observation/primary').level == DiagnosticStatus.STALE
    assert 'camera primary' in desk.status('inference').message


def test_a_new_fault_is_told_at_once_and_silence_is_found_in_time(desk, rig):
    """Between two beats lie 25 ms; a fault does not wait for the next one."""
    desk = desk(camera_timeout_periods=3.0)  # 0.2 s at 15 Hz
    delays = []
    for _ in range(5):
        desk.watch(2)
        assert desk.says('')
        begin = rig.now()
        desk.see(BLACK)
        assert desk.says('black_camera')
        stamps = [seconds_from_msg(b.header.stamp) for b in desk.beats if b.fault]
        delays.append(min(stamp for stamp in stamps if stamp > begin) - begin)
    assert np.median(delays) < 0.05
    desk.watch(2)
    begin = rig.now()
    assert desk.says('stale_camera')
    assert rig.now() - begin < 0.5


def test_without_a_task_the_node_is_healthy_and_says_that_it_waits(desk):
    desk = desk()
    desk.watch(3)
    assert desk.says('')
    assert desk.beats[-1].healthy and desk.beats[-1].reason == 'waiting for an instruction'
    status = desk.status('inference')
    assert (status.level, status.message) == (DiagnosticStatus.OK, 'waiting for an instruction')


def test_beats_come_in_time_while_planning_and_end_with_a_farewell(desk, rig):
    """Half a second of callbacks that do not return delays no beat."""
    desk = desk()
    desk.words.publish(String(data='reach the red cube'))
    desk.plan()
    first = len(desk.beats)
    heart = desk.node._heartbeat
    before, begin = heart.beats, time.monotonic()
    for _ in range(10):
        desk.watch(1)
    busy = time.monotonic()
    while time.monotonic() - busy < 0.5:
        pass
    assert heart.beats - before > 0.5 * 40.0 * (time.monotonic() - begin)
    assert len(desk.beats) > first
    assert desk.node.trigger_deactivate()
    assert desk.says('policy_silent')
    said = heart.beats
    rig.spin(0.2)
    assert heart.beats == said
    assert desk.status('heartbeat').level == DiagnosticStatus.STALE
    assert desk.status('observation/primary').level == DiagnosticStatus.STALE


class Troubled:
    """A policy that hangs or refuses when told to."""

    def __init__(self, policy) -> None:
        self._policy = policy
        self.sleep_s, self.error = 0.0, None

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def plan(self, *arguments, **options):
        time.sleep(self.sleep_s)
        if self.error is not None:
            raise self.error
        return self._policy.plan(*arguments, **options)


@pytest.fixture
def troubled(desk):
    """A desk whose policy can be given trouble."""
    made = desk(hang_timeout_s=0.3)
    made.trouble = made.node._planner._policy = Troubled(made.policy)
    made.words.publish(String(data='reach the red cube'))
    made.plan()
    return made


def test_a_plan_that_hangs_is_told_while_it_lasts(troubled, rig):
    """It may still be followed afterwards: the controller places it in time, or refuses it."""
    troubled.trouble.sleep_s = 1.0
    troubled.watch(8)
    assert troubled.says('policy_hang')
    assert troubled.status('inference').level == DiagnosticStatus.ERROR
    troubled.trouble.sleep_s = 0.0
    assert rig.until(lambda: (troubled.watch(1), troubled.beats[-1].healthy)[1])
    assert troubled.node._complaints['late'] == 1
    troubled.plan()
    assert troubled.says('')


def test_an_error_of_the_policy_lasts_until_a_plan_succeeds(troubled):
    troubled.trouble.error = ObservationError('the prompt is too long; say it shorter')
    before = len(troubled.plans)
    troubled.watch(5)
    assert troubled.says('policy_error')
    assert 'say it shorter' in troubled.beats[-1].reason
    assert troubled.status('inference').level == DiagnosticStatus.ERROR
    assert len(troubled.plans) - before <= 1
    troubled.trouble.error = None
    troubled.plan()
    assert troubled.says('')


def test_a_mistake_that_ends_planning_is_no_silence(troubled):
    """Out of memory, say: nothing plans any more, and the heartbeat says so for ever."""
    troubled.trouble.error = RuntimeError('out of memory')
    troubled.watch(5)
    troubled.trouble.error = None
    troubled.watch(5)
    assert troubled.says('policy_error')
    assert 'RuntimeError: out of memory' in troubled.beats[-1].reason
    assert troubled.node.trigger_deactivate() and troubled.node.trigger_activate()
    troubled.plan()
    assert troubled.says('')


def test_a_plan_whose_observation_goes_bad_meanwhile_is_dropped(troubled, rig):
    """The lens is covered while the policy still thinks about what it saw before."""
    troubled.trouble.sleep_s = 0.2
    rig.spin(0.3)
    before = len(troubled.plans)
    troubled.see()
    rig.spin(0.05)
    troubled.watch(6, picture=BLACK)
    assert len(troubled.plans) == before
    assert troubled.node._complaints['bad observation'] == 1


def test_a_person_may_pick_the_codes_without_any_words(desk, rig):
    """One entry stands for all; when nobody repeats it, the policy is silent again."""
    desk = desk(frozen_pictures=0)

    def again():
        desk.codes.publish(Int32MultiArray(data=[5]))
        desk.watch(1, picture=PICTURE)
        return len(desk.plans) > 2

    assert rig.until(again)
    msg = desk.plans[-1]
    latent = latent_action_from_msg(msg)
    assert (msg.source, msg.instruction) == ('teleop', '')
    assert latent.codes.tolist() == [5, 5, 5, 5]
    assert desk.beats[-1].healthy
    assert '[5, 5, 5, 5] are picked' in desk.status('teleop/latent_code').message
    wanted = desk.policy.plan(PICTURE, '', codes=[5], history_codes=latent.codes)
    assert np.allclose(latent.latent, wanted.latent, atol=1e-5)
    rig.spin(0.4)
    before = len(desk.plans)
    desk.watch(5)
    assert len(desk.plans) == before


def test_the_policy_goes_on_when_the_person_lets_go(desk, rig):
    desk = desk()
    desk.words.publish(String(data='reach the red cube'))
    assert desk.plan().source == 'policy'
    for _ in range(8):
        desk.codes.publish(Int32MultiArray(data=[0, 1, 2, 15]))
        desk.watch(1)
    assert desk.plans[-1].source == 'teleop'
    assert list(desk.plans[-1].codes) == [0, 1, 2, 15]
    assert desk.plans[-1].instruction == 'reach the red cube'
    rig.spin(0.4)
    assert desk.plan().source == 'policy'


@pytest.mark.parametrize('codes', [[16], [-1], [1, 2], []])
def test_codes_outside_the_vocabulary_are_dropped_and_told(desk, rig, codes):
    desk = desk()
    desk.codes.publish(Int32MultiArray(data=codes))
    assert rig.until(lambda: desk.node._complaints['picked codes'])
    status = desk.status('teleop/latent_code')
    assert status.level == DiagnosticStatus.WARN and 'were picked' in status.message
    desk.watch(3)
    assert desk.plans == []
    assert desk.status('teleop/latent_code').level == DiagnosticStatus.OK


def test_diagnostics_hold_rates_and_latencies_against_their_budget(desk):
    desk = desk()
    desk.words.publish(String(data='reach the red cube'))
    desk.plan(), desk.plan(), desk.plan()
    values = {v.key: float(v.value) for v in desk.status('inference').values}
    assert 0.0 < values['latency median [s]'] <= values['latency p95 [s]']
    assert values['latency budget [s]'] == 0.2 and values['rate [Hz]'] > 0.0
    values = {v.key: float(v.value) for v in desk.status('observation/primary').values}
    assert values['expected rate [Hz]'] == 15.0 and 1.0 < values['rate [Hz]'] < 20.0
    values = {v.key: float(v.value) for v in desk.status('heartbeat').values}
    assert values['rate [Hz]'] > 10.0 and values['longest gap [s]'] > 0.0


def test_compressed_pictures_are_planned_on(rig):
    """A lab that sends JPEG over Wi-Fi uses the same node."""
    rig.add(
        PolicyNode,
        'widowx',
        allow_untrained=True,
        image_transport='compressed',
        camera_timeout_periods=20.0,
        hang_timeout_s=5.0,
    )
    plans = rig.record(LatentAction, '/widowx/latent_action', PLAN)
    images = rig.publisher(CompressedImage, f'{IMAGE}/compressed', SENSOR)
    rig.publisher(String, '/widowx/instruction').publish(String(data='reach the red cube'))

    def see():
        images.publish(image_to_compressed_msg(taken(), header_to_msg(rig.now())))
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
