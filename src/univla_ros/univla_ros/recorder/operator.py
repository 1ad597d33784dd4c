"""How people and programs start and end episodes: an action, services, events and a label."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.action import ActionServer
from rclpy.action import CancelResponse
from std_msgs.msg import String
from std_srvs.srv import Trigger
from univla_core.errors import DataError

from univla_msgs.action import RecordEpisode
from univla_ros.operator_inputs import RECORD_EVENT
from univla_ros.qos import EVENT
from univla_ros.recorder.recorder import Recorder
from univla_ros.recorder.rules import RecordError
from univla_ros.recorder.status import status_to_msg
from univla_ros.recorder.take import Take

#: What can be asked for, by service `record/<verb>` or event `record_<verb>`.
VERBS = ('start', 'stop', 'success', 'failure', 'discard', 'keep_last')
RELABEL = 'record/relabel'
_FEEDBACK_S = 0.5


class RecordOperator:
    """Hands to a recorder what is asked of it.

    Args:
        node: Serves and listens.
        recorder: Carries it out.
        keep_s: How many of the last seconds `keep_last` keeps [s].
    """

    def __init__(self, node: Any, recorder: Recorder, keep_s: Callable[[], float]) -> None:
        self._node, self._recorder, self._keep_s = node, recorder, keep_s
        self._goal: tuple[Any, Take] | None = None
        self._told = 0.0
        self._services = [
            node.create_service(Trigger, f'record/{verb}', self._server(verb)) for verb in VERBS
        ]
        self._subscriptions = [
            node.create_subscription(String, RECORD_EVENT, self._on_event, EVENT),
            node.create_subscription(String, RELABEL, self._on_relabel, EVENT),
        ]
        self._server_of_action = ActionServer(
            node,
            RecordEpisode,
            'record_episode',
            _never,
            handle_accepted_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )

    def close(self) -> None:
        """Serve no longer."""
        for service in self._services:
            self._node.destroy_service(service)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._server_of_action.destroy()

    def look(self, now: float) -> None:
        """End an episode that is long enough [s], and tell how it goes."""
        if self._goal is None:
            return
        handle, take = self._goal
        longest = handle.request.max_duration
        if take.end is None and longest > 0.0 and now - take.begin >= longest:
            self._recorder.stop(now)
        if now - self._told >= _FEEDBACK_S:
            self._told = now
            status = status_to_msg(self._recorder, now)
            handle.publish_feedback(RecordEpisode.Feedback(status=status))

    def on_done(self, take: Take) -> None:
        """Answer the goal whose episode is complete."""
        if self._goal is None or self._goal[1] is not take:
            return
        handle, self._goal = self._goal[0], None
        result = RecordEpisode.Result(
            uri=take.uri,
            verdict=take.verdict.verdict,
            reason='; '.join(text for text in (take.cause, take.verdict.reason) if text),
        )
        whole = bool(take.uri) and not take.cause
        handle.execute(partial(_ended, result, succeeded=whole))

    def ask(self, verb: str) -> str:
        """Do what was asked for; returns what is to be told about it.

        Raises:
            RecordError: If it cannot be done now.
            DataError: If it cannot be written.
        """
        now, recorder = self._node.now(), self._recorder
        if verb == 'start':
            return f'recording {recorder.start(now).file.path}'
        if verb == 'keep_last':
            seconds = self._keep_s()
            return f'the last {seconds:g} s go to {recorder.keep(now, seconds).file.path}'
        if verb == 'discard':
            return f'discarding {recorder.discard(now).file.path}'
        take = recorder.stop(now, {'success': True, 'failure': False}.get(verb))
        return f'completing {take.file.path}'

    def _server(self, verb: str) -> Callable[[Any, Any], Any]:
        def serve(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = self._tried(lambda: self.ask(verb))
            return response

        return serve

    def _on_event(self, msg: String) -> None:
        verb = msg.data.removeprefix('record_')
        if verb not in VERBS:
            known = ', '.join(f'record_{verb}' for verb in VERBS)
            self._node.warn(f'{RECORD_EVENT}: {msg.data!r} is not one of {known}')
            return
        self._tried(lambda: self.ask(verb))

    def _on_relabel(self, msg: String) -> None:
        self._tried(lambda: f'{self._recorder.relabel(msg.data).file.path}: {msg.data.strip()}')

    def _tried(self, work: Callable[[], str]) -> tuple[bool, str]:
        try:
            text = work()
        except (RecordError, DataError) as error:
            self._node.warn(str(error))
            return False, str(error)
        self._node.get_logger().info(text)
        return True, text

    def _on_goal(self, handle: Any) -> None:
        """Begin; the goal is executed, which ends it, when the episode is complete."""
        goal = handle.request
        try:
            take = self._recorder.start(self._node.now(), goal.name, goal.instruction)
        except (RecordError, DataError) as error:
            self._node.warn(str(error))
            result = RecordEpisode.Result(verdict='none', reason=str(error))
            handle.execute(partial(_ended, result, succeeded=False))
            return
        self._node.get_logger().info(f'recording {take.file.path}')
        self._goal = (handle, take)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        if self._goal is not None and self._goal[1] is self._recorder.running:
            self._recorder.stop(self._node.now())
        return CancelResponse.ACCEPT


def _never(handle: Any) -> RecordEpisode.Result:
    raise AssertionError('goals are executed by on_done alone')


def _ended(result: RecordEpisode.Result, handle: Any, *, succeeded: bool) -> RecordEpisode.Result:
    if handle.is_cancel_requested:
        handle.canceled()
    elif succeeded:
        handle.succeed()
    else:
        handle.abort()
    return result
