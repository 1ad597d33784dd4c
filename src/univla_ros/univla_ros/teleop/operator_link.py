"""The operator's side of the teleoperation topics and services of one robot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import Joy
from std_msgs.msg import Int32MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from trajectory_msgs.msg import JointTrajectoryPoint
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError

from univla_msgs.msg import ControlState
from univla_msgs.msg import LatentAction
from univla_msgs.srv import SetMode
from univla_ros.qos import PLAN
from univla_ros.qos import STATUS
from univla_ros.teleop.keys import Intent
from univla_ros.teleop.keys import Request
from univla_ros.teleop.record_keys import Recording
from univla_ros.teleop.record_link import NOBODY
from univla_ros.teleop.record_link import RecordLink

_MODES = {
    Request.IDLE: ControlState.MODE_IDLE,
    Request.POLICY: ControlState.MODE_POLICY,
    Request.TELEOP: ControlState.MODE_TELEOP,
    Request.HOLD: ControlState.MODE_HOLD,
}
_ANSWER_S = 1.0  # a controller at work answers within milliseconds
_SILENT = "NO ANSWER from the controller; use the robot's own stop"


@dataclass(frozen=True)
class _Call:
    """A service call under way."""

    name: str
    future: Future
    deadline: float
    silent: str


class OperatorLink:
    """Publishes what the operator wants and knows what the controller does.

    Args:
        node: Node to publish with.
        namespace: Namespace of the robot, with leading slash.

    Attributes:
        state: Newest control state, None before the first.
        positions: Codes in one plan of the policy, 0 before its first plan.
        note: Answer to the last request, in words.
        recorder: Link to the recorder, which may not be there.
    """

    def __init__(self, node: Node, namespace: str) -> None:
        self._node = node
        self._namespace = namespace.rstrip('/')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._calls: list[_Call] = []
        self._tool_frame = ''
        self._kind = ''
        self._heard = 0.0
        self.state: ControlState | None = None
        self.positions = 0
        self.note = ''
        self._twist = node.create_publisher(TwistStamped, self._name('teleop/twist'), 1)
        self._trajectory = node.create_publisher(
            JointTrajectory, self._name('teleop/joint_trajectory'), 1
        )
        self._code = node.create_publisher(Int32MultiArray, self._name('teleop/latent_code'), 1)
        self._joy = node.create_publisher(Joy, self._name('joy'), 1)
        node.create_subscription(ControlState, self._name('control_state'), self._on_state, STATUS)
        self._plans: Any = node.create_subscription(
            LatentAction, self._name('latent_action'), self._on_latent_action, PLAN
        )
        self._set_mode = node.create_client(SetMode, self._name('set_mode'))
        self._estop = node.create_client(Trigger, self._name('estop'))
        self._reset = node.create_client(Trigger, self._name('reset_estop'))
        self.recorder = RecordLink(node, self._name)

    def wait_for_controller(self, patience_s: float = 5.0) -> Embodiment:
        """Wait for the controller's state; returns the robot it drives.

        Raises:
            ConfigError: If no controller is heard within `patience_s` [s], or its robot is
                unknown here.
        """
        deadline = time.monotonic() + patience_s
        while self.state is None or not self._set_mode.service_is_ready():
            if time.monotonic() > deadline:
                raise ConfigError(
                    f'no controller speaks on {self._name("control_state")}; is the graph running '
                    f'(univla launch {self._namespace.strip("/")}), and with the same '
                    'ROS_DOMAIN_ID?'
                )
            self._executor.spin_once(timeout_sec=0.05)
        embodiment = load_embodiment(self.state.robot)
        self._kind = embodiment.kind
        self._tool_frame = embodiment.frame_prefix + embodiment.ee_frame
        return embodiment

    @property
    def silence_s(self) -> float:
        """Time since the controller was last heard [s]."""
        return time.monotonic() - self._heard

    def publish(self, intent: Intent, tool: bool) -> None:
        """Say what the operator wants at this instant.

        Args:
            intent: What to publish.
            tool: Whether the twist is in the end effector's frame.
        """
        if intent.opening is not None:
            point = JointTrajectoryPoint(positions=[float(intent.opening)])
            self._trajectory.publish(JointTrajectory(joint_names=['gripper'], points=[point]))
        if intent.twist is not None:
            self._twist.publish(self._twist_msg(intent.twist, tool))
        if intent.codes is not None:
            self._code.publish(Int32MultiArray(data=list(intent.codes)))

    def publish_joy(self, axes: Sequence[float], buttons: Sequence[int]) -> None:
        """Say what the gamepad reports."""
        msg = Joy(axes=list(axes), buttons=list(buttons))
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._joy.publish(msg)

    def ask(self, request: Request) -> None:
        """Ask for a mode, the emergency stop or its reset; the answer comes as `note`."""
        if request is Request.ESTOP:
            self._call('estop', self._estop, Trigger.Request())
        elif request is Request.RESET:
            self._call('reset_estop', self._reset, Trigger.Request())
        else:
            mode = SetMode.Request(mode=_MODES[request], reason='the operator at the keyboard')
            self._call(f'mode {request.name}', self._set_mode, mode)

    def record(self, asked: Recording) -> None:
        """Ask the recorder for something; the answer comes as `note`."""
        if asked.label:
            self.note = self.recorder.relabel(asked.label)
        elif asked.verb:
            client = self.recorder.clients[asked.verb]
            silent = 'no answer from the recorder yet; see its log'
            self._call(f'record {asked.verb}', client, Trigger.Request(), NOBODY, silent)

    def spin(self, callbacks: int = 10) -> None:
        """Take in what has arrived, without waiting."""
        for _ in range(callbacks):
            self._executor.spin_once(timeout_sec=0.0)
        if self.positions and self._plans is not None:  # plans are large; one tells enough
            self._node.destroy_subscription(self._plans)
            self._plans = None
        now = time.monotonic()
        for call in list(self._calls):
            if call.future.done() or now > call.deadline:
                self._calls.remove(call)
                self.note = self._answer(call)

    def finish(self, patience_s: float = 0.5) -> None:
        """Wait for the answers still missing, at most `patience_s` [s]."""
        deadline = time.monotonic() + patience_s
        while self._calls and time.monotonic() < deadline:
            self.spin(1)
            time.sleep(0.005)

    def policy_listens(self) -> bool:
        """Whether a policy takes codes chosen by a person."""
        topic = self._name('teleop/latent_code')
        listeners = self._node.get_subscriptions_info_by_topic(topic)
        return any(listener.node_name == 'policy_node' for listener in listeners)

    def _name(self, relative: str) -> str:
        return f'{self._namespace}/{relative}'

    def _call(
        self, name: str, client: Any, request: Any, gone: str = '', silent: str = _SILENT
    ) -> None:
        if not client.service_is_ready():
            gone = gone or f'nobody offers {client.srv_name}; the controller is gone'
            self.note = f'{name}: {gone}'
            return
        self.note = f'{name} …'
        future = client.call_async(request)
        self._calls.append(_Call(name, future, time.monotonic() + _ANSWER_S, silent))

    def _answer(self, call: _Call) -> str:
        if not call.future.done():
            call.future.cancel()
            return f'{call.name}: {call.silent}'
        result = call.future.result()
        done = result.accepted if isinstance(result, SetMode.Response) else result.success
        text = f': {result.message}' if result.message else ''
        return f'{call.name}{text}' if done else f'{call.name} refused{text}'

    def _twist_msg(self, twist: np.ndarray, tool: bool) -> TwistStamped:
        msg = TwistStamped()
        msg.header.stamp = self._node.get_clock().now().to_msg()
        values = [float(value) for value in twist]
        linear, angular = msg.twist.linear, msg.twist.angular
        if self._kind == 'base':
            linear.x, angular.z = values
            return msg
        msg.header.frame_id = self._tool_frame if tool else ''
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = values
        return msg

    def _on_state(self, msg: ControlState) -> None:
        self.state, self._heard = msg, time.monotonic()

    def _on_latent_action(self, msg: LatentAction) -> None:
        self.positions = len(msg.codes)
