"""A leader arm: its joints become teleoperation of the robot while its dead-man is held."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import JointState
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory
from trajectory_msgs.msg import JointTrajectoryPoint
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.parameters import parameter

from univla_ros.conversions import joint_positions_from_msg
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import WARN
from univla_ros.qos import SENSOR
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run
from univla_ros.teleop.leader_joints import leader_joints


@dataclass(frozen=True, kw_only=True)
class LeaderArmConfig:
    """Parameters of `leader_arm`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot that follows, a file in config/robots')
    topic: str = parameter('leader/joint_states', 'Joint states of the leader arm')
    leader_joints: list[str] = parameter(
        [''], "Joints of the leader in the order of the robot's; [''] takes the same names"
    )
    signs: list[float] = parameter([0.0], '1.0 or -1.0 for each joint; [0.0] takes 1.0')
    offsets: list[float] = parameter([0.0], 'Added to each joint [rad]; [0.0] adds nothing')
    gripper_joint: str = parameter('', 'Joint of the leader that leads the gripper; empty: none')
    gripper_range: list[float] = parameter([0.0, 1.0], 'Position of that joint closed and open')
    deadman_button: int = parameter(-1, 'Button of `joy` to hold; -1: none', low=-1, high=63)
    deadman_topic: str = parameter('leader/deadman', 'std_msgs/Bool that is true while held')
    deadman_timeout_s: float = parameter(
        0.2, 'Age at which a dead-man counts as released [s]', low=0.02, high=1.0
    )
    always: bool = parameter(False, 'Lead without a dead-man; only for a leader that has its own')


class LeaderArm(SuiteNode):
    """Subscribes to a leader's joint states, publishes `teleop/joint_trajectory` at their rate.

    Publishes only while the dead-man is held: `deadman_button` of `joy`, `true` on
    `deadman_topic`, or the parameter `always`. Silence of either releases it.
    """

    config_type = LeaderArmConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('leader_arm', **arguments)
        self._held_until = 0.0
        self._problem = ''
        self.published = 0
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Match the joints of leader and robot, and subscribe.

        Raises:
            ConfigError: If they do not fit, or nothing can serve as dead-man.
        """
        config = self.config
        if not (config.always or config.deadman_topic or config.deadman_button >= 0):
            raise ConfigError(
                'no dead-man: set deadman_button, deadman_topic, or always for a leader that has '
                'its own'
            )
        self._joints = leader_joints(
            load_embodiment(config.robot),
            names=[name for name in config.leader_joints if name],
            signs=[] if config.signs == [0.0] else config.signs,
            offsets=[] if config.offsets == [0.0] else config.offsets,
            gripper=config.gripper_joint,
            gripper_range=config.gripper_range,
        )
        self._publisher = self.create_lifecycle_publisher(
            JointTrajectory, 'teleop/joint_trajectory', 1
        )
        self._entities = [
            self.create_subscription(JointState, config.topic, self._on_leader, SENSOR)
        ]
        if config.deadman_button >= 0:
            self._entities.append(self.create_subscription(Joy, 'joy', self._on_joy, 10))
        if config.deadman_topic:
            self._entities.append(
                self.create_subscription(Bool, config.deadman_topic, self._on_deadman, 10)
            )

    def cleanup(self) -> None:
        """Release publisher and subscriptions."""
        for subscription in self._entities:
            self.destroy_subscription(subscription)
        self.destroy_lifecycle_publisher(self._publisher)

    def _on_joy(self, msg: Joy) -> None:
        button = self.config.deadman_button
        if button >= len(msg.buttons):
            self.warn(f'the gamepad has {len(msg.buttons)} buttons, deadman_button is {button}')
        self._hold(button < len(msg.buttons) and bool(msg.buttons[button]))

    def _on_deadman(self, msg: Bool) -> None:
        self._hold(msg.data)

    def _hold(self, held: bool) -> None:
        self._held_until = time.monotonic() + self.config.deadman_timeout_s if held else 0.0

    def _on_leader(self, msg: JointState) -> None:
        if not self.is_active:
            return
        led = self._joints.read(joint_positions_from_msg(msg))
        self._problem = led.problem
        if led.problem:
            self.warn(led.problem)
            return
        if not (self.config.always or time.monotonic() < self._held_until):
            return
        point = JointTrajectoryPoint(positions=list(led.positions.values()))
        self._publisher.publish(JointTrajectory(joint_names=list(led.positions), points=[point]))
        self.published += 1

    def _report(self) -> None:
        held = self.config.always or time.monotonic() < self._held_until
        text = 'leading' if held else 'waiting for the dead-man'
        self.diagnostics.set(
            'leader',
            WARN if self._problem else OK,
            self._problem or text,
            {'published': self.published},
        )


def main() -> None:
    """Run the node."""
    sys.exit(run(LeaderArm))


if __name__ == '__main__':
    main()
