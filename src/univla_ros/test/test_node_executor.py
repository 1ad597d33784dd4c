"""All that is ready gets its turn, however much one topic says; what is gone gets none."""

from __future__ import annotations

import itertools
import threading
import time
from importlib import metadata

import pytest
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_msgs.msg import Int32
from std_srvs.srv import Trigger
from univla_ros.node_executor import NodeExecutor
from univla_ros.node_executor import node_executor


@pytest.fixture
def node(rig):
    assert isinstance(rig.executor, NodeExecutor)
    made = rclpy.create_node('busy')
    rig.executor.add_node(made)
    yield made
    rig.executor.remove_node(made)
    made.destroy_node()


def test_a_flood_on_one_topic_delays_another_by_one_callback(rig, node):
    heard = []
    flood = node.create_publisher(Int32, 'flood', QoSProfile(depth=100))
    stop = node.create_publisher(Int32, 'stop', 10)
    node.create_subscription(Int32, 'flood', lambda _: heard.append('f'), QoSProfile(depth=100))
    node.create_subscription(Int32, 'stop', lambda _: heard.append('stop'), 10)
    assert rig.until(lambda: flood.get_subscription_count() and stop.get_subscription_count())
    for _ in range(50):
        flood.publish(Int32())
    stop.publish(Int32())
    time.sleep(0.3)  # all of it has arrived
    assert rig.until(lambda: len(heard) == 51)
    assert 'stop' in heard[:2]


def test_a_timer_runs_while_messages_wait(rig, node):
    """Twenty messages of 20 ms each: 20 periods of the timer, which has a turn in most rounds."""
    turns = []
    flood = node.create_publisher(Int32, 'flood', QoSProfile(depth=100))

    def work(_: Int32) -> None:
        turns.append('message')
        time.sleep(0.02)

    node.create_subscription(Int32, 'flood', work, QoSProfile(depth=100))
    assert rig.until(flood.get_subscription_count)
    node.create_timer(0.02, lambda: turns.append('tick'))
    for _ in range(20):
        flood.publish(Int32())
    assert rig.until(lambda: turns.count('message') == 20)
    runs = [len(list(run)) for turn, run in itertools.groupby(turns) if turn == 'message']
    assert max(runs) <= 2, turns


def test_what_a_callback_destroys_has_no_turn_any_more(rig, node):
    ticks = []
    timers = {}

    def end(name: str, other: str) -> None:
        ticks.append(name)
        node.destroy_timer(timers[other])

    timers['a'] = node.create_timer(0.05, lambda: end('a', 'b'))
    timers['b'] = node.create_timer(0.05, lambda: end('b', 'a'))
    time.sleep(0.1)  # both are ready in the same round
    rig.spin(0.3)
    assert len(set(ticks)) == 1 and len(ticks) >= 2


def test_what_a_callback_makes_is_heard_at_once(rig, node):
    heard = []
    topic = node.create_publisher(Int32, 'late', 10)

    def begin() -> None:
        node.destroy_timer(timer)
        node.create_subscription(Int32, 'late', lambda msg: heard.append(msg.data), 10)

    timer = node.create_timer(0.01, begin)
    assert rig.until(topic.get_subscription_count)
    topic.publish(Int32(data=7))
    assert rig.until(lambda: heard == [7])


def test_a_service_answers_and_the_answer_is_told(rig, node):
    """Also the callbacks of futures, which rclpy makes tasks of."""
    told = []
    node.create_service(
        Trigger, 'ask', lambda _, answer: setattr(answer, 'message', 'yes') or answer
    )
    client = node.create_client(Trigger, 'ask')
    assert rig.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    future.add_done_callback(lambda done: told.append(done.result().message))
    assert rig.until(lambda: told == ['yes'])


def test_a_coroutine_goes_on_when_what_it_awaits_is_there(rig, node):
    future, said = Future(), []

    async def ask() -> None:
        timer.cancel()
        said.append(await future)

    timer = node.create_timer(0.01, ask)
    other = node.create_timer(0.1, lambda: (other.cancel(), future.set_result('there')))
    assert rig.until(lambda: said == ['there'])


def test_another_thread_wakes_it(rig, node):
    """A wait without end, ended by a guard condition."""
    woken = []
    guard = node.create_guard_condition(lambda: woken.append(True))
    rig.executor.spin_once(timeout_sec=0.0)
    thread = threading.Timer(0.2, guard.trigger)
    thread.start()
    while not woken:
        rig.executor.spin_once(timeout_sec=None)
    thread.join()


@pytest.mark.parametrize('patience_s', [0.0, 0.05])
def test_it_waits_as_long_as_it_is_told(patience_s):
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = node_executor(context)
    executor.spin_once(timeout_sec=0.0)
    before = time.monotonic()
    executor.spin_once(timeout_sec=patience_s)
    assert time.monotonic() - before >= 0.9 * patience_s
    executor.shutdown()
    rclpy.shutdown(context=context)


def test_an_error_in_a_callback_is_not_swallowed(rig, node):
    node.create_timer(0.01, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        rig.spin(5.0)


def test_an_end_of_the_context_ends_the_wait():
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = node_executor(context)
    thread = threading.Timer(0.2, lambda: rclpy.shutdown(context=context))
    thread.start()
    with pytest.raises(ExternalShutdownException):
        while True:
            executor.spin_once(timeout_sec=None)
    thread.join()
    executor.shutdown()


@pytest.mark.parametrize('version', ['9.1.0', None])
def test_beside_another_rclpy_its_own_executor_is_taken(rig, monkeypatch, version):
    def told(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, 'version', told)
    executor = node_executor()
    assert type(executor) is SingleThreadedExecutor
    executor.shutdown()
