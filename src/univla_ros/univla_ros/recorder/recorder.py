"""Records episodes: the operator's verbs, and what is going on. Knows nothing of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from univla_core.embodiment import Embodiment
from univla_data.message_types import message_from
from univla_data.provenance import Provenance

from univla_ros.recorder.audit import Expectation
from univla_ros.recorder.audit import Finding
from univla_ros.recorder.audit import SequenceWatch
from univla_ros.recorder.audit import Verdict
from univla_ros.recorder.conversion import Conversion
from univla_ros.recorder.entry import Entry
from univla_ros.recorder.entry import header_stamp
from univla_ros.recorder.episode_file import EpisodeFile
from univla_ros.recorder.intake import Intake
from univla_ros.recorder.names import NO_TASK
from univla_ros.recorder.names import episode_path
from univla_ros.recorder.ring import Ring
from univla_ros.recorder.rules import RecordError
from univla_ros.recorder.rules import RecorderRules
from univla_ros.recorder.rules import State
from univla_ros.recorder.streams import Role
from univla_ros.recorder.streams import Stream
from univla_ros.recorder.take import Take

_MB = 2**20


class Recorder:
    """Hears a robot's streams and records episodes of them.

    All methods belong to one thread; writing is done by others.

    Args:
        embodiment: The robot.
        space: Its namespace, with a leading slash.
        streams: What is recorded.
        rules: How.
        describe: The provenance of an episode with an instruction, as far as known.
        complete: Fields of the provenance at the end, with these details.
        description: URDF of the robot as an entry received at a time [s].
        notify: Called from other threads when `look` has something to do.

    Attributes:
        last: The take that ended last, None before one.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        space: str,
        streams: Sequence[Stream],
        rules: RecorderRules,
        *,
        describe: Callable[[str], Provenance],
        complete: Callable[[dict[str, Any]], dict[str, Any]],
        description: Callable[[float], Entry],
        notify: Callable[[], None],
    ) -> None:
        self._embodiment, self._streams, self._rules = embodiment, streams, rules
        self._describe, self._complete, self._notify = describe, complete, notify
        self._description = description
        self.expected = [_expectation(stream, space, rules.max_skew_s) for stream in streams]
        self._sequences = [SequenceWatch() for _ in streams]
        standing = [i for i, stream in enumerate(streams) if stream.standing]
        self.conversion = Conversion(embodiment, streams, rules.quality)
        self._ring = Ring(rules.ring_s, int(rules.ring_mb * _MB), standing)
        self._intake = Intake(self.conversion, self._ring, int(rules.queue_mb * _MB))
        self._instruction = ''
        self._ending: list[Take] = []
        self.running: Take | None = None
        self.last: Take | None = None
        self.unheard: Counter[int] = Counter()

    @property
    def state(self) -> State:
        """What is being done now."""
        if self.running is not None:
            return State.RECORDING if self.running.complete else State.WAITING
        if self._ending:
            return State.FINISHING
        return State.FAILED if self.last is not None and self.last.cause else State.IDLE

    @property
    def newest(self) -> Take | None:
        """The episode being recorded, or the one that was recorded last."""
        return self.running or (self._ending[-1] if self._ending else self.last)

    @property
    def kept_bytes(self) -> int:
        """Memory that the last seconds take."""
        return self._ring.bytes

    @property
    def problem(self) -> str:
        """Why nothing can be recorded any more; empty if all is well."""
        return self._intake.problem

    def hear(self, stream: int, received: float, data: bytes, sequence: int | None = None) -> None:
        """Take in a message.

        Args:
            stream: Number of its stream.
            received: When it arrived [s].
            data: Its bytes in CDR.
            sequence: Its number, as its publisher counts; None if unknown.
        """
        missing = self._sequences[stream].missing(sequence)
        if not self._intake.put(stream, received, data):
            self.unheard[stream] += 1
            missing += 1
        kind = self._streams[stream]
        if kind.role is Role.INSTRUCTION:
            self.tell(received, message_from(kind.topic.kind, data).data)
        if self.running is not None:
            audit = self.running.audits[stream]
            audit.drops += missing
            audit.hear(received, header_stamp(data) if kind.stamped else None)

    def lost(self, stream: int, count: int) -> None:
        """Take in that the middleware lost messages."""
        if self.running is not None:
            self.running.audits[stream].drops += count

    def tell(self, received: float, instruction: str) -> None:
        """Take in the robot's task in words."""
        if not instruction.strip():
            return
        self._instruction = instruction
        if self.running is not None:
            self.running.tell(received, instruction)

    def start(self, now: float, name: str = '', instruction: str = '') -> Take:
        """Begin an episode.

        Args:
            now: The time [s].
            name: Its name; empty takes the time.
            instruction: The task in words; empty takes what the robot was told last.

        Raises:
            RecordError: If one is being recorded.
            DataError: If it cannot be written.
        """
        if self.running is not None:
            raise RecordError(f'{self.running.file.path} is being recorded; stop it first')
        take = self._take(now, name, now, instruction)
        take.relabelled = bool(instruction.strip())
        self._intake.begin(take, self._description(now))
        self.running = take
        return take

    def stop(self, now: float, success: bool | None = None, cause: str = '') -> Take:
        """End the episode and complete its file.

        Args:
            now: The time [s].
            success: Whether the task was done, None if nobody judges.
            cause: Why, if nobody asked for it.

        Raises:
            RecordError: If nothing is being recorded.
        """
        take = self._running('stop')
        take.end, take.success, take.cause = now, success, cause
        self.running = None
        self._ending.append(take)
        self._intake.end(lambda: self._finish(take))
        return take

    def discard(self, now: float) -> Take:
        """End the episode and remove what was written of it.

        Raises:
            RecordError: If nothing is being recorded.
        """
        take = self._running('discard')
        take.end, take.verdict = now, Verdict('none', 'discarded')
        self.running = None
        self._ending.append(take)
        self._intake.end(take.file.discard)
        return take

    def relabel(self, instruction: str) -> Take:
        """Set the task of the episode in words, whatever the robot was told.

        Raises:
            RecordError: If nothing is being recorded, or there are no words.
        """
        if not instruction.strip():
            raise RecordError('the instruction is empty; say what the robot does')
        take = self._running('relabel')
        take.relabel(instruction.strip())
        return take

    def keep(self, now: float, seconds: float) -> Take:
        """Make an episode of the last `seconds` [s]; one being recorded goes on.

        Raises:
            RecordError: If nothing is kept.
            DataError: If it cannot be written.
        """
        if not self._rules.ring_s:
            raise RecordError('nothing is kept in memory; set ring_s to more than 0')
        take = self._take(now, '', now - seconds, '')
        take.end = now
        self._ending.append(take)

        def keep(ring: Ring) -> None:
            standing, since = ring.last(seconds)
            if not since:
                take.cause = 'nothing was heard yet'
                take.file.discard()
                return
            take.begin_at(since[0].received)
            take.file.feed([self._description(take.begin)])
            take.replay(standing, since)
            self._finish(take)

        self._intake.do(keep)
        return take

    def look(self, now: float) -> list[Take]:
        """End what must end; returns the takes whose files are complete since the last look."""
        if self.running is not None and (self.running.file.trouble or self.running.file.error):
            self.stop(now, cause=self.running.file.trouble or self.running.file.error)
        done = [take for take in self._ending if take.file.done]
        for take in done:
            self._ending.remove(take)
            take.cause = take.file.error or take.cause
            self.last = take
        return done

    def findings(self, now: float) -> list[Finding]:
        """What is wrong right now."""
        return self.running.findings(now, live=True) if self.running is not None else []

    def close(self, now: float, patience_s: float = 10.0) -> list[Take]:
        """End the episode and wait for the files; returns the takes that are complete."""
        if self.running is not None:
            self.stop(now, cause='the recorder was stopped')
        self._intake.close()
        for take in self._ending:
            take.file.join(patience_s)
        return self.look(now)

    def _running(self, verb: str) -> Take:
        if self.running is None:
            raise RecordError(f'cannot {verb}: no episode is being recorded; start one first')
        return self.running

    def _take(self, now: float, name: str, begin: float, instruction: str) -> Take:
        told = instruction.strip() or self._instruction
        folder = self._rules.folder / self._embodiment.name / (self._rules.task or NO_TASK)
        file = EpisodeFile(
            episode_path(folder, name, now),
            self._embodiment,
            self._describe(told),
            self._rules.disk,
            self._notify,
        )
        return Take(file, self._embodiment, self._streams, self.expected, begin, told)

    def _finish(self, take: Take) -> None:
        take.file.finish(take.ending(self._complete))


def _expectation(stream: Stream, space: str, max_skew_s: float) -> Expectation:
    name = stream.topic.name
    return Expectation(
        name=name if name.startswith('/') else f'{space.rstrip("/")}/{name}',
        rate_hz=stream.rate_hz,
        need=stream.need,
        **({'max_delay_s': max_skew_s} if stream.stamped else {}),
    )
