"""Export recorded episodes: read on the policy's clock, written for other training code."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from typing import Protocol

from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.errors import DataError
from univla_core.errors import UnivlaError

from univla_data.episode_reader import RATE_HZ
from univla_data.episode_reader import find_episodes
from univla_data.episode_reader import read_episode
from univla_data.episode_reader import read_provenance
from univla_data.export_frames import ExportFrames
from univla_data.export_frames import export_frames
from univla_data.export_journal import ExportJournal
from univla_data.export_journal import fingerprint
from univla_data.export_journal import size_of

FORMATS = ('lerobot', 'hdf5', 'rlds')
#: What `rlds` needs beside the suite.
_RLDS_EXTRA = ('tensorflow', 'tensorflow_datasets')


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How episodes are exported.

    Attributes:
        format: One of `FORMATS`.
        out: Folder of the data set; must not exist.
        rate_hz: Frames per second [Hz].
        action_space: Meaning of the actions; empty takes the first one of the robot.
        robot: Leave out episodes of other robots; empty takes the robot of the first episode
            and complains about others.
        success_only: Leave out episodes that failed or that nobody judged.
        raw: HDF5: store pictures as they are, not as JPEG.
        equal_length: HDF5: fill short episodes up to the longest.
    """

    format: str
    out: Path
    rate_hz: float = RATE_HZ
    action_space: str = ''
    robot: str = ''
    success_only: bool = False
    raw: bool = False
    equal_length: bool = True


@dataclass(kw_only=True)
class ExportReport:
    """What an export did.

    Attributes:
        episodes: Episodes in the data set.
        frames: Their frames.
        before: Episodes that an earlier, interrupted run had exported.
        left_out: Episodes that were not asked for.
        problems: Episodes that could not be exported, and why.
        read_bytes: Size of the episodes exported in this run [bytes].
        wall_s: Time that it took [s].
    """

    episodes: int = 0
    frames: int = 0
    before: int = 0
    left_out: int = 0
    problems: list[tuple[Path, str]] = field(default_factory=list)
    read_bytes: int = 0
    wall_s: float = 0.0


class Writer(Protocol):
    """Writes one format."""

    def add(self, frames: ExportFrames, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write an episode; returns what `finish` must know of it."""

    def finish(self, records: Sequence[Mapping[str, Any]], signature: Mapping[str, Any]) -> None:
        """Make a data set of all episodes."""


class Export:
    """One export; `run` does it, or goes on where an interrupted one stopped.

    Args:
        paths: Folders with episodes at any depth.
        options: How.

    Attributes:
        sources: The episodes found.
        report: What was done so far.

    Raises:
        ConfigError: If the format is unknown or needs what is not installed.
        DataError: If there are no episodes, or `out` exists.
    """

    def __init__(self, paths: Sequence[Path], options: ExportOptions) -> None:
        _check_format(options)
        self.sources = find_episodes(paths)
        if not self.sources:
            listed = ', '.join(str(path) for path in paths)
            raise DataError(f'{listed}: holds no recorded episode; see `./univla collect`')
        self._options, self.report = options, ExportReport()
        wish = dataclasses.asdict(options)
        del wish['out']
        self._journal = ExportJournal(options.out, wish)
        try:
            self._writer = _writer(options, self._journal)
        except ConfigError:
            self._journal.remove()
            raise
        self._signature: dict[str, Any] | None = None
        if self._journal.records:
            self._signature = self._journal.records[0]['signature']

    def run(self, done: Callable[[Path], None] = lambda path: None) -> ExportReport:
        """Export every episode that can be exported; `done` is called after each.

        Raises:
            DataError: If none could be exported, or the disk is full.
        """
        begin = time.monotonic()
        try:
            self._run(done)
        finally:
            self._journal.release()
        self.report.wall_s = time.monotonic() - begin
        return self.report

    def _run(self, done: Callable[[Path], None]) -> None:
        report, journal = self.report, self._journal
        for source in self.sources:
            journal.check_room()
            try:
                self._take(source)
            except UnivlaError as error:
                report.problems.append((source, str(error)))
            done(source)
        if not journal.records or self._signature is None:
            journal.remove()
            raise DataError(self._nothing())
        report.episodes = len(journal.records)
        report.frames = sum(record['frames'] for record in journal.records)
        self._writer.finish(journal.records, self._signature)
        journal.complete(self._signature)

    def _take(self, source: Path) -> None:
        if self._journal.has(source):
            self.report.before += 1
            return
        if not self._wanted(source):
            self.report.left_out += 1
            return
        mark = fingerprint(source)
        frames = self._frames(source)
        self._check_same(frames)
        known = self._writer.add(frames, self._journal.records)
        self._signature = frames.signature
        self._journal.add(
            {
                'source': str(source),
                'fingerprint': mark,
                'instruction': frames.instruction,
                'frames': len(frames),
                'success': frames.success,
                'signature': frames.signature,
                **known,
            }
        )
        self.report.read_bytes += size_of(source)

    def _wanted(self, source: Path) -> bool:
        options = self._options
        if not options.robot and not options.success_only:
            return True
        known = read_provenance(source)
        return known.robot == (options.robot or known.robot) and (
            bool(known.success) or not options.success_only
        )

    def _frames(self, source: Path) -> ExportFrames:
        episode = read_episode(source, self._options.rate_hz)
        embodiment = load_embodiment(episode.robot)
        space = self._options.action_space or embodiment.action_spaces[0]
        return export_frames(episode, embodiment, space, self._options.rate_hz)

    def _check_same(self, frames: ExportFrames) -> None:
        """Refuse what does not fit the episodes before it."""
        mine = frames.signature
        for name, common in (self._signature or mine).items():
            if mine[name] != common:
                raise DataError(
                    f'{frames.source}: has {name} {mine[name]}, the episodes before it have '
                    f'{common}; export it alone, robots apart by `--robot`'
                )

    def _nothing(self) -> str:
        problems = self.report.problems
        why = f'; the first one: {problems[0][1]}' if problems else ''
        return (
            f'none of {len(self.sources)} episodes could be exported, {self.report.left_out} were '
            f'not asked for{why}'
        )


def _check_format(options: ExportOptions) -> None:
    if options.format not in FORMATS:
        raise ConfigError(f'--format {options.format!r} is unknown; it is {", ".join(FORMATS)}')
    if options.robot:
        load_embodiment(options.robot)
    if not 0.1 <= options.rate_hz <= 100.0:
        raise ConfigError(f'--rate-hz {options.rate_hz:g} is none; give 0.1 to 100')
    missing = [name for name in _RLDS_EXTRA if find_spec(name) is None]
    if options.format == 'rlds' and missing:
        raise ConfigError(
            f'--format rlds needs {" and ".join(missing)}, not installed here: `pip install '
            'tensorflow-cpu tensorflow-datasets`; or export --format lerobot, and convert that'
        )


def _writer(options: ExportOptions, journal: ExportJournal) -> Writer:
    """The writer of a format; its libraries are loaded only now."""
    if options.format == 'hdf5':
        from univla_data.hdf5_writer import Hdf5Writer

        return Hdf5Writer(journal.dataset, not options.raw, options.equal_length)
    if options.format == 'rlds':
        from univla_data.export_rlds import RldsWriter

        return RldsWriter(journal.dataset, journal.pieces)
    from univla_data.lerobot_writer import LeRobotWriter

    return LeRobotWriter(journal.dataset, journal.pieces, options.rate_hz)
