"""What all nodes share: lifecycle, parameters, diagnostics, and an orderly end."""

from __future__ import annotations

import gc
import inspect
import math
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from types import CodeType
from types import FrameType
from typing import Any

import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from univla_core.errors import UnivlaError
from univla_core.parameters import parameter

from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import Diagnostics
from univla_ros.node_entities import NodeEntities
from univla_ros.node_executor import node_executor
from univla_ros.node_parameters import declare_parameters
from univla_ros.unknown_parameters import unknown_parameters

_WARNING_PERIOD_S = 1.0
_DONE = {
    'configure': 'configured',
    'activate': 'active',
    'deactivate': 'inactive',
    'clean up': 'unconfigured',
}
SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """Parameters that every node of the suite has."""

    autostart: bool = parameter(False, 'Configure and activate at once')


class SuiteNode(LifecycleNode):
    """A lifecycle node whose configuration is one dataclass.

    Subclasses set `config_type` and override `configure`, `activate`, `deactivate` and
    `cleanup`. An error of the suite raised there is logged in full and fails the transition.
    """

    config_type: type

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self.config: Any = declare_parameters(self, self.config_type)
        self.autostart = declare_parameters(self, SuiteConfig).autostart
        self.diagnostics = Diagnostics(self)
        self.is_active = False
        self.last_error = ''
        self._last_warnings: dict[tuple[CodeType, int], float] = {}
        self._lasting = NodeEntities(self)
        for sentence in unknown_parameters(self):
            self.get_logger().warning(sentence)

    def configure(self) -> None:
        """Load, check and subscribe; raise a `UnivlaError` to refuse."""

    def activate(self) -> None:
        """Open the outputs."""

    def deactivate(self) -> None:
        """Say the safe thing last and fall silent."""

    def cleanup(self) -> None:
        """Release what `configure` made; publishers, subscriptions and the like go anyway."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `configure`."""
        self._lasting = NodeEntities(self)
        result = self._guarded('configure', self.configure)
        if result != SUCCESS:
            self._lasting.destroy_others()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `activate`."""
        super().on_activate(state)
        result = self._guarded('activate', self.activate)
        self.is_active = result == SUCCESS
        if not self.is_active:
            super().on_deactivate(state)  # its publishers stay silent
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `deactivate`."""
        result = self._guarded('deactivate', self.deactivate)
        self.is_active = False
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback; see `cleanup`."""
        result = self._guarded('clean up', self.cleanup)
        if result == SUCCESS:
            self._lasting.destroy_others()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback: an active node says the safe thing before it goes."""
        if self.is_active:
            self._guarded('deactivate', self.deactivate)
            self.is_active = False
        return SUCCESS

    def warn(self, text: str) -> None:
        """Log a warning at most once a second per calling line.

        A silent one costs next to nothing; rclpy's throttle looks for the caller's source code
        first, for half a millisecond, and takes all callers of this method for one.
        """
        caller, now = sys._getframe(1), time.monotonic()
        line = (caller.f_code, caller.f_lineno)
        if now - self._last_warnings.get(line, -math.inf) >= _WARNING_PERIOD_S:
            self._last_warnings[line] = now
            self.get_logger().warning(text)

    def now(self) -> float:
        """ROS time [s]."""
        return self.get_clock().now().nanoseconds * 1e-9

    def ask_for_realtime(self, priority: int) -> None:
        """Ask for real-time scheduling of this process; 0 asks for nothing."""
        if priority <= 0:
            return
        try:
            # All threads: one of the middleware's that waits for a core may hold a lock we need.
            for thread in os.listdir('/proc/self/task'):
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
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
            self.diagnostics.publish()
            return FAILURE
        except Exception:
            # A mistake of ours: rclpy would swallow it without a word.
            self.get_logger().fatal(f'cannot {what}:\n{traceback.format_exc()}')
            raise
        self.last_error = ''
        self.diagnostics.set('lifecycle', OK, _DONE[what])
        return SUCCESS


class _Stop(BaseException):
    """Raised by the signal handler to leave a long start-up."""


class _StopRequest:
    """What SIGINT and SIGTERM ask for: leave the start-up at once, the spin loop in order.

    A running node is not torn out of a callback, where its state may be half changed: the loop
    looks at `asked` at least five times a second.
    """

    def __init__(self) -> None:
        self.asked = False
        self.starting = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self.starting:
            self.starting = False
            raise _Stop


def run(kind: type[SuiteNode]) -> int:
    """Run one node until it is told to stop; the body of every executable.

    SIGINT and SIGTERM deactivate the node before the middleware goes down, so the safe command
    is really sent. Returns the exit status: 1 when an autostarted node refused to start.
    """
    stop = _StopRequest()
    status = _run(kind, stop)
    # A second Ctrl-C while the interpreter ends must not turn a good end into a bad one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Native objects of the node want to go while the interpreter still stands.
    gc.unfreeze()
    gc.collect()
    return status


def _run(kind: type[SuiteNode], stop: _StopRequest) -> int:
    node = None
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = kind()
        if node.autostart and not node.start():
            return 1
        stop.starting = False
        _spin(node, stop)
    except _Stop:
        pass
    except UnivlaError as error:
        print(f'{kind.__name__}: {error}', file=sys.stderr)
        return 1
    finally:
        stop.starting = False
        _end(node)
    return 0


def _spin(node: SuiteNode, stop: _StopRequest) -> None:
    # The first sentence that rclpy logs looks through all modules for its caller, for 30 to 70 ms
    # in which the loop would stand still: that is done, and remembered, before the loop begins.
    inspect.getframeinfo(inspect.currentframe())
    gc.collect()
    gc.freeze()
    gc.collect()  # tells Python that little is left, so that new garbage is not kept for long
    executor = node_executor()
    executor.add_node(node)
    try:
        while not stop.asked:
            executor.spin_once(timeout_sec=0.2)
    finally:
        executor.shutdown()


def _end(node: SuiteNode | None) -> None:
    if node is not None:
        if node.is_active:
            node.trigger_deactivate()
        node.destroy_node()
    rclpy.try_shutdown()
