"""What a recorder hears from a robot with two cameras: `python -m …bench.record_load PART`.

`cameras` publishes pictures; `robot` is a driver that follows its commands at once, and stands for
policy and decoder, so that a real controller executes chunks. Every numbered message carries its
number as its frame, so that what is missing in a recording can be named.
"""

from __future__ import annotations

import array
import signal
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_core.latent_action import LatentAction
from univla_core.robot_state import state_gripper_joint
from univla_core.robot_state import state_joint_names

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import Heartbeat
from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_ros.bench.watch import be_realtime
from univla_ros.conversions import action_chunk_to_msg
from univla_ros.conversions import header_to_msg
from univla_ros.conversions import latent_action_to_msg
from univla_ros.drivers.driver import driver_topic
from univla_ros.images import image_to_msg
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR

ROBOT = 'franka'
CAMERAS = ('primary', 'wrist')
CAMERA_HZ, STATE_HZ, PLAN_HZ, BEAT_HZ = 30.0, 200.0, 5.0, 40.0
_SIZE = (480, 640)
#: The policy's latent and visual tokens: 4 and 256 of so many numbers each.
_LATENT_DIM = 128
_STEP_S, _HORIZON = 0.1, 12
_SPEED = 0.05  # of the joints [rad/s]


def pictures(count: int = 6) -> list[np.ndarray]:
    """Pictures as a camera sees a table: soft shapes and sensor noise, (480, 640, 3), uint8."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0 : _SIZE[0], 0 : _SIZE[1]] / 60.0
    shown = []
    for number in range(count):
        waves = [np.sin(rows * a + columns * b + number) for a, b in rng.uniform(0.2, 2, (3, 2))]
        picture = 120.0 + 50.0 * np.stack(waves, axis=-1)
        noisy = picture + rng.normal(0.0, 1.0, picture.shape)
        shown.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return shown


class Cameras:
    """Two cameras."""

    def __init__(self, node: Node) -> None:
        self._node, self._count = node, 0
        self._messages = [image_to_msg(picture, header_to_msg(0.0)) for picture in pictures()]
        self._publishers = [
            node.create_publisher(Image, f'/{ROBOT}/camera/{name}/image_raw', 2)
            for name in CAMERAS
        ]
        node.create_timer(1.0 / CAMERA_HZ, self._see)

    def _see(self) -> None:
        self._count += 1
        for number, publisher in enumerate(self._publishers):
            msg = self._messages[(self._count + number) % len(self._messages)]
            msg.header = header_to_msg(_now(self._node), str(self._count))
            publisher.publish(msg)


class Robot:
    """Driver, and what policy and decoder say."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._embodiment = load_embodiment(ROBOT)
        self._positions = self._embodiment.home.tolist()
        self._names = [*state_joint_names(self._embodiment), state_gripper_joint(self._embodiment)]
        self._states = self._plans = 0
        make = node.create_publisher
        self._state = make(JointState, driver_topic(self._embodiment, 'joint_states'), 10)
        self._latent = make(LatentActionMsg, f'/{ROBOT}/latent_action', PLAN)
        self._chunk = make(ActionChunkMsg, f'/{ROBOT}/action_chunk', PLAN)
        self._beats = [
            make(Heartbeat, f'/{ROBOT}/{part}/heartbeat', SENSOR) for part in ('policy', 'decoder')
        ]
        node.create_subscription(
            JointTrajectory, driver_topic(self._embodiment, 'arm_topic'), self._on_command, 1
        )
        node.create_timer(1.0 / STATE_HZ, self._measure)
        node.create_timer(1.0 / PLAN_HZ, self._plan)
        node.create_timer(1.0 / BEAT_HZ, self._beat)

    def _on_command(self, msg: JointTrajectory) -> None:
        self._positions = list(msg.points[0].positions)

    def _measure(self) -> None:
        self._states += 1
        msg = JointState(header=header_to_msg(_now(self._node), str(self._states)))
        msg.name, msg.position = self._names, array.array('d', [*self._positions, 0.04])
        self._state.publish(msg)

    def _beat(self) -> None:
        for publisher in self._beats:
            publisher.publish(Heartbeat(header=header_to_msg(_now(self._node)), healthy=True))

    def _plan(self) -> None:
        self._plans += 1
        stamp = _now(self._node)
        rng = np.random.default_rng(self._plans)
        latent = LatentAction(
            policy='bench',
            codebook='bench',
            codes=rng.integers(0, 16, 4).astype(np.int32),
            probabilities=np.full(4, 0.5, dtype=np.float32),
            latent=rng.normal(size=(4, _LATENT_DIM)).astype(np.float32),
            visual=rng.normal(size=(256, _LATENT_DIM)).astype(np.float32),
            instruction='bench',
            stamp=stamp,
            sequence=self._plans,
            plan_start=stamp,
            plan_stop=stamp,
        )
        self._latent.publish(latent_action_to_msg(latent))
        self._chunk.publish(action_chunk_to_msg(self._rows(stamp)))

    def _rows(self, stamp: float) -> ActionChunk:
        """Joints that sway by some degrees: the controller has something to do."""
        home = self._embodiment.home
        names = self._embodiment.action_names('joint_position')
        times = stamp + _STEP_S * np.arange(1, _HORIZON + 1)
        sway = np.sin(2.0 * _SPEED / 0.1 * times)[:, None] * 0.1
        rows = np.concatenate([home + sway, np.ones((_HORIZON, 1))], axis=1)
        return ActionChunk(
            robot=ROBOT,
            action_space='joint_position',
            names=names,
            data=rows[:, : len(names)],
            step_duration_s=_STEP_S,
            stamp=stamp,
            sequence=self._plans,
            latent_sequence=self._plans,
            instruction='bench',
            plan_start=stamp,
            plan_stop=stamp,
            decode_stop=stamp,
        )


_PARTS: dict[str, Callable[[Node], Any]] = {'cameras': Cameras, 'robot': Robot}


def _now(node: Node) -> float:
    return 1e-9 * node.get_clock().now().nanoseconds


def main(part: str) -> None:
    """Publish until SIGINT or SIGTERM."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    be_realtime()  # as hardware: the load shall be what it says
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f'load_{part}')
    load = _PARTS[part](node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not asked:
        executor.spin_once(timeout_sec=0.1)
    del load
    rclpy.try_shutdown()


if __name__ == '__main__':
    main(sys.argv[1])
