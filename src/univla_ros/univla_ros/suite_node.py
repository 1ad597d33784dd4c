"""What all nodes share: lifecycle, parameters, diagnostics, and an orderly end."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from univla_core.errors import UnivlaError
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import Diagnostics
from univla_ros.node_parameters import declare_parameters

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE


class SuiteNode(LifecycleNode):
    """A lifecycle node whose configuration is one dataclass.

    Subclasses set `config_type` and override `configure`, `activate`, `deactivate` and
    `cleanup`. An error of the suite raised there is logged in full and fails the transition.
    """

    config_type: type

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self.config: Any = declare_parameters(self, self.config_type)
        self.autostart: bool = self.declare_parameter('autostart', False).value
        self.diagnostics = Diagnostics(self)
        self.is_active = False
        self.last_error = ''

    def configure(self) -> None:
        """Load, check and subscribe; raise a `UnivlaError` to refuse."""

    def activate(self) -> None:
        """Open the outputs."""

    def deactivate(self) -> None:
        """Say the safe thing last and fall silent."""

    def cleanup(self) -> None:
        """Release what `configure` made."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `configure`."""
        return self._guarded('configure', self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `activate`."""
        super().on_activate(state)
        result = self._guarded('activate', self.activate)
        self.is_active = result == SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `deactivate`."""
        result = self._guarded('deactivate', self.deactivate)
        self.is_active = False
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `cleanup`."""
        return self._guarded('clean up', self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback: an active node says the safe thing before it goes."""
        if self.is_active:
            self._guarded('deactivate', self.deactivate)
            self.is_active = False
        return SUCCESS

    def warn(self, text: str) -> None:
        """Log a warning at most once a second per calling line."""
        self.get_logger().warning(text, throttle_duration_sec=1.0)

    def now(self) -> float:
        """ROS time [s]."""
        return self.get_clock().now().nanoseconds * 1e-9

    def ask_for_realtime(self, priority: int) -> None:
        """Ask for real-time scheduling of this thread and say what was got; 0 asks for nothing."""
        if priority <= 0:
            return
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except (OSError, AttributeError):
            self.get_logger().info(
                'no permission for real-time scheduling, running at normal priority; '
                'grant rtprio in /etc/security/limits.conf for a steadier control rate'
            )

    def start(self) -> bool:
        """Configure and activate; false when either refuses."""
        return self.trigger_configure() == SUCCESS and self.trigger_activate() == SUCCESS

    def _guarded(self, what: str, function: Any) -> TransitionCallbackReturn:
        try:
            function()
        except UnivlaError as error:
            self.last_error = str(error)
            self.get_logger().error(f'cannot {what}: {error}')
            self.diagnostics.set('lifecycle', ERROR, f'cannot {what}: {error}')
            return FAILURE
        return SUCCESS


class _Stop(BaseException):
    """Raised by the signal handler to leave the spin loop."""


def run(kind: type[SuiteNode]) -> int:
    """Run one node until it is told to stop; the body of every executable.

    SIGINT and SIGTERM deactivate the node before the middleware goes down, so the safe command
    is really sent. Returns the exit status: 1 when an autostarted node refused to start.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    node = None
    try:
        node = kind()
        if node.autostart and not node.start():
            return 1
        gc.collect()
        gc.freeze()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while True:
            executor.spin_once(timeout_sec=0.2)
    except _Stop:
        return 0
    except UnivlaError as error:
        print(f'{kind.__name__}: {error}', file=sys.stderr)
        return 1
    finally:
        _end(node)


def _end(node: SuiteNode | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if node is not None:
        if node.is_active:
            node.trigger_deactivate()
        node.destroy_node()
    rclpy.try_shutdown()
    gc.unfreeze()


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stop
