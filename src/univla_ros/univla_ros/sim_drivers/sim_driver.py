"""What every simulated driver does: hear commands, move the physics, tell the state."""

from __future__ import annotations

import array
import math
from abc import ABC
from abc import abstractmethod

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import JointState
from univla_core.embodiment import Embodiment
from univla_sim.world import World

from univla_ros.sim_drivers.faults import misplaced

#: franka_ros2 from v2.4 publishes best effort, depth 1; a reliable subscriber hears nothing.
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class SimDriver(ABC):
    """One simulated vendor driver.

    Attributes:
        state_rate_hz: Rate of the state topic [Hz].
        fault: What is wrong with the measured state, one of `STATE_FAULTS`; empty if nothing.
    """

    state_rate_hz = 100.0

    def __init__(self, node: Node, embodiment: Embodiment, world: World) -> None:
        self.node = node
        self.embodiment = embodiment
        self.world = world
        self._until_state = 0.0
        self._world_time = world.time
        self.fault = ''

    def advance(self, duration_s: float) -> None:
        """Let `duration_s` seconds pass in driver and physics, and publish what is due."""
        if self.world.time < self._world_time:
            self.restart()
        self.move(duration_s)
        self.world.step(duration_s)
        self._world_time = self.world.time
        self._until_state -= duration_s
        if self._until_state <= 0.0:
            self._until_state = max(0.0, self._until_state + 1.0 / self.state_rate_hz)
            if self.fault != 'joint_stall':
                self.publish_state()

    @abstractmethod
    def restart(self) -> None:
        """Forget every command: the world was set back to its beginning."""

    @abstractmethod
    def move(self, duration_s: float) -> None:
        """Hand the physics its set-points for the next `duration_s` seconds."""

    @abstractmethod
    def publish_state(self) -> None:
        """Publish the measured state."""

    def refuse(self, reason: str) -> None:
        """Log, at most once a second, why a command was not followed."""
        self.node.get_logger().error(f'command refused: {reason}', throttle_duration_sec=1.0)

    def joint_state(self, names: list[str], positions: list[float]) -> JointState:
        """Joint state with positions only, stamped now; the joints that are moved come first."""
        if self.fault == 'joint_order':
            positions = misplaced(positions, self.embodiment.axis_count)
        elif self.fault == 'joint_nan':
            positions = [math.nan] * len(positions)
        msg = JointState(name=names, position=array.array('d', positions))
        msg.header.stamp = self.node.get_clock().now().to_msg()
        return msg
