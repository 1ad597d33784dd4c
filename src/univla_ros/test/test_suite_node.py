"""A node refuses in words, stops in order, and says the safe thing last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from interbotix_xs_msgs.msg import JointGroupCommand
from interbotix_xs_msgs.srv import OperatingModes
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.parameters import parameter
from univla_ros.suite_node import FAILURE
from univla_ros.suite_node import SUCCESS
from univla_ros.suite_node import SuiteNode


@dataclass(frozen=True, kw_only=True)
class TalkerConfig:
    """One parameter."""

    word: str = parameter('yes', 'What to say')


class Talker(SuiteNode):
    """Says its word while active; refuses where it is told to."""

    config_type = TalkerConfig

    def __init__(self, **arguments) -> None:
        super().__init__('talker', **arguments)
        self.refuse_in = ''

    def configure(self) -> None:
        self._refuse('configure')
        self.publisher = self.create_lifecycle_publisher(String, 'word', 10)

    def activate(self) -> None:
        self._refuse('activate')

    def deactivate(self) -> None:
        self._refuse('deactivate')

    def _refuse(self, what: str) -> None:
        if self.refuse_in == what:
            raise ConfigError(f'the {what} lever is stuck; oil it')


@pytest.fixture
def talker(rig):
    node = Talker()
    rig.nodes.append(node)
    rig.executor.add_node(node)
    return node


def statuses(messages: list[DiagnosticArray], name: str) -> list[DiagnosticStatus]:
    return [status for msg in messages for status in msg.status if status.name == name]


@pytest.mark.parametrize('what', ['configure', 'activate'])
def test_a_refusal_fails_the_transition_and_is_told_at_once(rig, talker, what):
    heard = rig.record(DiagnosticArray, '/diagnostics')
    assert rig.until(lambda: heard)
    talker.refuse_in = what
    assert not talker.start()
    assert talker.last_error == f'the {what} lever is stuck; oil it'
    assert not talker.is_active
    told = f'cannot {what}: the {what} lever is stuck; oil it'
    assert rig.until(lambda: statuses(heard, '/talker: lifecycle'), 0.8), 'before the next second'
    status = statuses(heard, '/talker: lifecycle')[-1]
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, told)


def test_a_node_that_refused_can_be_started_when_mended(rig, talker):
    heard = rig.record(DiagnosticArray, '/diagnostics')
    talker.refuse_in = 'configure'
    assert talker.trigger_configure() == FAILURE
    talker.refuse_in = ''
    assert talker.start()
    assert talker.last_error == ''
    talker.diagnostics.publish()
    assert rig.until(
        lambda: any(
            (status.level, status.message) == (DiagnosticStatus.OK, 'active')
            for status in statuses(heard, '/talker: lifecycle')
        )
    )


def test_a_node_that_failed_to_activate_stays_silent(rig, talker):
    heard = rig.record(String, '/word')
    assert talker.trigger_configure() == SUCCESS
    assert rig.until(talker.publisher.get_subscription_count)
    talker.refuse_in = 'activate'
    assert talker.trigger_activate() == FAILURE
    talker.publisher.publish(String(data='no'))
    talker.refuse_in = ''
    assert talker.trigger_activate() == SUCCESS
    talker.publisher.publish(String(data='yes'))
    assert rig.until(lambda: heard)
    assert [msg.data for msg in heard] == ['yes']


def test_an_active_node_deactivates_before_it_shuts_down(talker):
    assert talker.start()
    assert talker.is_active
    talker.trigger_shutdown()
    assert not talker.is_active


def test_a_warning_is_said_once_a_second_but_hides_no_other(talker, monkeypatch):
    said, now = [], 100.0
    logger = SimpleNamespace(warning=said.append)
    monkeypatch.setattr(talker, 'get_logger', lambda: logger)
    monkeypatch.setattr('time.monotonic', lambda: now)
    for second in range(3):
        for _ in range(5):
            now += 0.1
            talker.warn(f'bad chunk in second {second}')
            talker.warn(f'bad joint state in second {second}')
        now += 0.6
    kinds = ('chunk', 'joint state')
    assert said == [f'bad {kind} in second {second}' for second in range(3) for kind in kinds]


# --- processes ------------------------------------------------------------------------------

_SCRIPT = """
import os, sys, time
from dataclasses import dataclass
from univla_core.errors import ConfigError, DriverError
from univla_core.parameters import parameter
from univla_ros.suite_node import SuiteNode, run

@dataclass(frozen=True, kw_only=True)
class Config:
    rate_hz: float = parameter(5.0, 'Rate [Hz]', low=1.0, high=9.0)
    fail: str = parameter('', 'Where')

def say(word):
    print(word, flush=True)

class Child(SuiteNode):
    config_type = Config
    def __init__(self):
        super().__init__('child')
    def configure(self):
        say('configuring')
        if self.config.fail == 'slow':
            time.sleep(30)
        if self.config.fail == 'refuse':
            raise ConfigError('no checkpoint here; give one')
        if self.config.fail == 'mistake':
            return {}['key']
    def activate(self):
        self.create_timer(0.05, self._tick)
    def deactivate(self):
        say('safe')
    def _tick(self):
        if self.config.fail == 'tick':
            raise DriverError('the cable is out; plug it in')
        if self.config.fail == 'warn':
            self._warn()
        say('tick')
    def _warn(self):
        looked_at, realpath = [], os.path.realpath
        os.path.realpath = lambda path: (looked_at.append(path), realpath(path))[1]
        self.warn('a chunk came late')
        os.path.realpath = realpath
        say(f'looked_at_{len(looked_at)}')

sys.exit(run(Child))
"""


class Process:
    """A child process whose words are read as they come."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        env = {**os.environ, 'PYTHONUNBUFFERED': '1'}
        with log.open('w') as out, log.with_suffix('.err').open('w') as err:
            self.child = subprocess.Popen(command, stdout=out, stderr=err, env=env)

    @property
    def words(self) -> list[str]:
        return self.log.read_text().split()

    @property
    def errors(self) -> str:
        return self.log.with_suffix('.err').read_text()

    def said(self, word: str, timeout_s: float = 30.0) -> bool:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.child.poll() is None:
            if word in self.words:
                return True
            time.sleep(0.02)
        return word in self.words

    def stop(self, number: signal.Signals) -> int:
        self.child.send_signal(number)
        return self.child.wait(20.0)


@pytest.fixture
def start(tmp_path):
    processes: list[Process] = []
    script = tmp_path / 'child.py'
    script.write_text(textwrap.dedent(_SCRIPT))

    def make(*command: str, **parameters) -> Process:
        words = list(command) or [str(script)]
        pairs = [word for k, v in parameters.items() for word in ('-p', f'{k}:={v}')]
        process = Process(
            [sys.executable, *words, '--ros-args', *pairs], tmp_path / f'{len(processes)}.log'
        )
        processes.append(process)
        return process

    yield make
    for process in processes:
        if process.child.poll() is None:
            process.child.kill()
            process.child.wait()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_makes_it_say_the_safe_thing_last_and_end_well(start, number):
    process = start(autostart='true')
    assert process.said('tick'), process.errors
    assert process.stop(number) == 0
    assert process.words[-1] == 'safe' and process.words.count('safe') == 1
    assert process.errors == ''


def test_a_signal_ends_a_long_start_at_once(start):
    process = start(autostart='true', fail='slow')
    assert process.said('configuring'), process.errors
    began = time.monotonic()
    assert process.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 5.0
    assert process.words == ['configuring'] and process.errors == ''


@pytest.mark.parametrize(
    ('parameters', 'sentence'),
    [
        ({'fail': 'refuse'}, 'cannot configure: no checkpoint here; give one'),
        ({'rate_hz': '50.0'}, 'Child: /child: .*rate_hz'),
        ({'rate_hz': '5'}, 'write 10.0, not 10'),
        ({'autostart': '1'}, 'Child: /child: .*autostart'),
    ],
)
def test_a_refused_start_ends_with_one_and_a_sentence(start, parameters, sentence):
    process = start(**{'autostart': 'true', **parameters})
    assert process.child.wait(30.0) == 1
    import re

    assert re.search(sentence, process.errors)
    assert 'Traceback' not in process.errors


def test_an_error_in_the_loop_still_says_the_safe_thing(start):
    process = start(autostart='true', fail='tick')
    assert process.child.wait(30.0) == 1
    assert process.words == ['configuring', 'safe']
    assert 'Child: the cable is out; plug it in' in process.errors


def test_the_first_warning_does_not_look_through_all_modules_while_the_loop_waits(start):
    """It took rclpy 30 to 70 ms to find out who warns: two to four control periods of silence."""
    process = start(autostart='true', fail='warn')
    assert process.said('tick'), process.errors
    assert process.stop(signal.SIGINT) == 0
    assert 'a chunk came late' in process.errors
    looked_at = next(word for word in process.words if word.startswith('looked_at_'))
    assert int(looked_at.removeprefix('looked_at_')) < 30


def test_a_mistake_of_ours_leaves_its_trace(start):
    process = start(autostart='true', fail='mistake')
    assert process.child.wait(30.0) == 1
    assert "KeyError: 'key'" in process.errors


def test_the_controller_stops_on_a_signal_with_a_command_to_stay(rig, start):
    """Also that no native object is left at the end: nanobind would complain of leaks."""
    driver = rclpy.create_node('xs_sdk')
    driver.create_service(OperatingModes, '/wx250s/set_operating_modes', lambda _, answer: answer)
    states = driver.create_publisher(JointState, '/wx250s/joint_states', 10)
    home = load_embodiment('widowx').home
    names = [*load_embodiment('widowx').axis_names, 'left_finger']

    def tell() -> None:
        msg = JointState(name=names, position=[*home.tolist(), 0.037])
        msg.header.stamp = driver.get_clock().now().to_msg()
        states.publish(msg)

    driver.create_timer(0.02, tell)
    rig.executor.add_node(driver)
    commands = rig.record(JointGroupCommand, '/wx250s/commands/joint_group')
    process = start(
        '-m', 'univla_ros.nodes.controller_node', '--ros-args', '-r', '__ns:=/widowx',
        '-r', 'joint_states:=/wx250s/joint_states',
        autostart='true', realtime_priority='0',
    )  # fmt: skip
    assert rig.until(lambda: len(commands) > 30, 30.0), process.errors
    process.child.send_signal(signal.SIGTERM)
    assert rig.until(lambda: process.child.poll() is not None, 15.0)
    rig.spin(0.2)
    assert process.child.returncode == 0
    np.testing.assert_allclose(commands[-1].cmd, home, atol=1e-6)
    assert 'leak' not in process.errors and 'Traceback' not in process.errors
    rig.executor.remove_node(driver)
    driver.destroy_node()
