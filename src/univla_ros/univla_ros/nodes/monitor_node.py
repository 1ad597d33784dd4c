"""Show what the robot sees, plans and does: annotated picture, markers, transforms."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_core.parameters import parameter
from univla_core.pinhole import Pinhole
from univla_core.planned_path import planned_path
from visualization_msgs.msg import Marker
from visualization_msgs.msg import MarkerArray

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import ControlState
from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.frames import body_transforms
from univla_ros.frames import fixed_transforms
from univla_ros.frames import robot_description
from univla_ros.images import image_from_compressed_msg
from univla_ros.images import image_from_msg
from univla_ros.images import image_to_msg
from univla_ros.overlay import OverlayState
from univla_ros.overlay import annotated
from univla_ros.qos import EVENT
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR
from univla_ros.qos import STATUS
from univla_ros.robot_state import RobotState
from univla_ros.robot_state import RobotStateSource
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """Parameters of `monitor_node`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot to show, a file in config/robots')
    camera: str = parameter('primary', 'Camera whose picture is annotated')
    image_transport: str = parameter(
        'raw', 'How the camera publishes', choices=('raw', 'compressed')
    )
    simulated_camera: bool = parameter(
        False, "The camera stands where the robot's YAML puts the simulated one"
    )
    publish_tf: bool = parameter(
        True, 'Publish /tf of the body; false where robot_state_publisher does it'
    )
    tf_rate_hz: float = parameter(20.0, 'Rate of /tf [Hz]', low=1.0, high=200.0)


class MonitorNode(SuiteNode):
    """Publishes `monitor/image`, `markers`, `robot_description` and `/tf`."""

    config_type = MonitorConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('monitor_node', **arguments)
        self._overlay = OverlayState(robot=self.config.robot)
        self._state: RobotState | None = None
        self._tf_due = 0.0
        self.pictures = 0
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Load the robot and subscribe.

        Raises:
            UnivlaError: If the robot or camera is unknown.
        """
        self._embodiment = load_embodiment(self.config.robot)
        if self.config.camera not in self._embodiment.cameras:
            raise ConfigError(
                f'robot {self.config.robot!r} has no camera {self.config.camera!r}; '
                f'its cameras are {", ".join(self._embodiment.cameras)}'
            )
        camera = self._embodiment.cameras[self.config.camera]
        self._pinhole = Pinhole.of_simulation(camera) if self.config.simulated_camera else None
        self._frame = self._embodiment.frame_prefix + self._embodiment.base_frame
        self._image_publisher = self.create_publisher(Image, 'monitor/image', 2)
        self._marker_publisher = self.create_publisher(MarkerArray, 'markers', 2)
        self._description_publisher = self.create_publisher(String, 'robot_description', STATUS)
        self._open_transforms()
        self._source = RobotStateSource(self, self._embodiment, self._on_state, self.warn)
        self._entities = [
            self._subscribe_camera(),
            self.create_subscription(LatentActionMsg, 'latent_action', self._on_latent, PLAN),
            self.create_subscription(ActionChunkMsg, 'action_chunk', self._on_chunk, PLAN),
            self.create_subscription(ControlState, 'control_state', self._on_control, STATUS),
            self.create_subscription(String, 'instruction', self._on_instruction, EVENT),
            self.create_subscription(DiagnosticStatus, 'sim/outcome', self._on_outcome, STATUS),
        ]

    def activate(self) -> None:
        """Say what the body looks like and what stands still."""
        self._description_publisher.publish(String(data=robot_description(self._embodiment)))
        if self.config.publish_tf:
            now = self.get_clock().now().to_msg()
            self._static_publisher.publish(
                TFMessage(transforms=fixed_transforms(self._embodiment, now))
            )

    def cleanup(self) -> None:
        """Unsubscribe."""
        self._source.close()
        for subscription in self._entities:
            self.destroy_subscription(subscription)

    def _subscribe_camera(self) -> Any:
        topic = f'camera/{self.config.camera}/image_raw'
        if self.config.image_transport == 'compressed':
            callback = partial(self._on_image, image_from_compressed_msg)
            return self.create_subscription(
                CompressedImage, f'{topic}/compressed', callback, SENSOR
            )
        callback = partial(self._on_image, image_from_msg)
        return self.create_subscription(Image, topic, callback, SENSOR)

    def _open_transforms(self) -> None:
        self._transform_publisher = self.create_publisher(TFMessage, '/tf', 100)
        fixed = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._static_publisher = self.create_publisher(TFMessage, '/tf_static', fixed)

    def _on_state(self, state: RobotState) -> None:
        self._state = state
        now = self.now()
        if not self.is_active or not self.config.publish_tf or now < self._tf_due:
            return
        if self._embodiment.kind == 'arm':
            self._tf_due = now + 1.0 / self.config.tf_rate_hz
            stamp = self.get_clock().now().to_msg()
            transforms = body_transforms(self._embodiment, state.axes, state.opening, stamp)
            self._transform_publisher.publish(TFMessage(transforms=transforms))

    def _on_latent(self, msg: LatentActionMsg) -> None:
        self._overlay.codes = tuple(msg.codes)
        self._overlay.probabilities = tuple(msg.probabilities)
        self._overlay.plans = msg.sequence

    def _on_chunk(self, msg: ActionChunkMsg) -> None:
        if self._state is None or not self.is_active:
            return
        try:
            chunk = action_chunk_from_msg(msg)
            chunk.check(self._embodiment.name)
        except ActionError as error:
            self.warn(str(error))
            return
        path = planned_path(self._embodiment, chunk, self._state.axes)
        self._marker_publisher.publish(self._markers(chunk, path))
        if self._pinhole is not None:
            self._overlay.path = self._pinhole.project(path)

    def _on_control(self, msg: ControlState) -> None:
        self._overlay.source = msg.control_source
        self._overlay.fault = msg.fault
        self._overlay.latency_s = msg.chain_latency
        self._overlay.control_rate_hz = msg.control_rate

    def _on_instruction(self, msg: String) -> None:
        if msg.data.strip():
            self._overlay.instruction = msg.data

    def _on_outcome(self, msg: DiagnosticStatus) -> None:
        self._overlay.outcome = msg.message

    def _on_image(self, convert: Any, msg: Any) -> None:
        if not self.is_active or not self._image_publisher.get_subscription_count():
            return
        try:
            picture = convert(msg)
        except ObservationError as error:
            self.warn(str(error))
            return
        self.pictures += 1
        self._image_publisher.publish(image_to_msg(annotated(picture, self._overlay), msg.header))

    def _markers(self, chunk: ActionChunk, path: np.ndarray) -> MarkerArray:
        points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in path]
        line = self._marker('planned_path', Marker.LINE_STRIP, chunk)
        line.scale.x, line.points = 0.004, points
        steps = self._marker('planned_steps', Marker.SPHERE_LIST, chunk)
        steps.scale.x = steps.scale.y = steps.scale.z = 0.012
        steps.points = points
        label = self._marker('instruction', Marker.TEXT_VIEW_FACING, chunk)
        label.pose.position.x, label.pose.position.y = points[-1].x, points[-1].y
        label.pose.position.z, label.scale.z = points[-1].z + 0.08, 0.03
        codes = ' '.join(str(code) for code in self._overlay.codes)
        label.text = f'{chunk.instruction} [{codes}]'
        return MarkerArray(markers=[line, steps, label])

    def _marker(self, namespace: str, kind: int, chunk: ActionChunk) -> Marker:
        marker = Marker(ns=namespace, type=kind, action=Marker.ADD)
        marker.header.frame_id = self._frame
        marker.header.stamp = self.get_clock().now().to_msg()
        marker.pose.orientation.w = 1.0
        marker.color = ColorRGBA(r=0.2, g=0.7, b=1.0, a=0.9)
        marker.lifetime.sec = 1 + int(chunk.horizon * chunk.step_duration_s)
        return marker

    def _report(self) -> None:
        if self.is_active:
            self.diagnostics.set('monitor', OK, 'showing', {'pictures': self.pictures})
        else:
            self.diagnostics.set('monitor', STALE, 'not active')


def main() -> None:
    """Run the node."""
    sys.exit(run(MonitorNode))


if __name__ == '__main__':
    main()
