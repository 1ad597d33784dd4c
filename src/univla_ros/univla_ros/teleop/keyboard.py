"""`univla teleop`: drive a robot with the keys of a terminal."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.errors import UnivlaError
from univla_core.parameters import parameter

from univla_msgs.msg import ControlState
from univla_ros.node_parameters import declare_parameters
from univla_ros.teleop.code_picker import CodePicker
from univla_ros.teleop.display import picture
from univla_ros.teleop.display import recording_in_words
from univla_ros.teleop.gamepad import Gamepad
from univla_ros.teleop.key_names import KeyDecoder
from univla_ros.teleop.keys import Intent
from univla_ros.teleop.keys import KeyState
from univla_ros.teleop.keys import Speeds
from univla_ros.teleop.operator_link import OperatorLink
from univla_ros.teleop.record_keys import RecordKeys
from univla_ros.teleop.terminal import Terminal

_PERIOD_S = 1.0 / 30.0  # the controller lets go after 0.1 s of silence
_DRAW_S = 0.1
_ARM_LARGEST = Speeds(0.25, 1.5)
_LISTENING = (ControlState.MODE_POLICY, ControlState.MODE_TELEOP)


@dataclass(frozen=True, kw_only=True)
class KeyboardConfig:
    """Parameters of `teleop_keyboard`; every field is a ROS parameter of the same name."""

    robot: str = parameter('', 'Namespace of the robot; empty takes that of this node')
    speed: float = parameter(0.1, 'Translation to begin with [m/s]', low=0.001, high=2.0)
    rotation: float = parameter(0.5, 'Rotation to begin with [rad/s]', low=0.001, high=4.0)
    frame: str = parameter('base', 'Frame of the motion keys', choices=('base', 'tool'))
    codes: int = parameter(16, "Codes in the policy's vocabulary", low=1, high=999)
    gamepad: bool = parameter(False, 'Read a gamepad too and publish it on joy')
    device: str = parameter('/dev/input/js0', 'Gamepad to read')


def run_keyboard(node: Node, namespace: str, config: KeyboardConfig) -> None:
    """Drive a robot until the operator ends it.

    Args:
        node: Node to publish with.
        namespace: Namespace of the robot, with leading slash.
        config: Parameters.

    Raises:
        ConfigError: If there is no terminal, no controller, no gamepad, or a speed is too large.
    """
    terminal = Terminal()
    gamepad = Gamepad(Path(config.device)) if config.gamepad else None
    link = OperatorLink(node, namespace)
    session = _Session(link, link.wait_for_controller(), config, gamepad)
    console = Console()
    stop = _StopRequest()
    try:
        with terminal, Live(console=console, screen=True, auto_refresh=False) as live:
            _loop(terminal, session, live, stop)
    finally:
        session.release()
        if gamepad is not None:
            gamepad.close()


def teleop(robot: str, config: KeyboardConfig) -> None:
    """`univla teleop`; see `run_keyboard`."""
    namespace = f'/{robot.strip("/")}'
    Terminal()  # refuse before ROS starts
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        run_keyboard(rclpy.create_node('teleop_keyboard', namespace=namespace), namespace, config)
    finally:
        rclpy.try_shutdown()


class _Session:
    """Keys, gamepad and link of one operator."""

    def __init__(
        self,
        link: OperatorLink,
        embodiment: Embodiment,
        config: KeyboardConfig,
        gamepad: Gamepad | None,
    ) -> None:
        self._link = link
        self._gamepad = gamepad
        self._title = f'{embodiment.name}: {embodiment.description}'
        largest = _largest_speeds(embodiment)
        self.keys = KeyState(
            embodiment.kind,
            _chosen_speeds(config, largest, embodiment.name),
            largest,
            gripper=embodiment.gripper is not None,
            tool=config.frame == 'tool',
            picker=CodePicker(config.codes),
        )
        self._record = RecordKeys()
        self._decoder = KeyDecoder()
        self._intent = Intent()

    def press(self, data: bytes, now: float) -> None:
        """Take in what was typed at a time [s]."""
        for key in self._decoder.feed(data, now) + self._decoder.flush(now):
            self._link.note = ''
            recording = self._record.press(key)
            if recording is not None:
                self._link.record(recording)
                if self._record.text is not None:
                    self.keys.release()
                continue
            request = self.keys.press(key, now)
            if request is not None:
                self._link.ask(request)

    def tick(self, now: float) -> None:
        """Publish what the operator wants and take in what the controller says."""
        self._intent = self.keys.intent(now)
        self._link.publish(self._intent, self.keys.tool)
        if self._gamepad is not None:
            self._gamepad.poll()
            if self._gamepad.buttons:
                self._link.publish_joy(self._gamepad.axes, self._gamepad.buttons)
        self._link.spin()
        self.keys.picker.set_positions(self._link.positions)

    def release(self) -> None:
        """Let go: the last word is zero, and a gamepad without a pressed button."""
        self.keys.release()
        self._link.publish(self.keys.intent(time.monotonic()), self.keys.tool)
        if self._gamepad is not None and self._gamepad.buttons:
            self._gamepad.let_go()
            self._link.publish_joy(self._gamepad.axes, self._gamepad.buttons)
        self._link.finish()

    def picture(self) -> object:
        """What the operator sees now."""
        note = self._link.note or self.keys.note or self._hint()
        link = self._link
        told = link.recorder.status
        recording = recording_in_words(told) if told else None
        if self._record.text is not None:
            note = f'what is done: {self._record.text}▏Enter'
        return picture(self._title, self.keys, link.state, link.silence_s, note, recording)

    def _hint(self) -> str:
        asks = self._intent.twist is not None or bool(self._intent.codes)
        state = self._link.state
        if asks and state is not None and state.mode not in _LISTENING:
            return 'keys move the robot in the modes TELEOP (2) and POLICY (1) only'
        if self._intent.codes and not self._link.policy_listens():
            return "no policy listens for codes in this namespace; followers take their leader's"
        if self._gamepad is not None and self._gamepad.problem:
            return self._gamepad.problem
        return ''


class _StopRequest:
    """Set by the signals that end the tool. Ctrl-Z is ignored: it would leave the keys raw."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def _loop(terminal: Terminal, session: _Session, live: Live, stop: _StopRequest) -> None:
    due = drawn = time.monotonic()
    while not stop.asked:
        data = terminal.read(due - time.monotonic())
        if data is None:
            return
        now = time.monotonic()
        session.press(data, now)
        if now < due:
            continue
        session.tick(now)
        due = max(due + _PERIOD_S, now)
        if now - drawn >= _DRAW_S:
            drawn = now
            live.update(session.picture(), refresh=True)


def _largest_speeds(embodiment: Embodiment) -> Speeds:
    """Speeds that `+` does not pass; the controller keeps the limits in any case."""
    if embodiment.kind == 'base':
        return Speeds(*(float(value) for value in embodiment.limits.velocity))
    limits = embodiment.cartesian
    if limits is None:
        return _ARM_LARGEST
    return Speeds(
        min(_ARM_LARGEST.linear, limits.ee_speed), min(_ARM_LARGEST.angular, limits.ee_rotation)
    )


def _chosen_speeds(config: KeyboardConfig, largest: Speeds, robot: str) -> Speeds:
    if config.speed > largest.linear or config.rotation > largest.angular:
        raise ConfigError(
            f'--speed {config.speed} m/s --rotation {config.rotation} rad/s is too fast for '
            f'{robot} by keyboard; choose up to {largest.linear:.3g} m/s and '
            f'{largest.angular:.3g} rad/s'
        )
    return Speeds(config.speed, config.rotation)


def main() -> int:
    """Run the ROS executable `teleop_keyboard`."""
    try:
        Terminal()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = Node('teleop_keyboard')
        config = declare_parameters(node, KeyboardConfig)
        namespace = f'/{config.robot.strip("/")}' if config.robot else node.get_namespace()
        if namespace == '/':
            raise ConfigError('which robot? Add --ros-args -r __ns:=/widowx, or -p robot:=widowx')
        run_keyboard(node, namespace, config)
    except KeyboardInterrupt:
        return 130
    except UnivlaError as error:
        print(f'teleop_keyboard: {error}', file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
