"""Be the robot: physics, cameras and the vendor's driver interface, when there is no hardware."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rosgraph_msgs.msg import Clock as ClockMsg
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.parameters import parameter

from univla_ros.conversions import header_to_msg
from univla_ros.conversions import seconds_to_msg
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.images import image_to_msg
from univla_ros.nodes.controller_node import with_driver_namespace
from univla_ros.qos import EVENT
from univla_ros.qos import STATUS
from univla_ros.sim_drivers import load_sim_driver
from univla_ros.sim_drivers.camera_noise import CameraNoise
from univla_ros.sim_drivers.faults import SIM_FAULTS
from univla_ros.sim_drivers.faults import check_fault
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run


@dataclass(frozen=True, kw_only=True)
class SimConfig:
    """Parameters of `sim_node`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot to simulate, a file in config/robots')
    driver_namespace: str = parameter('', "Namespace of the driver's topics; empty takes the YAML")
    seed: int = parameter(0, 'Seed of the scene', low=0, high=2**31 - 1)
    posture: str = parameter('home', 'Posture of the robot YAML in which an arm begins')
    instruction: str = parameter('', 'Task whose outcome is judged until one is heard')
    physics_rate_hz: float = parameter(
        100.0, 'Driver and physics updates [Hz]', low=20.0, high=500.0
    )
    camera_rate_hz: float = parameter(
        0.0,
        'Most pictures per second and camera [Hz]; 0 takes the robot YAML',
        low=0.0,
        high=100.0,
    )
    camera_noise: float = parameter(
        1.0,
        'Standard deviation of the sensor noise [grey levels]; 0 shows equal pictures at rest',
        low=0.0,
        high=20.0,
    )
    render_backend: str = parameter('auto', 'How pictures are made', choices=('auto', 'gl', 'ray'))
    publish_clock: bool = parameter(False, 'Publish /clock, for use_sim_time')
    realtime_priority: int = parameter(
        10,
        'SCHED_FIFO priority asked for: as a real driver, so that the controller never waits for '
        'it; 0 stays at normal priority',
        low=0,
        high=99,
    )


class SimNode(SuiteNode):
    """Publishes cameras and the driver's topics; nothing upstream knows it is simulated.

    `sim/outcome` tells the truth about the task, for people and tests; the policy never hears it.
    `sim/fault` breaks camera or measurements on demand: see `sim_drivers/faults.py`. From the
    echo on `sim/fault_active` on, every message is as broken as asked for.
    """

    config_type = SimConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('sim_node', **arguments)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._behind_s = 0.0
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Build the scene and open the vendor's interface.

        Raises:
            UnivlaError: If the robot is unknown or cannot be simulated.
        """
        from univla_sim.world import World

        config = self.config
        self.ask_for_realtime(config.realtime_priority)
        self._embodiment = with_driver_namespace(
            load_embodiment(config.robot), config.driver_namespace
        )
        self._world = World(
            self._embodiment, seed=config.seed, render_backend=config.render_backend
        )
        self._reset_world()
        self._instruction = config.instruction
        self._driver = load_sim_driver(self, self._embodiment, self._world)
        self._clock_publisher = self.create_publisher(ClockMsg, '/clock', 10)
        self._outcome_publisher = self.create_publisher(DiagnosticStatus, 'sim/outcome', STATUS)
        self._cameras = {
            name: (
                self.create_publisher(Image, f'camera/{name}/image_raw', 2),
                self.create_publisher(CameraInfo, f'camera/{name}/camera_info', 2),
            )
            for name in self._embodiment.cameras
        }
        self._noise = {
            name: CameraNoise(camera.height, camera.width, config.camera_noise, config.seed)
            for name, camera in self._embodiment.cameras.items()
        }
        self._fault = ''
        self._last_pictures: dict[str, np.ndarray] = {}
        self.create_subscription(String, 'instruction', self._on_instruction, EVENT)
        self._fault_publisher = self.create_publisher(String, 'sim/fault_active', EVENT)
        self.create_subscription(String, 'sim/fault', self._on_fault, EVENT)
        self.create_service(Trigger, 'sim/reset', self._on_reset)
        for name in self._embodiment.cameras:
            self._world.render(name)
        self.get_logger().info(
            f'{self._embodiment.description}; pictures by '
            f'{self._world.renderer.backend} ({self._world.renderer.reason})'
        )

    def activate(self) -> None:
        """Let time run."""
        self._last = time.monotonic()
        period = 1.0 / self.config.physics_rate_hz
        self._own_timers = [self.create_timer(period, self._advance, clock=self._steady)]
        for name, camera in self._embodiment.cameras.items():
            rate_hz = min(camera.rate_hz, self.config.camera_rate_hz or camera.rate_hz)
            take = partial(self._take_picture, name)
            self._own_timers.append(self.create_timer(1.0 / rate_hz, take, clock=self._steady))
        self._own_timers.append(self.create_timer(0.2, self._publish_outcome, clock=self._steady))

    def deactivate(self) -> None:
        """Stop time."""
        for timer in self._own_timers:
            self.destroy_timer(timer)

    def _advance(self) -> None:
        now = time.monotonic()
        elapsed, self._last = now - self._last, now
        self._behind_s = max(0.0, elapsed - 0.1)
        duration = min(elapsed, 0.1)  # after a pause the physics skips rather than races
        self._driver.advance(duration)
        if self.config.publish_clock:
            self._clock_publisher.publish(ClockMsg(clock=seconds_to_msg(self._world.time)))

    def _take_picture(self, name: str) -> None:
        stamp = self._world.time if self.config.publish_clock else self.now()
        picture = self._picture(name)
        if picture is None:
            return
        frame = f'{self._embodiment.frame_prefix}camera_{name}_optical_frame'
        header = header_to_msg(stamp, frame)
        image_publisher, info_publisher = self._cameras[name]
        image_publisher.publish(image_to_msg(picture, header))
        info = CameraInfo(header=header, height=picture.shape[0], width=picture.shape[1])
        k = self._world.camera_info(name).K
        info.k = k.ravel().tolist()
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [*k[0].tolist(), 0.0, *k[1].tolist(), 0.0, *k[2].tolist(), 0.0]
        info.distortion_model = 'plumb_bob'
        info.d = [0.0] * 5
        info_publisher.publish(info)

    def _picture(self, name: str) -> np.ndarray | None:
        """What the camera delivers, whole or broken; None while it is silent."""
        if self._fault == 'camera_stall':
            return None
        if self._fault == 'camera_freeze' and name in self._last_pictures:
            return self._last_pictures[name]
        picture = self._world.render(name)
        if self._fault == 'camera_black':
            picture = np.zeros_like(picture)
        picture = self._noise[name].add(picture)
        self._last_pictures[name] = picture
        return picture

    def _on_fault(self, msg: String) -> None:
        try:
            self._fault = self._driver.fault = check_fault(msg.data)
        except ConfigError as error:
            self.get_logger().error(str(error))
            return
        self._fault_publisher.publish(String(data=self._fault))
        said = SIM_FAULTS.get(self._fault, 'whole again')
        self.get_logger().info(f'on demand: {self._fault or "healthy"}, {said}')

    def _on_instruction(self, msg: String) -> None:
        if msg.data.strip() and msg.data != self._instruction:
            self._instruction = msg.data
            self._world.begin_episode()

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._reset_world()
        response.success, response.message = True, f'scene of seed {self.config.seed}'
        return response

    def _reset_world(self) -> None:
        self._world.reset(self.config.seed, posture=self.config.posture)

    def _publish_outcome(self) -> None:
        if not self._instruction:
            return
        outcome = self._world.outcome(self._instruction)
        values = {
            'task': outcome.task,
            'target': outcome.target,
            'success': outcome.success,
            'distance [m]': outcome.distance_m,
            'instruction': self._instruction,
        }
        self._outcome_publisher.publish(
            DiagnosticStatus(
                level=OK,
                name='sim/outcome',
                message=outcome.text,
                hardware_id=self._embodiment.name,
                values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
            )
        )

    def _report(self) -> None:
        if not self.is_active:
            self.diagnostics.set('simulation', STALE, 'not active')
        elif self._fault:
            self.diagnostics.set('simulation', WARN, f'broken on demand: {self._fault}')
        elif self._behind_s > 0.0:
            self.diagnostics.set(
                'simulation', WARN, f'slower than real time, skipped {self._behind_s:.2f} s'
            )
        else:
            self.diagnostics.set('simulation', OK, 'in real time', {'time [s]': self._world.time})


def main() -> None:
    """Run the node."""
    sys.exit(run(SimNode))


if __name__ == '__main__':
    main()
