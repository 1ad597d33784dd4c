"""What is said about a recording, and what is kept of it in memory. No ROS: times are numbers."""

from __future__ import annotations

import pytest
from univla_data.topics import Topic
from univla_ros.recorder.audit import Expectation
from univla_ros.recorder.audit import Need
from univla_ros.recorder.audit import SequenceWatch
from univla_ros.recorder.audit import TopicAudit
from univla_ros.recorder.audit import verdict_of
from univla_ros.recorder.bounded_queue import BoundedQueue
from univla_ros.recorder.entry import Entry
from univla_ros.recorder.entry import header_stamp
from univla_ros.recorder.entry import with_stamp
from univla_ros.recorder.ring import Ring

CAMERA = Expectation(name='/r/camera', rate_hz=10.0, need=Need.REQUIRED, max_delay_s=0.1)
EVENTS = Expectation(name='/r/chunk')


def heard(expected: Expectation, times, delay_s: float = 0.01) -> TopicAudit:
    audit = TopicAudit(expected, 0.0)
    for time in times:
        audit.hear(time, time - delay_s)
    return audit


def tens(begin: float, end: float) -> list[float]:
    return [begin + 0.1 * i for i in range(1, round((end - begin) * 10) + 1)]


def words(audit: TopicAudit, now: float, **how) -> tuple[str, str]:
    verdict = verdict_of(audit.findings(now, **how))
    return verdict.verdict, verdict.reason


def test_steady_messages_are_good():
    audit = heard(CAMERA, tens(0.0, 5.0))
    assert words(audit, 5.05) == words(audit, 5.05, live=True) == ('good', '')
    assert audit.rate_hz(5.0) == pytest.approx(10.0) and audit.recent_hz(5.0) >= 10.0


@pytest.mark.parametrize(
    'times, now, verdict, text',
    [
        ([], 5.0, 'bad', 'never heard'),
        (tens(0, 3), 5.0, 'bad', 'silent for 2.0 s'),  # stopped: more than 1 s and ten periods
        (tens(0, 2) + tens(2.5, 5), 5.0, 'suspect', 'silent for up to 0.60 s, 1 times'),
        (tens(0, 5)[::2], 5.0, 'suspect', '5.0 Hz instead of 10'),
    ],
)
def test_what_is_wrong_is_named(times, now, verdict, text):
    said, why = words(heard(CAMERA, times), now)
    assert said == verdict and why.startswith('/r/camera: ') and text in why


def test_warnings_are_about_the_present():
    """A gap that is over is told at the end, not for ever."""
    audit = heard(CAMERA, tens(0, 2) + tens(2.5, 6))
    assert words(audit, 6.0, live=True) == ('good', '')
    assert words(audit, 6.0)[0] == 'suspect'
    assert 'silent for 1.5 s' in words(audit, 7.5, live=True)[1]


def test_events_may_be_silent():
    assert words(heard(EVENTS, []), 9.0) == words(heard(EVENTS, [1.0]), 9.0) == ('good', '')


@pytest.mark.parametrize('delay_s, text', [(0.3, '0.30 s before'), (-0.2, '0.20 s in the future')])
def test_clocks_that_differ_are_named(delay_s, text):
    assert text in words(heard(CAMERA, tens(0, 5), delay_s), 5.0)[1]


def test_lost_messages_are_counted_from_numbers():
    """5 to 7 leaves out 6; a number that begins anew at 1 is another run of the publisher."""
    watch = SequenceWatch()
    assert [watch.missing(n) for n in (4, 5, 7, 1, 2, 5)] == [0, 0, 1, 0, 0, 2]
    mixed = SequenceWatch()
    assert [mixed.missing(n) for n in (8, 3, 9, 4, 10)] == [0, 0, 0, 0, 0]
    audit = heard(CAMERA, tens(0, 5))
    audit.drops, audit.unwritten = 1, 2
    assert words(audit, 5.0) == (
        'suspect',
        '/r/camera: 3 messages were lost; free the CPU or the disk',
    )


def entry(time: float, stream: int = 0, size: int = 36) -> Entry:
    return Entry(stream, Topic('t', 'k'), time, b'x' * size)


def test_the_ring_is_bounded_by_time_and_memory():
    ring = Ring(2.0, 10_000)
    for i in range(100):
        ring.add(entry(0.1 * i))
    assert ring.last(9.0)[1][0].received == pytest.approx(7.9)
    ring = Ring(100.0, 1000)  # an entry of 36 bytes takes 100 with what is about it
    for i in range(100):
        ring.add(entry(float(i)))
    assert len(ring.last(1e3)[1]) == 10 and ring.bytes == 1000


def test_the_ring_knows_what_was_in_force_before():
    ring = Ring(3.0, 10_000, standing=[1])
    ring.add(entry(0.0, stream=1))
    ring.add(entry(0.5, stream=1))
    for i in range(10):
        ring.add(entry(float(i + 1)))
    standing, since = ring.last(2.0)
    assert [e.received for e in standing] == [0.5] and since[0].received == 8.0
    assert [e.received for e in ring.standing()] == [0.5]


def test_the_queue_refuses_what_does_not_fit():
    queue = BoundedQueue(100)
    assert queue.put('a', 60) and not queue.put('b', 60) and queue.put('order', 60, force=True)
    assert [queue.get(0.0), queue.get(0.0), queue.get(0.0)] == ['a', 'order', None]
    assert queue.put('c', 100)


def test_a_stamp_is_read_and_set_where_the_header_lies():
    data = b'\x00\x01\x00\x00' + bytes(8) + b'rest'
    assert header_stamp(data) == 0.0
    changed = with_stamp(data, 12.25)
    assert header_stamp(changed) == 12.25 and changed.endswith(b'rest')
