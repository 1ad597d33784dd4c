"""Record episodes of one robot as rosbag2 folders, and watch over how complete they are."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.parameter import Parameter
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.parameters import parameter

from univla_msgs.msg import EpisodeStatus
from univla_ros.diagnostics import STALE
from univla_ros.nodes.controller_node import ControllerConfig
from univla_ros.nodes.controller_node import with_driver_namespace
from univla_ros.qos import STATUS
from univla_ros.recorder.operator import RecordOperator
from univla_ros.recorder.origin import Origin
from univla_ros.recorder.recorder import Recorder
from univla_ros.recorder.rules import DiskRules
from univla_ros.recorder.rules import RecorderRules
from univla_ros.recorder.status import report_recorder
from univla_ros.recorder.status import status_to_msg
from univla_ros.recorder.streams import streams_of
from univla_ros.recorder.take import Take
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run

_STATUS_S, _LOOK_S = 0.5, 0.1


@dataclass(frozen=True, kw_only=True)
class RecorderConfig:
    """Parameters of `recorder_node`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot to record, a file in config/robots')
    driver_namespace: str = parameter('', "Namespace of the driver's topics; empty takes the YAML")
    image_transport: str = parameter(
        'raw', 'How the cameras publish', choices=('raw', 'compressed')
    )
    camera_rate_hz: float = parameter(
        0.0,
        'Pictures per second of slower cameras [Hz]; 0 takes the robot YAML',
        low=0.0,
        high=200.0,
    )
    folder: str = parameter('data', 'Episodes lie in <folder>/<robot>/<task>/<name>/')
    task: str = parameter('', 'Name of the task; empty: recorded')
    instruction: str = parameter('', 'Task in words from the start; the topic changes it')
    checkpoint: str = parameter('', 'Checkpoint that drives, to be told with the episodes')
    decoder: str = parameter('', "Its decoder; empty: the checkpoint's own")
    declaration: str = parameter('', 'Declaration of a released head')
    simulated: bool = parameter(False, 'Say that the robot was simulated')
    raw_pictures: bool = parameter(False, 'Record raw pictures as they come instead of as JPEG')
    jpeg_quality: int = parameter(95, 'Quality of JPEG pictures', low=1, high=100)
    min_free_mb: float = parameter(
        500.0, 'Recording ends before less is free on the disk [MB]', low=1.0, high=1e7
    )
    queue_mb: float = parameter(
        256.0, 'Most memory that waits for the disk, and for JPEG [MB]', low=1.0, high=1e5
    )
    flush_s: float = parameter(0.5, 'A crash loses at most so much [s]', low=0.05, high=10.0)
    sync: bool = parameter(True, 'Flush to the disk itself: a power cut loses no more, either')
    ring_s: float = parameter(
        30.0, 'The last seconds are kept in memory [s]; 0 keeps nothing', low=0.0, high=3600.0
    )
    ring_mb: float = parameter(256.0, 'Most memory for them [MB]', low=1.0, high=1e5)
    keep_last_s: float = parameter(
        30.0,
        'So much of them record/keep_last makes an episode [s]',
        low=1.0,
        high=3600.0,
        live=True,
    )
    max_skew_s: float = parameter(
        0.15, 'Messages may be so old by their stamp when they arrive [s]', low=0.001, high=10.0
    )


class RecorderNode(SuiteNode):
    """Hears everything about a robot, serialised, and records what the operator wants recorded.

    Serves the action `record_episode` and the services `record/start`, `stop`, `success`,
    `failure`, `discard` and `keep_last`, hears `record/event` and `record/relabel`, publishes
    `episode_status`.
    """

    config_type = RecorderConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('recorder_node', **arguments)
        self.recorder: Recorder | None = None
        self._keep_s = self.config.keep_last_s
        self._asked: Any = None
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Load the robot and find out what is to be recorded.

        Raises:
            UnivlaError: If the robot is unknown or messages of its driver are not installed.
        """
        config = self.config
        robot = with_driver_namespace(load_embodiment(config.robot), config.driver_namespace)
        self._embodiment = with_slower_cameras(robot, config.camera_rate_hz)
        self._streams = streams_of(
            self._embodiment, image_transport=config.image_transport, raw=config.raw_pictures
        )
        weights = {n: getattr(config, n) for n in ('checkpoint', 'decoder', 'declaration')}
        details = {'simulated': config.simulated}
        self._origin = Origin(
            self._embodiment, self.get_namespace(), config.task, weights, details
        )
        self._status_publisher = self.create_lifecycle_publisher(
            EpisodeStatus, 'episode_status', STATUS
        )
        self._wake = self.create_guard_condition(self._look)
        self._limits = AsyncParameterClient(self, 'controller_node')
        self.add_on_set_parameters_callback(self._on_parameters)

    def activate(self) -> None:
        """Listen, and take orders.

        Raises:
            DataError: If the message files of a type are nowhere.
        """
        self.recorder = Recorder(
            self._embodiment,
            self.get_namespace(),
            self._streams,
            self._rules(),
            describe=self._origin.describe,
            complete=self._origin.complete,
            description=self._origin.description,
            notify=self._wake.trigger,
        )
        self.recorder.tell(self.now(), self.config.instruction)
        self._subscribed = [self._listen(i) for i in range(len(self._streams))]
        self._operator = RecordOperator(self, self.recorder, lambda: self._keep_s)
        self._own_timers = [
            self.create_timer(_LOOK_S, self._look),
            self.create_timer(_STATUS_S, self._tell_status),
            self.create_timer(2.0, self._ask_for_limits),
        ]
        self.get_logger().info(f'ready to record to {self.config.folder}/{self._embodiment.name}/')

    def deactivate(self) -> None:
        """Complete the episode and fall silent."""
        recorder = self.recorder
        assert recorder is not None
        for timer in self._own_timers:
            self.destroy_timer(timer)
        for subscription in self._subscribed:
            self.destroy_subscription(subscription)
        self._operator.close()
        for take in recorder.close(self.now()):
            self._say_done(take)
        self._tell_status()
        self.recorder = None

    def cleanup(self) -> None:
        """Forget the robot."""
        self.remove_on_set_parameters_callback(self._on_parameters)

    def _rules(self) -> RecorderRules:
        config = self.config
        return RecorderRules(
            folder=Path(config.folder),
            task=config.task,
            quality=config.jpeg_quality,
            queue_mb=config.queue_mb,
            ring_s=config.ring_s,
            ring_mb=config.ring_mb,
            max_skew_s=config.max_skew_s,
            disk=DiskRules(
                min_free_mb=config.min_free_mb,
                queue_mb=config.queue_mb,
                flush_s=config.flush_s,
                sync=config.sync,
            ),
        )

    def _listen(self, number: int) -> Any:
        stream, recorder = self._streams[number], self.recorder
        assert recorder is not None

        def on_message(data: bytes, info: dict) -> None:
            # Numbers of several publishers say nothing about each other.
            sequence = None if stream.shared else info['publication_sequence_number']
            recorder.hear(number, self._received(info), data, sequence)

        events = SubscriptionEventCallbacks(
            message_lost=lambda lost: recorder.lost(number, lost.total_count_change)
        )
        return self.create_subscription(
            stream.message,
            stream.source,
            on_message,
            stream.qos,
            raw=True,
            event_callbacks=events,
        )

    def _received(self, info: dict) -> float:
        """When a message arrived on the clock of the stamps [s]."""
        if self.get_clock().ros_time_is_active:
            return self.now()
        return 1e-9 * info['received_timestamp']

    def _look(self) -> None:
        if self.recorder is None:
            return
        now = self.now()
        self._operator.look(now)
        for take in self.recorder.look(now):
            self._operator.on_done(take)
            self._say_done(take)
            self._tell_status()

    def _say_done(self, take: Take) -> None:
        text = '; '.join(part for part in (take.cause, take.verdict.reason) if part)
        text = f'{take.file.path}: {take.verdict.verdict}; {text}'.removesuffix('; ')
        if take.file.error:
            self.get_logger().error(text)
        elif take.verdict.verdict in ('good', 'none') and not take.cause:
            self.get_logger().info(text)
        else:
            self.get_logger().warning(text)

    def _tell_status(self) -> None:
        if self.recorder is not None:
            self._status_publisher.publish(status_to_msg(self.recorder, self.now()))

    def _ask_for_limits(self) -> None:
        """What bounds all motion is part of where an episode comes from."""
        if self._asked is not None and not self._asked.done():
            return
        if not self._limits.services_are_ready():
            return
        names = list(ControllerConfig.__dataclass_fields__)
        self._asked = self._limits.get_parameters(
            names, lambda future: self._on_limits(names, future)
        )

    def _on_limits(self, names: list[str], future: Any) -> None:
        if not future.cancelled() and future.exception() is None:
            values = [parameter_value_to_python(value) for value in future.result().values]
            self._origin.set_limits(dict(zip(names, values, strict=False)))

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        for each in parameters:
            if each.name == 'keep_last_s':
                self._keep_s = each.value
        return SetParametersResult(successful=True)

    def _report(self) -> None:
        if self.recorder is None:
            self.diagnostics.set('recorder', STALE, 'not active')
            return
        report_recorder(self.diagnostics, self.recorder, self._origin.problem, self.now())


def with_slower_cameras(embodiment: Embodiment, rate_hz: float) -> Embodiment:
    """The same robot with cameras of at most so many pictures per second; 0 changes nothing."""
    if not rate_hz:
        return embodiment
    cameras = {
        name: dataclasses.replace(camera, rate_hz=min(rate_hz, camera.rate_hz))
        for name, camera in embodiment.cameras.items()
    }
    return dataclasses.replace(embodiment, cameras=cameras)


def main() -> None:
    """Run the node."""
    sys.exit(run(RecorderNode))


if __name__ == '__main__':
    main()
