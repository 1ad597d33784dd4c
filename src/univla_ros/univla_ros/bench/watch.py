"""Hear everything about one robot that a trial is judged by, with the time it was published."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from univla_core.embodiment import Embodiment
from univla_core.errors import ObservationError

from univla_msgs.msg import ActionChunk
from univla_msgs.msg import ControlState
from univla_msgs.msg import LatentAction
from univla_ros.bench.timing import Said
from univla_ros.bench.timing import speeds_of
from univla_ros.command_recorder import CommandRecorder
from univla_ros.command_recorder import command_tap
from univla_ros.drivers.driver import driver_topic
from univla_ros.robot_state import robot_state_from_msg

_DEEP = QoSProfile(depth=200)
_DEEP_SENSOR = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)


class RobotWatch:
    """Records one robot's streams; `forget` drops what is old.

    Callbacks run on the ear's thread, everything else on the caller's.

    Args:
        node: Node to subscribe with.
        embodiment: The robot.
        leader: Robot whose policy plans for it.

    Attributes:
        states: Every `control_state`.
        commands: The driver's command topic.
        measured: Joint angles [rad], or the base's twist [m/s, rad/s], as measured.
        state_times: When each measurement was published, broken ones too [s].
        picture_times: When each picture of the first camera was published [s].
        fault_times: When the simulation took up or left a fault [s].
        latent: The newest latent action.
        chunk: The newest action chunk.
        command: The newest driver command.
        foreign: A command that somebody else publishes and that `commands` leaves out.
    """

    def __init__(self, node: Node, embodiment: Embodiment, leader: str = '') -> None:
        self.embodiment = embodiment
        self.states: list[Said] = []
        self.commands = CommandRecorder()
        self.measured = CommandRecorder()
        self.state_times: list[float] = []
        self.picture_times: list[float] = []
        self.fault_times: list[float] = []
        self.latent: LatentAction | None = None
        self.chunk: ActionChunk | None = None
        self.command: Any = None
        self.foreign: Any = None
        own, leading = f'/{embodiment.name}', f'/{leader or embodiment.name}'
        kind, topic, self._extract = command_tap(embodiment)
        state_kind, state_topic = state_tap(embodiment)
        camera = next(iter(embodiment.cameras))
        subscriptions: tuple[tuple[type, str, Callable[..., None], QoSProfile], ...] = (
            (ControlState, f'{own}/control_state', self._on_control_state, _DEEP),
            (kind, topic, self._on_command, _DEEP),
            (state_kind, state_topic, self._on_measured, _DEEP_SENSOR),
            (CameraInfo, f'{own}/camera/{camera}/camera_info', self._on_picture, _DEEP),
            (String, f'{own}/sim/fault_active', self._on_fault, _DEEP),
            (LatentAction, f'{leading}/latent_action', self._on_latent, _DEEP),
            (ActionChunk, f'{own}/action_chunk', self._on_chunk, _DEEP),
        )
        for each in subscriptions:
            node.create_subscription(*each)

    @property
    def said(self) -> Said | None:
        """The newest control state."""
        return self.states[-1] if self.states else None

    def moving(self, source: str, share: float, for_s: float = 0.3) -> bool:
        """Whether `source` has commanded for a while and really moves the robot.

        Args:
            source: `policy` or `teleop`.
            share: Speed that counts as moving, as a share of the limit.
            for_s: Length of the while [s].
        """
        now = time.time()
        states = list(self.states)
        before = [said for said in states if said.time <= now - for_s][-1:]
        during = [said for said in states if said.time > now - for_s]
        if not before or not during:
            return False
        if any(said.source != source for said in before + during):
            return False
        return self.speed() >= share

    def speed(self, for_s: float = 0.15) -> float:
        """Largest share of a velocity limit that was commanded in the last `for_s` seconds.

        Nobody commands: none.
        """
        now = time.time()
        speeds = speeds_of(self.embodiment, self.commands.between(now - for_s, now))
        return float(speeds[1:].max()) if len(speeds) > 3 else 0.0

    def forget(self, before: float) -> None:
        """Drop everything older than `before` [s] but the newest entry of each stream."""
        self.states = [said for said in self.states[:-1] if said.time >= before] + self.states[-1:]
        for name in ('state_times', 'picture_times', 'fault_times'):
            times: list[float] = getattr(self, name)
            setattr(self, name, [time for time in times[:-1] if time >= before] + times[-1:])
        self.commands = self.commands.between(before, np.inf)
        self.measured = self.measured.between(before, np.inf)

    def _on_control_state(self, msg: ControlState, info: dict) -> None:
        self.states.append(
            Said(
                time=_published(info),
                mode=msg.mode,
                source=msg.control_source,
                fault=msg.fault or ('estop' if msg.mode == ControlState.MODE_ESTOP else ''),
                reason=msg.fault_reason or msg.estop_reason,
                instruction=msg.instruction,
            )
        )

    def _on_command(self, msg: Any, info: dict) -> None:
        if self.foreign is not None and msg == self.foreign:
            return
        self.command = msg
        self.commands.add(self._extract(msg), info)

    def _on_measured(self, msg: JointState | Odometry, info: dict) -> None:
        self.state_times.append(_published(info))
        if isinstance(msg, Odometry):
            twist = msg.twist.twist
            self.measured.add((twist.linear.x, twist.angular.z), info)
            return
        with suppress(ObservationError):
            state = robot_state_from_msg(msg, self.embodiment)
            if state is not None:
                self.measured.add(state.axes, info)

    def _on_picture(self, msg: CameraInfo, info: dict) -> None:
        self.picture_times.append(_published(info))

    def _on_fault(self, msg: String, info: dict) -> None:
        self.fault_times.append(_published(info))

    def _on_latent(self, msg: LatentAction) -> None:
        self.latent = msg

    def _on_chunk(self, msg: ActionChunk) -> None:
        self.chunk = msg


def state_tap(embodiment: Embodiment) -> tuple[type, str]:
    """Message type and topic of the driver's measured state."""
    if embodiment.kind == 'base':
        return Odometry, driver_topic(embodiment, 'odometry_topic')
    return JointState, driver_topic(embodiment, 'joint_states', 'joint_states')


class Ear:
    """Spins a node on a thread of its own, at real-time priority where that is permitted."""

    def __init__(self, node: Node) -> None:
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        self._thread.join(timeout=2.0)

    def _listen(self) -> None:
        be_realtime()
        with suppress(ExternalShutdownException):
            self._executor.spin()


def be_realtime(priority: int = 10) -> None:
    """Real-time priority for the calling thread and those it starts; 0 gives it back."""
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, policy, os.sched_param(priority))


def wait_until(condition: Callable[[], Any], patience_s: float, step_s: float = 0.005) -> bool:
    """Wait until a condition holds; false when it never did."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step_s)
    return True


def latest(times: Sequence[float], begin: float, end: float) -> list[float]:
    """The times of a stream from `begin` to `end` [s]."""
    return [time for time in times if begin <= time <= end]


def _published(info: dict) -> float:
    return 1e-9 * info['source_timestamp']
