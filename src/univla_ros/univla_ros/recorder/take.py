"""One episode being recorded: what is heard of it, and what is said of it at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_data.driving import Driving
from univla_data.message_types import message_from

from univla_data import topics
from univla_ros.recorder.audit import SUSPECT
from univla_ros.recorder.audit import Expectation
from univla_ros.recorder.audit import Finding
from univla_ros.recorder.audit import Need
from univla_ros.recorder.audit import TopicAudit
from univla_ros.recorder.audit import Verdict
from univla_ros.recorder.audit import verdict_of
from univla_ros.recorder.entry import Entry
from univla_ros.recorder.entry import header_stamp
from univla_ros.recorder.episode_file import Ending
from univla_ros.recorder.episode_file import EpisodeFile
from univla_ros.recorder.streams import Role
from univla_ros.recorder.streams import Stream

_DRIVING = (topics.CONTROL_STATE.name, topics.ACTION_CHUNK.name)
_FRAME_S = 0.2


class Take:
    """Counts what is heard during one episode and hands it to a file.

    What is heard is counted by the thread that hears, what is written by the one that writes; all
    is counted when the last entry was written.

    Args:
        file: Where it is written.
        embodiment: The robot.
        streams: What is recorded.
        expected: What is expected of each stream.
        begin: When the episode began [s].
        instruction: The task in words, as far as known.

    Attributes:
        audits: One a stream.
        success: Whether the task was done, None if nobody judged.
        end: When it ended [s], None while it goes on.
        cause: Why it ended, if nobody asked for it.
        verdict: What the checks say at the end.
    """

    def __init__(
        self,
        file: EpisodeFile,
        embodiment: Embodiment,
        streams: Sequence[Stream],
        expected: Sequence[Expectation],
        begin: float,
        instruction: str,
    ) -> None:
        self.file, self.begin, self.instruction = file, begin, instruction
        self._streams = streams
        self._driving = Driving(embodiment)
        self._who_spoke = ''
        self._told: list[tuple[float, str]] = []
        self.relabelled = False
        self.audits = [TopicAudit(each, begin) for each in expected]
        self.success: bool | None = None
        self.end: float | None = None
        self.cause = ''
        self.verdict = Verdict('none', '')

    @property
    def complete(self) -> bool:
        """Whether everything was heard that an episode cannot do without."""
        return all(a.count for a in self.audits if a.expected.need is Need.REQUIRED)

    @property
    def uri(self) -> str:
        """Where it lies or will lie; empty if nothing was written."""
        return self.file.uri if self.file.done else str(self.file.path)

    def begin_at(self, time: float) -> None:
        """Count from another time on [s]."""
        self.begin = time
        self.audits = [TopicAudit(audit.expected, time) for audit in self.audits]

    def tell(self, received: float, instruction: str) -> None:
        """Take in what task the robot was told."""
        if not self.instruction:
            self.instruction = instruction
        if not self._told or self._told[-1][1] != instruction:
            self._told.append((received, instruction))

    def relabel(self, instruction: str) -> None:
        """Set the task in words, whatever the robot was told."""
        self.instruction, self.relabelled = instruction, True

    def write(self, entry: Entry) -> None:
        """Hand one entry to the file."""
        if self._streams[entry.stream].role is Role.INSTRUCTION:
            return  # written at the end, when the task is certain
        self._look(entry)
        if not self.file.write(entry):
            self.audits[entry.stream].unwritten += 1

    def replay(self, standing: Sequence[Entry], since: Sequence[Entry]) -> None:
        """Take in entries that were kept in memory, with what was in force before them."""
        for entry in since:
            stream = self._streams[entry.stream]
            if stream.topic == entry.topic:
                stamp = header_stamp(entry.data) if stream.stamped else None
                self.audits[entry.stream].hear(entry.received, stamp)
        told = [i for i, each in enumerate(self._streams) if each.role is Role.INSTRUCTION]
        entries = [entry for entry in (*standing, *since) if entry.stream not in told]
        for entry in entries:
            self._look(entry)
        self.file.feed(entries)

    def findings(self, now: float, *, live: bool = False) -> list[Finding]:
        """What is wrong with the recording."""
        found = [f for audit in self.audits for f in audit.findings(now, live=live)]
        if self._who_spoke:
            found.append(Finding(SUSPECT, '', self._who_spoke))
        others = [text for _, text in self._told if text != self.instruction]
        if others and not self.relabelled:
            text = f'the robot was told {others[-1]!r} too; record one episode for each task'
            found.append(Finding(SUSPECT, '', text))
        if not self.instruction:
            found.append(Finding(SUSPECT, '', 'no instruction was told; relabel the episode'))
        return found

    def ending(self, complete: Callable[[dict[str, Any]], dict[str, Any]]) -> Ending:
        """What completes the file, with the verdict, once all is written.

        Args:
            complete: Adds what others know at the end to these details.
        """
        assert self.end is not None
        self.verdict = verdict_of(self.findings(self.end))
        details = {
            'duration_s': self.end - self.begin,
            'verdict': self.verdict.verdict,
            'verdict_reason': self.verdict.reason,
            'ended_by': self.cause,
            'told': [[time - self.begin, text] for time, text in self._told],
            'relabelled': self.relabelled,
            'topics': self._facts(self.end),
        }
        return Ending(
            begin=self.begin,
            instruction=self.instruction,
            success=self.success,
            sources=self._sources(self.begin, self.end),
            changes=lambda: complete(details),
        )

    def _facts(self, end: float) -> dict[str, dict[str, float | None]]:
        facts = {}
        for audit in self.audits:
            quickest = audit.quickest_s
            facts[audit.expected.name] = {
                'count': audit.count,
                'rate_hz': round(audit.rate_hz(end), 3),
                'expected_hz': audit.expected.rate_hz,
                'drops': audit.lost,
                'gaps': audit.gaps,
                'longest_gap_s': round(audit.longest_gap_s, 4),
                'quickest_s': round(quickest, 4) if np.isfinite(quickest) else None,
            }
        return facts

    def _look(self, entry: Entry) -> None:
        """Take note of who drives."""
        if entry.topic.name not in _DRIVING:
            return
        try:
            msg = message_from(entry.topic.kind, entry.data)
            self._driving.hear(entry.topic.name, msg)
        except DataError as error:
            self._who_spoke = f'{entry.topic.name}: {error}'

    def _sources(self, begin: float, end: float) -> tuple[str, ...]:
        stamps = np.arange(begin, max(end, begin + 1e-3), _FRAME_S)
        ends = np.minimum(stamps + _FRAME_S, end)
        return tuple(
            name for name, _ in Counter(self._driving.sources(stamps, ends)).most_common()
        )
