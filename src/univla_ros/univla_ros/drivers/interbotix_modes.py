"""Set the operating modes of an Interbotix driver, and set them again when it restarts."""

from __future__ import annotations

import time

from interbotix_xs_msgs.srv import OperatingModes
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.task import Future

_LOOK_S = 0.2


class OperatingModeSetter:
    """Asks for one mode after the other until the driver has confirmed all.

    A request that fails or is not answered is repeated. A driver that was started anew is back in
    its default modes: it is noticed by its service that vanished, or by a new publisher of its
    joint states, and everything is set again.

    Args:
        node: Node to call with.
        service: Full name of the service.
        state_topic: Full name of the driver's joint states.
        patience_s: Time to wait for an answer; the driver writes some twenty registers first.
    """

    def __init__(
        self, node: Node, service: str, state_topic: str, patience_s: float = 5.0
    ) -> None:
        self._node, self._service, self._state_topic = node, service, state_topic
        self._patience_s = patience_s
        self._client = node.create_client(OperatingModes, service)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = None
        self._requests: tuple[OperatingModes.Request, ...] = ()
        self._confirmed = 0
        self._question: Future | None = None
        self._asked_at = 0.0
        self._drivers: set[tuple[int, ...]] = set()
        self.waiting_for = 'the driver was never activated'

    def start(self, *requests: OperatingModes.Request) -> None:
        """Begin to ask, in this order; `waiting_for` is empty when all are confirmed."""
        self._requests = requests
        self._begin_anew()
        self.waiting_for = self._absent
        if self._timer is None:
            self._timer = self._node.create_timer(_LOOK_S, self._look, clock=self._steady)

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self._begin_anew()
        self.waiting_for = 'the driver is not activated'

    def close(self) -> None:
        """Destroy the client."""
        self.stop()
        self._node.destroy_client(self._client)

    @property
    def _absent(self) -> str:
        return f'service {self._service} is not there; is xsarm_control.launch.py running?'

    def _look(self) -> None:
        if not self._client.service_is_ready():
            self._begin_anew()
            self._drivers.clear()
            self.waiting_for = self._absent
            return
        infos = self._node.get_publishers_info_by_topic(self._state_topic)
        drivers = {tuple(info.endpoint_gid) for info in infos}
        if self._drivers and drivers - self._drivers:
            self._begin_anew()
            self._node.get_logger().warning('the driver was started anew; setting its modes again')
        self._drivers = drivers or self._drivers
        if self._confirmed < len(self._requests):
            self._ask()

    def _ask(self) -> None:
        if self._question is not None and time.monotonic() - self._asked_at < self._patience_s:
            return
        self._withdraw()
        request = self._requests[self._confirmed]
        self.waiting_for = f'{self._service} has not confirmed mode {request.mode} yet'
        self._asked_at = time.monotonic()
        self._question = self._client.call_async(request)
        self._question.add_done_callback(self._on_answer)

    def _on_answer(self, future: Future) -> None:
        if future is not self._question:
            return
        self._question = None
        if future.cancelled() or future.exception() is not None:
            return  # the next look asks again
        self._confirmed += 1
        if self._confirmed < len(self._requests):
            self._ask()
        else:
            self.waiting_for = ''

    def _begin_anew(self) -> None:
        self._withdraw()
        self._confirmed = 0

    def _withdraw(self) -> None:
        if self._question is not None:
            self._client.remove_pending_request(self._question)
            self._question = None
