"""Listen to one robot's part of the graph, as any user could."""

from __future__ import annotations

from collections import Counter

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from univla_core.embodiment import Embodiment

from univla_msgs.msg import ControlState
from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_ros.command_recorder import CommandRecorder
from univla_ros.conversions import seconds_from_msg
from univla_ros.images import image_from_msg
from univla_ros.qos import STATUS

_DEEP = QoSProfile(depth=50)


class RobotObserver:
    """Everything the summary of one robot needs.

    Args:
        node: Node to subscribe with.
        embodiment: The robot.
        leader: Robot whose policy plans, for `latent_action`.

    Attributes:
        frames: Annotated pictures, (stamp [s], RGB).
        chain_latencies: Camera stamp to first driver command, one per executed chunk [s].
        plans: Codes of each plan.
        commands: Driver commands of the recorded time, filled in at the end.
        stalls: When the machine stood still, (start, end) [s], filled in at the end.
    """

    def __init__(self, node: Node, embodiment: Embodiment, leader: str) -> None:
        self.embodiment = embodiment
        self.commands = CommandRecorder()
        self.stalls: list[tuple[float, float]] = []
        self.frames: list[tuple[float, np.ndarray]] = []
        self.plans: list[tuple[int, ...]] = []
        self.plan_times: list[float] = []
        self.plan_latencies: list[float] = []
        self.chain_latencies: dict[int, float] = {}
        self.faults: Counter[str] = Counter()
        self.state: ControlState | None = None
        self.outcome: dict[str, str] = {}
        self.recording = False
        own = f'/{embodiment.name}'
        node.create_subscription(Image, f'{own}/monitor/image', self._on_image, _DEEP)
        node.create_subscription(ControlState, f'{own}/control_state', self._on_state, STATUS)
        node.create_subscription(
            LatentActionMsg, f'/{leader}/latent_action', self._on_latent, _DEEP
        )
        node.create_subscription(DiagnosticStatus, f'{own}/sim/outcome', self._on_outcome, STATUS)

    @property
    def ready(self) -> bool:
        """Whether the controller commands its driver."""
        return self.state is not None and self.state.commands_sent > 0

    def forget(self) -> None:
        """Start the record now: what came before was start-up."""
        self.frames.clear()
        self.plans.clear()
        self.plan_times.clear()
        self.plan_latencies.clear()
        self.chain_latencies.clear()
        self.faults.clear()
        self.recording = True

    def _on_image(self, msg: Image) -> None:
        if self.recording:
            self.frames.append((seconds_from_msg(msg.header.stamp), image_from_msg(msg)))

    def _on_latent(self, msg: LatentActionMsg) -> None:
        if self.recording:
            self.plans.append(tuple(msg.codes))
            start, stop = seconds_from_msg(msg.plan_start), seconds_from_msg(msg.plan_stop)
            self.plan_times.append(start)
            self.plan_latencies.append(stop - start)

    def _on_state(self, msg: ControlState) -> None:
        self.state = msg
        if not self.recording:
            return
        if msg.chunk_sequence and np.isfinite(msg.chain_latency):
            self.chain_latencies.setdefault(msg.chunk_sequence, msg.chain_latency)
        if msg.fault:
            self.faults[msg.fault] += 1

    def _on_outcome(self, msg: DiagnosticStatus) -> None:
        self.outcome = {value.key: value.value for value in msg.values}
        self.outcome['text'] = msg.message
