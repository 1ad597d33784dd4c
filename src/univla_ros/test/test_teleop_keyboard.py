"""The real keyboard tool on a real terminal (a pty), heard over DDS by a small real controller."""

from __future__ import annotations

import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

import pytest
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import Joy
from std_msgs.msg import Int32MultiArray
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from univla_ros.qos import STATUS

from univla_msgs.msg import ControlState
from univla_msgs.msg import EpisodeStatus
from univla_msgs.srv import SetMode

SPACE = '/widowx'
COMMAND = ('univla_ros.cli', 'teleop', 'widowx')
EXECUTABLE = ('univla_ros.teleop.keyboard', '--ros-args')
COLOUR = re.compile('\x1b\\[[0-9;]*m')


class Station:
    """What the tool talks to: control state and three services, as a controller offers them."""

    def __init__(self, rig, robot: str = 'widowx') -> None:
        self.state = ControlState(robot=robot, mode=ControlState.MODE_HOLD, control_source='hold')
        self.asked: list[str] = []
        self.rig = rig
        publisher = rig.probe.create_publisher(ControlState, f'{SPACE}/control_state', STATUS)
        rig.probe.create_timer(0.05, lambda: publisher.publish(self.state))
        rig.probe.create_service(SetMode, f'{SPACE}/set_mode', self._on_mode)
        for name in ('estop', 'reset_estop'):
            rig.probe.create_service(Trigger, f'{SPACE}/{name}', self._on_trigger(name))

    def _on_mode(self, request: SetMode.Request, response: SetMode.Response) -> SetMode.Response:
        self.asked.append(f'mode {request.mode}')
        self.state.mode = request.mode
        response.accepted, response.mode = True, request.mode
        return response

    def _on_trigger(self, name: str):
        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            self.asked.append(name)
            response.success, response.message = True, 'done as told'
            return response

        return answer


class Tool:
    """`univla teleop` under a pty whose output is read all the time, as a terminal does."""

    def __init__(self, *words: str, command: tuple[str, ...] = COMMAND) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.shown = bytearray()
        self.process = subprocess.Popen(
            [sys.executable, '-m', *command, *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            env={**os.environ, 'TERM': 'xterm-256color', 'COLUMNS': '100', 'LINES': '40'},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def text(self) -> str:
        return self.shown.decode(errors='replace')

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in (self.master, self.slave):
            try:
                os.close(file)
            except OSError:
                continue

    def _read(self) -> None:
        try:
            while data := os.read(self.master, 4096):
                self.shown += data
        except OSError:
            return


@pytest.fixture
def station(rig) -> Station:
    return Station(rig)


@pytest.fixture
def start(rig, station) -> Iterator:
    """Starts the tool and waits for its picture."""
    tools: list[Tool] = []

    def started(*words: str) -> Tool:
        tools.append(Tool(*words))
        tool = tools[-1]
        assert rig.until(lambda: 'WidowX' in tool.text(), 60.0), tool.text()
        return tool

    yield started
    for tool in tools:
        tool.end()


def linear(msg: TwistStamped) -> list[float]:
    return [msg.twist.linear.x, msg.twist.linear.y, msg.twist.linear.z]


def hold(rig, tool: Tool, key: str, duration_s: float) -> None:
    """Hold a key as a terminal tells it: a press, and after half a second 30 a second."""
    tool.type(key)
    rig.spin(0.5)
    end = time.monotonic() + duration_s - 0.5
    while time.monotonic() < end:
        tool.type(key)
        rig.spin(0.033)


def test_a_held_key_moves_and_its_end_stops_within_a_second(rig, start):
    """The dead-man law on the wire: motion at about 30 Hz, one zero, then silence."""
    twists = rig.record(TwistStamped, f'{SPACE}/teleop/twist')
    tool = start('--speed', '0.05')
    assert not twists  # nobody pressed anything
    began = time.monotonic()
    hold(rig, tool, 'w', 1.5)
    last_key = time.monotonic()
    assert rig.until(lambda: twists and linear(twists[-1]) == [0.0, 0.0, 0.0], 10.0)
    stopped = time.monotonic()
    assert stopped - last_key < 1.0
    moving = [linear(msg) for msg in twists[:-1]]
    assert all(value == [0.05, 0.0, 0.0] for value in moving)
    assert len(moving) > 15.0 * (stopped - began)
    count = len(twists)
    rig.spin(0.5)
    assert len(twists) == count


def test_keys_ask_for_modes_stop_and_reset(rig, start, station):
    tool = start()
    for key, asked in (
        ('2', 'mode 2'),
        (' ', 'mode 3'),
        ('1', 'mode 1'),
        ('\x1b', 'estop'),
        ('r', 'reset_estop'),
    ):
        tool.type(key)
        assert rig.until(lambda asked=asked: station.asked[-1:] == [asked]), (key, station.asked)
    assert rig.until(lambda: 'done as told' in tool.text())


def test_a_stop_that_nobody_confirms_is_told_loudly(rig, start):
    """The controller hangs: the operator must learn that only the robot's own stop helps."""
    tool = start()
    tool.type('x')
    deadline = time.monotonic() + 10.0
    while 'NO ANSWER' not in tool.text() and time.monotonic() < deadline:
        time.sleep(0.05)  # without spinning the controller
    assert "estop: NO ANSWER from the controller; use the robot's own stop" in tool.text()
    assert 'no news for' in tool.text()


def test_a_stop_that_nobody_offers_is_told_too(rig, start):
    tool = start()
    for service in list(rig.probe.services):
        if service.srv_name.endswith('/estop'):
            rig.probe.destroy_service(service)
    rig.spin(1.0)
    tool.type('x')
    assert rig.until(lambda: 'nobody offers /widowx/estop; the controller is gone' in tool.text())


def test_arrow_keys_are_not_the_escape_key(rig, start, station):
    """They begin with the same byte; mistaking them would stop the robot at every press."""
    tool = start()
    tool.type('c\x1b[A\x1b[B')
    rig.spin(1.0)
    assert station.asked == []


def test_keys_record_episodes(rig, start, station):
    """Each key asks one service of the recorder; a label is typed, and Esc still stops."""
    for verb in ('start', 'success'):
        rig.probe.create_service(
            Trigger, f'{SPACE}/record/{verb}', station._on_trigger(f'record {verb}')
        )
    labels = rig.record(String, f'{SPACE}/record/relabel')
    said = EpisodeStatus(state=EpisodeStatus.STATE_RECORDING, duration=12.3, reason='all is slow')
    told = rig.probe.create_publisher(EpisodeStatus, f'{SPACE}/episode_status', STATUS)
    told.publish(said)
    tool = start()
    assert rig.until(lambda: 'all is slow' in tool.text())
    tool.type('b')
    assert rig.until(lambda: station.asked == ['record start'])
    tool.type('/wax it\r')  # w, a, x and the blank are letters now
    assert rig.until(lambda: [msg.data for msg in labels] == ['wax it'])
    tool.type('/no\x1b')
    assert rig.until(lambda: station.asked == ['record start', 'estop'])
    tool.type('y')
    assert rig.until(lambda: 'record success: done as told' in tool.text())
    tool.type('v')
    assert rig.until(lambda: 'nobody records' in tool.text())


def test_the_gripper_and_the_tool_frame(rig, start):
    openings = rig.record(JointTrajectory, f'{SPACE}/teleop/joint_trajectory')
    twists = rig.record(TwistStamped, f'{SPACE}/teleop/twist')
    tool = start('--frame', 'tool')
    tool.type('h')
    assert rig.until(lambda: openings)
    assert openings[0].joint_names == ['gripper']
    assert list(openings[0].points[0].positions) == [0.0]
    assert rig.until(lambda: twists)
    assert linear(twists[0]) == [0.0, 0.0, 0.0]
    assert twists[0].header.frame_id == 'wx250s/ee_gripper_link'


def test_a_latent_code_is_followed_while_f_is_held(rig, start):
    codes = rig.record(Int32MultiArray, f'{SPACE}/teleop/latent_code')
    tool = start()
    tool.type('c7\n')
    rig.spin(0.5)
    assert not codes  # choosing moves nothing
    hold(rig, tool, 'f', 1.0)
    assert len(codes) > 10
    assert rig.until(lambda: not codes[-1].data)  # the last word lets go
    assert [list(msg.data) for msg in codes[:-1]] == [[7]] * (len(codes) - 1)
    count = len(codes)
    rig.spin(0.5)
    assert len(codes) == count


def test_the_executable_drives_a_base_in_the_namespace_it_is_given(rig, station):
    station.state.robot = 'mobile_base'
    twists = rig.record(TwistStamped, f'{SPACE}/teleop/twist')
    tool = Tool('-r', f'__ns:={SPACE}', '-p', 'speed:=0.2', command=EXECUTABLE)
    try:
        assert rig.until(lambda: 'turn left, right' in tool.text(), 60.0), tool.text()
        tool.type('w')
        rig.spin(0.2)
        tool.type('a')
        assert rig.until(lambda: twists and twists[-1].twist.angular.z == 0.5)
        assert {msg.twist.linear.x for msg in twists} <= {0.2, 0.0}
        assert twists[0].twist.linear.x == 0.2
    finally:
        tool.end()


def test_the_executable_asks_which_robot():
    tool = Tool(command=EXECUTABLE)
    tool.process.wait(60.0)
    time.sleep(0.2)
    text = tool.text()
    tool.end()
    assert 'which robot? Add --ros-args -r __ns:=/widowx' in text


def test_the_picture_tells_mode_fault_and_what_holds_back(rig, start, station):
    station.state.mode = ControlState.MODE_TELEOP
    station.state.control_source = 'teleop'
    station.state.fault, station.state.fault_reason = 'stale_camera', 'look at its cable'
    station.state.limit_use, station.state.held_back = 0.5, 'workspace'
    tool = start()
    for words in ('TELEOP', 'driven by teleop', 'stale_camera: look at its cable', '50 %'):
        assert rig.until(lambda words=words: words in tool.text()), words
    assert rig.until(lambda: 'held back by workspace' in tool.text())


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_terminal_is_as_before_and_zero_the_last_word(rig, start, number):
    """However it ends, the shell gets its echo back and the robot stops."""
    twists = rig.record(TwistStamped, f'{SPACE}/teleop/twist')
    tool = start()
    assert termios.tcgetattr(tool.slave)[3] != tool.before[3]  # no echo while it runs
    tool.type('w')
    assert rig.until(lambda: twists)
    tool.process.send_signal(number)
    assert rig.until(lambda: tool.process.poll() is not None)
    assert tool.process.returncode == 0
    assert termios.tcgetattr(tool.slave) == tool.before
    assert rig.until(lambda: linear(twists[-1]) == [0.0, 0.0, 0.0])


def test_a_terminal_that_goes_away_ends_the_tool(rig, start):
    """A broken ssh connection: the window is gone, so is the operator."""
    twists = rig.record(TwistStamped, f'{SPACE}/teleop/twist')
    tool = start()
    tool.type('w')
    assert rig.until(lambda: twists)
    os.close(tool.slave)
    os.close(tool.master)
    assert rig.until(lambda: tool.process.poll() is not None)
    assert rig.until(lambda: linear(twists[-1]) == [0.0, 0.0, 0.0])


def test_a_gamepad_is_published_on_joy(rig, start, tmp_path):
    """A named pipe stands for the device: the tool reads the kernel's own event format from it."""
    device = tmp_path / 'js0'
    os.mkfifo(device)
    kernel = os.open(device, os.O_RDWR)
    for kind, number, value in ((0x82, 0, 0), (0x82, 1, 0), (0x81, 4, 0)):
        os.write(kernel, struct.pack('<IhBB', 0, value, kind, number))
    joys = rig.record(Joy, f'{SPACE}/joy')
    tool = start('--gamepad', '--device', str(device))
    assert rig.until(lambda: joys)
    assert list(joys[-1].axes) == [0.0, 0.0] and list(joys[-1].buttons) == [0] * 5
    os.write(kernel, struct.pack('<IhBB', 9, -32767, 0x02, 1))
    os.write(kernel, struct.pack('<IhBB', 9, 1, 0x01, 4))
    assert rig.until(lambda: list(joys[-1].axes) == [0.0, 1.0] and joys[-1].buttons[4] == 1)
    tool.process.send_signal(signal.SIGTERM)
    assert rig.until(lambda: not any(joys[-1].buttons) and not any(joys[-1].axes))
    os.close(kernel)


def run(*words: str, terminal: bool) -> tuple[int, str]:
    """Run the tool to its end; exit status and all it said."""
    if terminal:
        tool = Tool(*words)
        tool.process.wait(60.0)
        time.sleep(0.2)
        code, text = tool.process.returncode, COLOUR.sub('', tool.text())
        tool.end()
        return code, ' '.join(text.split())
    done = subprocess.run(
        [sys.executable, '-m', *COMMAND, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    return done.returncode, ' '.join(done.stderr.split())


def test_without_a_terminal_it_says_so():
    code, text = run(terminal=False)
    assert code == 1 and 'reads keys from a terminal and there is none here' in text


def test_without_a_controller_it_says_so():
    code, text = run(terminal=True)
    assert code == 1 and 'no controller speaks on /widowx/control_state' in text
    assert 'univla launch widowx' in text


def test_without_a_gamepad_it_says_so(tmp_path):
    code, text = run('--gamepad', '--device', str(tmp_path / 'none'), terminal=True)
    assert code == 1 and 'No such file or directory' in text and 'Plug it in' in text


def test_a_speed_beyond_the_keyboards_is_refused(rig, station):
    tool = Tool('--speed', '1.5')
    assert rig.until(lambda: tool.process.poll() is not None, 60.0)
    text = ' '.join(COLOUR.sub('', tool.text()).split())
    tool.end()
    assert 'is too fast for widowx by keyboard' in text
    assert tool.process.returncode == 1
