"""Episodes recorded by the real node over DDS from publishers that stand for a robot's graph."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaml
from rclpy.action import ActionClient
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from sensor_msgs.msg import Joy
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from trajectory_msgs.msg import JointTrajectoryPoint
from typer.testing import CliRunner
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory
from univla_data.bag import Bag
from univla_data.episode_reader import read_episode
from univla_data.episode_reader import read_provenance
from univla_ros.conversions import header_to_msg
from univla_ros.graph import build_graph
from univla_ros.images import image_to_msg
from univla_ros.nodes.controller_node import ControllerNode
from univla_ros.nodes.recorder_node import RecorderNode
from univla_ros.qos import EVENT
from univla_ros.qos import STATUS
from univla_ros.recorder import client
from univla_ros.recorder.cli import record
from univla_ros.supervisor import node_command

from univla_msgs.action import RecordEpisode
from univla_msgs.msg import ControlState
from univla_msgs.msg import EpisodeStatus
from univla_ros import operator_inputs

ROBOT = load_embodiment('widowx')
SPACE = '/widowx'
CAMERA, STATES, COMMANDS = f'{SPACE}/camera/primary/image_raw', '/wx250s/joint_states', 'command'
PICTURE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)


class Robot:
    """Publishes what a WidowX and its controller publish; `silent` names topics that are not."""

    def __init__(self, rig) -> None:
        self.rig, self.silent, self.pictures = rig, set(), 0
        probe = rig.probe
        self._camera = probe.create_publisher(Image, CAMERA, 2)
        self._states = probe.create_publisher(JointState, STATES, 10)
        self._commands = probe.create_publisher(JointTrajectory, f'{SPACE}/command', 10)
        self._control = probe.create_publisher(ControlState, f'{SPACE}/control_state', STATUS)
        self.instruction = probe.create_publisher(String, f'{SPACE}/instruction', EVENT)
        self._timers_of_robot = [
            probe.create_timer(1 / 15, self._see),
            probe.create_timer(1 / 60, self._move),
            probe.create_timer(0.05, self._say),
        ]

    def _see(self) -> None:
        if 'camera' not in self.silent:
            self.pictures += 1
            shifted = np.roll(PICTURE, 8 * self.pictures, axis=1)
            self._camera.publish(image_to_msg(shifted, header_to_msg(self.rig.now())))

    def _move(self) -> None:
        header = header_to_msg(self.rig.now())
        names, positions = [*ROBOT.axis_names], ROBOT.home.tolist()
        if 'states' not in self.silent:
            self._states.publish(
                JointState(
                    header=header, name=[*names, 'left_finger'], position=[*positions, 0.03]
                )
            )
        if 'command' not in self.silent:
            point = JointTrajectoryPoint(positions=[*positions, 1.0], velocities=[0.0] * 7)
            names = [*names, 'gripper']
            self._commands.publish(
                JointTrajectory(header=header, joint_names=names, points=[point])
            )

    def _say(self) -> None:
        state = ControlState(header=header_to_msg(self.rig.now()), robot='widowx')
        state.mode, state.control_source = ControlState.MODE_TELEOP, 'teleop'
        self._control.publish(state)


@pytest.fixture
def rig(rig, monkeypatch):
    """Waits longer: on a busy machine this test, the robot and the recorder share little."""
    usual = rig.until
    monkeypatch.setattr(
        rig, 'until', lambda condition, timeout_s=90.0: usual(condition, timeout_s)
    )
    monkeypatch.setattr(client, '_ANSWER_S', 60.0)
    return rig


@pytest.fixture
def patient(tmp_path):
    """The robot's YAML with a camera that may be slow, as everything is on a busy machine."""
    document = read_yaml(config_directory() / 'robots' / 'widowx.yaml')
    document['cameras']['primary']['rate_hz'] = 3.0
    path = tmp_path / 'widowx.yaml'
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def robot(rig):
    return Robot(rig)


@pytest.fixture
def recorder(rig, robot, tmp_path, patient):
    """An active recorder that has heard the robot for a while."""
    values = {'folder': str(tmp_path), 'instruction': 'push the cube', 'min_free_mb': 1.0}
    node = rig.add(RecorderNode, 'widowx', start=False, **values)
    node.config = dataclasses.replace(node.config, robot=str(patient))
    assert node.start(), node.last_error
    node.statuses = rig.record(EpisodeStatus, f'{SPACE}/episode_status', STATUS)
    assert rig.until(lambda: node.recorder.kept_bytes > 500_000)
    return node


def ask(rig, verb: str) -> Trigger.Response:
    service = rig.probe.create_client(Trigger, f'{SPACE}/record/{verb}')
    assert rig.until(service.service_is_ready)
    future = service.call_async(Trigger.Request())
    assert rig.until(future.done)
    return future.result()


def ended(rig, recorder):
    """The take that ended, once its file is complete."""
    before = recorder.recorder.last
    assert rig.until(lambda: recorder.recorder.last is not before)
    return recorder.recorder.last


def test_an_episode_is_what_was_heard(rig, robot, recorder, tmp_path):
    """Recorded by the buttons, judged, and readable like a demonstration."""
    assert ask(rig, 'start').success
    rig.spin(2.0)
    assert ask(rig, 'success').message.startswith('completing')
    take = ended(rig, recorder)
    assert os.path.dirname(take.uri) == str(tmp_path / 'widowx' / 'recorded')

    episode = read_episode(take.uri)
    assert episode.instruction == 'push the cube' and episode.success is True
    assert len(episode) >= 5 and episode.fresh.any()
    np.testing.assert_allclose(episode.commands, np.tile(ROBOT.home, (len(episode), 1)))
    assert set(episode.sources) == {'teleop'} and (episode.command_opening == 1.0).all()
    assert episode.metadata['sources'] == ('teleop',)

    with Bag(take.uri) as bag:
        counts = bag.counts
        assert counts[f'{SPACE}/robot_description'] == counts[f'{SPACE}/instruction'] == 1
    known = read_provenance(take.uri)
    assert set(known.hashes) >= {'robot'} and known.versions and known.namespace == SPACE
    for name, hz in ((f'{CAMERA}/compressed', 3.0), (f'{SPACE}/joint_states', 25.0)):
        facts = known.details['topics'][name]
        assert facts['count'] == counts[name] > 5
        assert facts['drops'] == 0 and facts['expected_hz'] == hz
    assert known.details['verdict'] == take.verdict.verdict
    assert [path.name for path in tmp_path.rglob('*.part')] == []

    assert rig.until(lambda: recorder.statuses[-1].state == EpisodeStatus.STATE_IDLE)
    last = recorder.statuses[-1]
    assert last.uri == take.uri and last.verdict == take.verdict.verdict


def test_the_action_names_the_episode_and_tells_how_it_went(rig, recorder, tmp_path):
    action = ActionClient(rig.probe, RecordEpisode, f'{SPACE}/record_episode')
    told = []
    assert rig.until(action.server_is_ready)
    goal = RecordEpisode.Goal(name='first', instruction='open the drawer', max_duration=1.2)
    sent = action.send_goal_async(goal, feedback_callback=told.append)
    assert rig.until(sent.done)
    result = sent.result().get_result_async()
    assert rig.until(result.done)
    assert result.result().status == 4  # succeeded
    assert result.result().result.uri == str(tmp_path / 'widowx/recorded/first')
    assert read_provenance(result.result().result.uri).instruction == 'open the drawer'
    assert rig.until(lambda: told) and told[-1].feedback.status.uri.endswith('first')

    sent = action.send_goal_async(goal)  # the name is taken
    assert rig.until(sent.done)
    result = sent.result().get_result_async()
    assert rig.until(result.done)
    assert result.result().status == 6 and 'exists already' in result.result().result.reason

    sent = action.send_goal_async(RecordEpisode.Goal(name='second'))
    assert rig.until(sent.done)
    rig.spin(0.5)
    cancelled = sent.result().cancel_goal_async()
    result = sent.result().get_result_async()
    assert rig.until(lambda: cancelled.done() and result.done())
    assert result.result().status == 5 and result.result().result.uri.endswith('second')


def test_a_gamepad_starts_and_discards(rig, recorder, tmp_path, monkeypatch):
    """The controller reads the gamepad and passes on what is the recorder's."""
    monkeypatch.setattr(operator_inputs, '_JOY_AWAY_S', 60.0)
    controller = rig.add(ControllerNode, 'widowx', start=False)
    controller.trigger_configure()
    joy = rig.publisher(Joy, f'{SPACE}/joy')
    held = Joy(axes=[0.0] * 8, buttons=[0] * 11)
    rig.probe.create_timer(0.05, lambda: joy.publish(held))
    rig.spin(0.5)
    held.axes[7] = 1.0  # d-pad up
    assert rig.until(lambda: recorder.recorder.running)
    held.axes[7] = 0.0
    rig.spin(0.3)
    held.buttons[8] = 1  # Guide
    assert ended(rig, recorder).uri == ''
    assert not list(tmp_path.rglob('*.mcap'))
    assert not ask(rig, 'stop').success


def test_relabel_and_failure(rig, robot, recorder):
    """What the operator says about an episode wins over what the robot was told."""
    assert ask(rig, 'start').success
    robot.instruction.publish(String(data='put the cube away'))
    assert rig.until(lambda: 'put the cube away' in str(recorder.recorder.findings(rig.now())))
    labels = rig.publisher(String, f'{SPACE}/record/relabel', EVENT)
    labels.publish(String(data='push the cube to the left'))
    assert rig.until(lambda: recorder.recorder.running.relabelled)
    rig.spin(0.5)
    assert ask(rig, 'failure').success
    episode = read_episode(ended(rig, recorder).uri)
    assert episode.instruction == 'push the cube to the left' and episode.success is False
    assert 'put the cube away' in str(episode.metadata['details']['told'])


def test_the_last_seconds_are_kept(rig, robot, recorder):
    """Also what was in force before them, and while nothing is recorded."""
    rig.spin(1.5)
    heard = rig.now()
    assert ask(rig, 'keep_last').success
    episode = read_episode(ended(rig, recorder).uri)
    assert heard - episode.stamps[0] > 1.2 and episode.instruction == 'push the cube'
    assert set(episode.sources) == {'teleop'}


def test_verdict_names_what_is_missing(rig, robot, recorder):
    """A camera that stops makes an episode bad, and is told while it happens."""
    assert ask(rig, 'start').success
    rig.spin(0.5)
    robot.silent.add('camera')
    camera = f'{CAMERA}/compressed'
    warning = f'{camera}: silent for'
    assert rig.until(lambda: warning in recorder.statuses[-1].reason)
    assert ask(rig, 'stop').success
    take = ended(rig, recorder)
    assert take.verdict.verdict == 'bad' and warning in take.verdict.reason
    assert read_provenance(take.uri).success is None


def test_a_command_that_never_came_is_named(rig, robot, recorder):
    robot.silent.add('command')
    rig.spin(0.2)
    assert ask(rig, 'start').success
    rig.spin(0.5)
    assert ask(rig, 'stop').success
    take = ended(rig, recorder)
    assert take.verdict.verdict == 'bad'
    assert f'{SPACE}/{COMMANDS}: never heard' in take.verdict.reason
    with pytest.raises(DataError, match='command holds no command'):
        read_episode(take.uri)


def test_a_full_disk_refuses_to_begin(rig, robot, tmp_path):
    rig.add(RecorderNode, 'widowx', folder=str(tmp_path), min_free_mb=1e7)
    said = ask(rig, 'start')
    assert not said.success and 'min_free_mb' in said.message
    assert not list(tmp_path.rglob('*.mcap'))


def test_a_disk_that_fills_ends_the_episode_whole(rig, robot, recorder):
    """The room that must stay free is counted at every flush."""
    assert ask(rig, 'start').success
    rig.spin(1.0)
    file = recorder.recorder.running.file
    file._rules = dataclasses.replace(file._rules, min_free_mb=1e9)
    take = ended(rig, recorder)
    assert 'make room' in take.cause and len(read_episode(take.uri)) > 1
    assert rig.until(lambda: recorder.statuses[-1].state == EpisodeStatus.STATE_FAILED)


def test_kill_9_leaves_all_but_the_last_second(rig, robot, tmp_path, patient):
    """A part that `read_episode` reads."""
    given = {'record': 'true', 'record_to': str(tmp_path), 'checkpoint': ''}
    (node,) = (n for n in build_graph('widowx', given) if n.executable == 'recorder_node')
    node = dataclasses.replace(node, parameters={**node.parameters, 'robot': str(patient)})
    process = subprocess.Popen(node_command(node, tmp_path), start_new_session=True)
    try:
        assert ask(rig, 'start').success
        statuses = rig.record(EpisodeStatus, f'{SPACE}/episode_status', STATUS)
        assert rig.until(lambda: any(s.duration > 2.5 for s in statuses))
        (file,) = tmp_path.glob('widowx/recorded/*.part/*/*.mcap')
        flushed = file.stat().st_mtime
        assert rig.until(lambda: file.stat().st_mtime > flushed)
        flushed = file.stat().st_mtime  # just now, unless the machine is very busy
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (part,) = tmp_path.glob('widowx/recorded/*.part')
    episode = read_episode(part)
    assert episode.metadata['interrupted'] and episode.sent.times[-1] > flushed - 1.0


def said(rig, *words: str):
    """What `univla record` says and its exit status, while the graph goes on."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(CliRunner().invoke, record, list(words))
        assert rig.until(work.done)
    return work.result()


def test_the_command_line(rig, recorder, tmp_path, monkeypatch):
    """Each verb says what came of it; what cannot be done is a sentence."""
    monkeypatch.setattr(client, '_FIND_S', 60.0)
    answer = said(rig, 'start', 'widowx', '--name', 'first', '--instruction', 'open the drawer')
    assert answer.output.strip() == f'recording {tmp_path}/widowx/recorded/first'
    again = said(rig, 'start', 'widowx')
    assert 'stop it first' in str(again.exception)
    assert said(rig, 'relabel', 'widowx', 'close the drawer').exit_code == 0
    assert 'the last 1 s go to' in said(rig, 'keep-last', 'widowx', '1').output
    answer = said(rig, 'success', 'widowx')
    assert 'joint_states' in answer.output
    episode = read_episode(tmp_path / 'widowx/recorded/first')
    assert episode.instruction == 'close the drawer' and episode.success is True
    assert 'no episode is being recorded' in str(said(rig, 'stop', 'widowx').exception)
    monkeypatch.setattr(client, '_FIND_S', 0.5)
    assert 'no recorder speaks' in str(said(rig, 'stop', 'franka').exception)


def test_deactivation_completes_the_episode(rig, robot, recorder):
    assert ask(rig, 'start').success
    rig.spin(0.5)
    running = recorder.recorder.running
    recorder.trigger_deactivate()
    assert running.uri and read_provenance(running.uri).success is None
