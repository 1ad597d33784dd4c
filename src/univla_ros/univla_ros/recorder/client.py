"""Ask a running recorder, from another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger
from univla_core.errors import ConfigError

from univla_msgs.action import RecordEpisode
from univla_msgs.msg import EpisodeStatus
from univla_ros.qos import EVENT
from univla_ros.qos import STATUS
from univla_ros.recorder.operator import RELABEL
from univla_ros.recorder.rules import RecordError

_AT_REST = (EpisodeStatus.STATE_IDLE, EpisodeStatus.STATE_FAILED)
_FIND_S, _ANSWER_S, _COMPLETE_S = 5.0, 5.0, 60.0


class RecorderClient:
    """Speaks with the recorder of one robot; use it in a `with` block.

    Args:
        robot: Namespace of the robot, with or without a leading slash.
        patience_s: How long to look for the recorder [s]; None takes five seconds.

    Attributes:
        status: The newest report of the recorder.
    """

    def __init__(self, robot: str, patience_s: float | None = None) -> None:
        self._space = f'/{robot.strip("/")}'
        self._patience_s = _FIND_S if patience_s is None else patience_s
        self.status: EpisodeStatus | None = None

    def __enter__(self) -> RecorderClient:
        """Find the recorder.

        Raises:
            ConfigError: If there is none.
        """
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('record', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._node.create_subscription(
            EpisodeStatus, f'{self._space}/episode_status', self._on_status, STATUS
        )
        if not self._until(lambda: self.status is not None, self._patience_s):
            self.__exit__()
            raise ConfigError(
                f'no recorder speaks on {self._space}/episode_status; is the graph running with '
                f'record:=true (univla launch {self._space.strip("/")} record:=true), and with '
                'the same ROS_DOMAIN_ID?'
            )
        return self

    def __exit__(self, *error: object) -> None:
        """Leave ROS."""
        rclpy.try_shutdown(context=self._context)

    def start(self, name: str, instruction: str, max_duration: float) -> str:
        """Begin an episode; returns where it will lie.

        Raises:
            RecordError: If the recorder refuses.
        """
        assert self.status is not None
        if self.status.state not in _AT_REST:
            raise RecordError(f'{self.status.uri} is being recorded; stop it first')
        client = ActionClient(self._node, RecordEpisode, f'{self._space}/record_episode')
        self._need(client.server_is_ready)
        goal = RecordEpisode.Goal(name=name, instruction=instruction, max_duration=max_duration)
        before = self.status
        handle = self._answer(client.send_goal_async(goal))
        ended = handle.get_result_async()
        self._until(lambda: ended.done() or self._began(before), _ANSWER_S)
        if ended.done():
            raise RecordError(ended.result().result.reason)
        return self.status.uri

    def ask(self, verb: str) -> str:
        """Ask for one of `stop`, `success`, `failure`, `discard`, `keep_last`; returns the answer.

        Raises:
            RecordError: If the recorder refuses.
        """
        client = self._node.create_client(Trigger, f'{self._space}/record/{verb}')
        self._need(client.service_is_ready)
        said = self._answer(client.call_async(Trigger.Request()))
        if not said.success:
            raise RecordError(said.message)
        return said.message

    def keep_last(self, seconds: float) -> str:
        """Make an episode of the last `seconds` [s]; returns the answer.

        Raises:
            RecordError: If the recorder refuses.
        """
        name = f'{self._space}/recorder_node/set_parameters'
        client = self._node.create_client(SetParameters, name)
        self._need(client.service_is_ready)
        wanted = Parameter('keep_last_s', value=float(seconds)).to_parameter_msg()
        assert wanted.value.type == ParameterType.PARAMETER_DOUBLE
        (said,) = self._answer(
            client.call_async(SetParameters.Request(parameters=[wanted]))
        ).results
        if not said.successful:
            raise RecordError(said.reason)
        return self.ask('keep_last')

    def relabel(self, instruction: str) -> None:
        """Set the task in words of the episode being recorded.

        Raises:
            RecordError: If nothing is being recorded, or there are no words.
        """
        assert self.status is not None
        if not instruction.strip():
            raise RecordError('the instruction is empty; say what the robot does')
        if self.status.state in _AT_REST:
            raise RecordError('cannot relabel: no episode is being recorded')
        publisher = self._node.create_publisher(String, f'{self._space}/{RELABEL}', EVENT)
        self._need(lambda: publisher.get_subscription_count() > 0)
        publisher.publish(String(data=instruction))
        self._until(lambda: False, 0.3)

    def wait_complete(self) -> EpisodeStatus:
        """The report of the episode that just ended, once its file is complete.

        Raises:
            RecordError: If that takes more than a minute.
        """
        since = self._now()

        def complete() -> bool:
            said = self.status
            assert said is not None
            return said.state in _AT_REST and _stamp(said) >= since

        if not self._until(complete, _COMPLETE_S):
            raise RecordError('the episode is not complete after a minute; see the log')
        assert self.status is not None
        return self.status

    def _began(self, before: EpisodeStatus | None) -> bool:
        said = self.status
        return said is not before and said is not None and said.state not in _AT_REST

    def _need(self, ready: Callable[[], Any]) -> None:
        if not self._until(ready, _ANSWER_S):
            raise RecordError(f'the recorder of {self._space} does not answer; see its log')

    def _answer(self, future: Any) -> Any:
        self._need(future.done)
        return future.result()

    def _until(self, condition: Callable[[], Any], patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def _on_status(self, msg: EpisodeStatus) -> None:
        self.status = msg

    def _now(self) -> float:
        return 1e-9 * self._node.get_clock().now().nanoseconds


def _stamp(msg: EpisodeStatus) -> float:
    return msg.header.stamp.sec + 1e-9 * msg.header.stamp.nanosec
