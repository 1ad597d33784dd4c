"""An executor that keeps its wait set, since nodes here hear hundreds of messages a second.

rclpy's own executors list and lock every timer, subscription and service of a node anew before
each wait, and wait twice for each callback. A controller spent half of a slow core on that. The
events executor does not, but has one queue for everything: a driver that floods one topic delays
all else by seconds, an emergency stop and the control loop among it. Here everything that is
ready gets one turn before the next wait, as in rclpy's executor.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from contextlib import ExitStack
from contextlib import suppress
from importlib import metadata
from typing import Any

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.task import Task

#: Kinds of entities as rclpy's wait set names them, in the order in which they get their turns.
_KINDS = ('timer', 'subscription', 'guard_condition', 'client', 'service')
_POLL_S = 0.01
_TESTED_WITH = '7.'  # ROS 2 Jazzy


def node_executor(context: Context | None = None) -> SingleThreadedExecutor:
    """The executor for nodes of the suite; rclpy's own beside an rclpy that was not tried."""
    try:
        tested = metadata.version('rclpy').startswith(_TESTED_WITH)
    except metadata.PackageNotFoundError:
        tested = False
    return NodeExecutor(context=context) if tested else SingleThreadedExecutor(context=context)


class NodeExecutor(SingleThreadedExecutor):
    """Runs the callbacks of nodes in the thread that spins it, which also shuts it down.

    Plain callbacks run to their end without regard to callback groups, which in one thread change
    nothing; coroutines and what comes with several entities are left to rclpy's own handlers.
    """

    def __init__(self, *, context: Context | None = None) -> None:
        self._stale = True
        self._due: deque[tuple[Any, Any, Callable[[Any], Any]]] = deque()
        self._in_use = ExitStack()
        super().__init__(context=context)
        self._take = {
            'timer': self._take_ready_timer,
            'subscription': self._take_subscription,
            'guard_condition': self._take_guard_condition,
            'client': self._take_client,
            'service': self._take_service,
        }

    def add_node(self, node: Any) -> bool:
        """Add a node whose callbacks are run here; false if it was there already."""
        self._stale = True
        return super().add_node(node)

    def remove_node(self, node: Any) -> None:
        """Stop running the callbacks of a node."""
        super().remove_node(node)
        self._forget()

    def wake(self) -> None:
        """Called by rclpy whenever an entity was made or destroyed."""
        self._stale = True
        super().wake()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Let go of all nodes."""
        self._forget()
        return super().shutdown(timeout_sec)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for and run a single callback.

        Args:
            timeout_sec: Patience [s]; None or a negative one waits without end.

        Raises:
            ExternalShutdownException: If the context was shut down.
            Exception: What the callback raised.
        """
        if self._tasks:
            self._run_tasks()
            timeout_sec = _POLL_S if self._tasks else 0.0
        if not self._due:
            forever = timeout_sec is None or timeout_sec < 0.0
            self._wait(-1 if forever else int(timeout_sec * 1e9))
        if self._stale:
            self._in_use.close()  # what was destroyed while it was due is found invalid below
        if self._due:
            self._run(*self._due.popleft())

    def _run(self, entity: Any, node: Any, take: Callable[[Any], Any]) -> None:
        callback = getattr(entity, 'callback', None)
        if callback is None or inspect.iscoroutinefunction(callback):
            _run_task(self._make_handler(entity, node, take))  # one of the tasks, if it awaits
            return
        execute = take(entity)
        if execute is None:  # taken before, or destroyed
            return
        with suppress(StopIteration):
            execute().send(None)

    def _take_ready_timer(self, timer: Any) -> Any:
        """Unless another callback of this round cancelled, reset or destroyed it."""
        try:
            with timer.handle:
                return self._take_timer(timer) if timer.handle.is_timer_ready() else None
        except _rclpy.InvalidHandle:
            return None

    def _run_tasks(self) -> None:
        with self._tasks_lock:
            tasks = [task for task, _, _ in self._tasks]
        for task in tasks:
            _run_task(task)
        with self._tasks_lock:
            self._tasks = [row for row in self._tasks if not row[0].done()]

    def _wait(self, timeout_ns: int) -> None:
        """Fill `_due` with all that is ready, one turn for each."""
        if self._stale:
            self._collect()
        wait_set = self._wait_set
        wait_set.clear_entities()
        for kind, add in self._adders.items():
            for handle in self._handles[kind]:
                add(handle)
        for waitable, _ in self._waitables:
            waitable.add_to_wait_set(wait_set)
        wait_set.wait(timeout_ns)
        if not self._context.ok():
            raise ExternalShutdownException
        for waitable, node in self._waitables:
            if waitable.is_ready(wait_set):
                self._due.append((waitable, node, self._take_waitable))
        for kind in _KINDS:
            for pointer in wait_set.get_ready_entities(kind):
                if pointer in self._owners:
                    self._due.append((*self._owners[pointer], self._take[kind]))

    def _collect(self) -> None:
        """List the entities of all nodes and hold them, so that none is destroyed in a wait."""
        self._in_use.close()
        self._stale = False
        self._owners: dict[int, tuple[Any, Any]] = {}
        self._handles: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
        self._waitables: list[tuple[Any, Any]] = []
        for node in self.get_nodes():
            for kind, entities in _entities(node):
                for entity in entities:
                    if self._hold(entity.handle):
                        self._handles[kind].append(entity.handle)
                        self._owners[entity.handle.pointer] = (entity, node)
            self._waitables += [(w, node) for w in node.waitables if self._hold(w)]
        for guard in (self._guard, self._sigint_gc):
            self._hold(guard.handle)
            self._handles['guard_condition'].append(guard.handle)
        self._hold(self._context.handle)
        self._make_wait_set()

    def _hold(self, handle: Any) -> bool:
        try:
            self._in_use.enter_context(handle)
        except _rclpy.InvalidHandle:
            return False
        return True

    def _make_wait_set(self) -> None:
        parts = [waitable.get_num_entities() for waitable, _ in self._waitables]
        handles = self._handles
        self._wait_set = _rclpy.WaitSet(
            len(handles['subscription']) + sum(part.num_subscriptions for part in parts),
            len(handles['guard_condition']) + sum(part.num_guard_conditions for part in parts),
            len(handles['timer']) + sum(part.num_timers for part in parts),
            len(handles['client']) + sum(part.num_clients for part in parts),
            len(handles['service']) + sum(part.num_services for part in parts),
            sum(part.num_events for part in parts),
            self._context.handle,
        )
        self._adders = {kind: getattr(self._wait_set, f'add_{kind}') for kind in _KINDS}

    def _forget(self) -> None:
        self._stale = True
        self._due.clear()
        self._in_use.close()


def _run_task(task: Task) -> None:
    """Begin a task or go on with it, and raise what it raised."""
    if not task.executing():
        task()
    if task.exception() is not None:
        raise task.exception()


def _entities(node: Any) -> Iterable[tuple[str, Iterable[Any]]]:
    """The entities of a node by kind."""
    return zip(
        _KINDS,
        (node.timers, node.subscriptions, node.guards, node.clients, node.services),
        strict=True,
    )
