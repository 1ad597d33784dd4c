"""How complete a recording is: rates, gaps, drops and clocks of every topic, and a verdict."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

#: A rate so much below the expected one is told.
LOW_RATE = 0.9
#: Silence of so many periods is a gap, but never less than the time behind it [s].
GAP_PERIODS, GAP_S = 3.0, 0.1
#: A topic that was silent for so many periods, and so long [s], has stopped.
STOP_PERIODS, STOP_S = 10.0, 1.0
#: Episodes shorter than this are not judged by their rates [s].
SHORTEST_S = 1.0
_WINDOW_S = 2.0

GOOD, SUSPECT, BAD = 'good', 'suspect', 'bad'


class Need(IntEnum):
    """How much an episode needs a topic."""

    #: It may be silent.
    NONE = 0
    #: Without it an episode says less.
    WANTED = 1
    #: Without it an episode cannot be used.
    REQUIRED = 2


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of one topic.

    Attributes:
        name: Full name of the topic.
        rate_hz: Least messages per second [Hz]; 0 expects none.
        need: What is missing without it.
        max_delay_s: A message that arrives later than this after its stamp tells of clocks that
            differ [s]; infinite for stamps that are old by nature.
    """

    name: str
    rate_hz: float = 0.0
    need: Need = Need.NONE
    max_delay_s: float = math.inf

    @property
    def gap_s(self) -> float:
        """Silence that counts as a gap [s]."""
        return max(GAP_S, GAP_PERIODS / self.rate_hz) if self.rate_hz else math.inf

    @property
    def stop_s(self) -> float:
        """Silence after which it has stopped [s]."""
        return max(STOP_S, STOP_PERIODS / self.rate_hz) if self.rate_hz else math.inf


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with what to do about it."""

    verdict: str
    topic: str
    text: str


class TopicAudit:
    """Hears the times of one topic's messages.

    Args:
        expected: What is expected of it.
        begin: When the episode began [s].

    Attributes:
        count: Messages heard.
        drops: Messages known to be lost on the way, or because nobody had time for them.
        unwritten: Messages that the disk was too slow for.
        gaps: How often it was silent too long.
        longest_gap_s: Longest silence, also at the beginning [s].
        quickest_s: Least time from stamp to arrival [s]; NaN before the first stamp.
    """

    def __init__(self, expected: Expectation, begin: float) -> None:
        self.expected = expected
        self._begin = self._last = begin
        self._recent: deque[float] = deque()
        self.count = 0
        self.drops = 0
        self.unwritten = 0
        self.gaps = 0
        self.longest_gap_s = 0.0
        self.quickest_s = math.nan

    @property
    def lost(self) -> int:
        """Messages that are not in the episode."""
        return self.drops + self.unwritten

    def hear(self, received: float, stamp: float | None = None) -> None:
        """Take in a message by its arrival and its stamp [s]."""
        silence = received - self._last
        self.longest_gap_s = max(self.longest_gap_s, silence)
        self.gaps += silence > self.expected.gap_s
        self._last = received
        self.count += 1
        self._recent.append(received)
        while self._recent[0] < received - _WINDOW_S:
            self._recent.popleft()
        if stamp:
            self.quickest_s = min(received - stamp, self.quickest_s, key=_nan_last)

    def rate_hz(self, now: float) -> float:
        """Messages per second since the beginning [Hz]."""
        return self.count / (now - self._begin) if now > self._begin else 0.0

    def recent_hz(self, now: float) -> float:
        """Messages per second of late [Hz]."""
        times = [time for time in self._recent if time >= now - _WINDOW_S]
        return len(times) / min(_WINDOW_S, max(now - self._begin, 1e-3))

    def findings(self, now: float, *, live: bool = False) -> list[Finding]:
        """What is wrong.

        Args:
            now: End of the episode, or the present time [s].
            live: Judge only what is wrong right now, as a warning during the episode.
        """
        expected, silence = self.expected, now - self._last
        if not self.count:
            return self._missing(now, live)
        found = []
        if silence > expected.stop_s:
            bad = BAD if expected.need is Need.REQUIRED else SUSPECT
            found.append((bad, f'silent for {silence:.1f} s; see what stopped it'))
        elif live:
            rate = self.recent_hz(now)
            if now - self._begin > SHORTEST_S and rate < LOW_RATE * expected.rate_hz:
                found.append((SUSPECT, self._slow(rate)))
        else:
            found += self._over_all(now, silence)
        if self.lost:
            text = f'{self.lost} messages were lost; free the CPU or the disk'
            found.append((SUSPECT, text))
        return [Finding(verdict, expected.name, text) for verdict, text in found + self._clocks()]

    def _missing(self, now: float, live: bool) -> list[Finding]:
        expected = self.expected
        if expected.need is Need.NONE or (live and now - self._begin < expected.stop_s):
            return []
        bad = BAD if expected.need is Need.REQUIRED else SUSPECT
        text = 'never heard; start what publishes it, or see its name'
        return [Finding(bad, expected.name, text)]

    def _over_all(self, now: float, silence: float) -> list[tuple[str, str]]:
        found, expected = [], self.expected
        longest = max(self.longest_gap_s, silence)
        gaps = self.gaps + (silence > expected.gap_s)
        if gaps:
            found.append((SUSPECT, f'silent for up to {longest:.2f} s, {gaps} times'))
        rate = self.rate_hz(now)
        if now - self._begin >= SHORTEST_S and rate < LOW_RATE * expected.rate_hz:
            found.append((SUSPECT, self._slow(rate)))
        return found

    def _slow(self, rate: float) -> str:
        return f'{rate:.1f} Hz instead of {self.expected.rate_hz:g}'

    def _clocks(self) -> list[tuple[str, str]]:
        limit, quickest = self.expected.max_delay_s, self.quickest_s
        mend = 'synchronise the clocks (chrony, PTP)'
        if quickest < -0.05:
            return [(SUSPECT, f'stamped {-quickest:.2f} s in the future; {mend}')]
        if quickest > limit:
            text = f'stamped {quickest:.2f} s before it arrives, at best; {mend}, or the link'
            return [(SUSPECT, text)]
        return []


@dataclass(frozen=True)
class Verdict:
    """What the checks say about an episode: `good`, `suspect` or `bad`, and why."""

    verdict: str
    reason: str


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """The worst finding decides; all are told, the worst first."""
    order = (BAD, SUSPECT)
    ranked = sorted(findings, key=lambda finding: order.index(finding.verdict))
    reason = '; '.join(f'{finding.topic}: {finding.text}'.lstrip(': ') for finding in ranked)
    return Verdict(ranked[0].verdict if ranked else GOOD, reason)


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


class SequenceWatch:
    """Counts what is missing between the numbers that a publisher gives its messages.

    Numbers that run back tell of several publishers on one topic, whose numbers say nothing.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._mixed = False

    def missing(self, number: int | None) -> int:
        """How many messages were lost right before this one."""
        last, self._last = self._last, number
        if self._mixed or number is None or last is None:
            return 0
        if number <= last and number != 1:  # 1: the publisher was started anew
            self._mixed = True
        return max(0, number - last - 1) if number > last else 0
