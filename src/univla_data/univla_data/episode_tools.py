"""Look at recorded episodes without their pictures: what there is, and what stands out."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_core.errors import UnivlaError

from univla_data import topics
from univla_data.bag import Bag
from univla_data.driving import Driving
from univla_data.episode_reader import RATE_HZ
from univla_data.episode_reader import read_provenance
from univla_data.export_journal import size_of
from univla_data.provenance import Provenance
from univla_data.states import States

#: A frame is idle if its command asks for less than this: joints [rad], twist, opening.
IDLE_JOINT, IDLE_TWIST, IDLE_OPENING = 0.002, 0.01, 0.02
#: How far from the others an episode is an outlier, in robust standard deviations.
OUTLIER = 3.5
#: What is compared, and the spread that is there at least: [s], share, [rad/s].
_MEASURES = {'seconds': 0.2, 'idle_share': 0.05, 'speed': 0.05}


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How a robot moved through an episode.

    Attributes:
        path: Folder of the episode.
        provenance: Where it comes from.
        megabytes: Size on the disk [MB].
        counts: Messages of each topic.
        interrupted: Whether its end is missing.
        base: Whether the robot is a base, whose axes are velocities.
        stamps: Ticks of the policy's clock from the first command to the last [s], shape (T,).
        commands: Set-points, or mean twists, shape (T, n).
        positions: Measured axes, shape (T, n).
        sources: Who drove, shape (T,).
        idle: Whether the command asked for nothing new, shape (T,).
    """

    path: Path
    provenance: Provenance
    megabytes: float
    counts: Mapping[str, int]
    interrupted: bool
    base: bool
    stamps: np.ndarray
    commands: np.ndarray
    positions: np.ndarray
    sources: np.ndarray
    idle: np.ndarray

    @property
    def seconds(self) -> float:
        """Time from the first command to the last [s]."""
        return float(self.stamps[-1] - self.stamps[0])

    @property
    def idle_share(self) -> float:
        """Share of frames in which nothing new was asked for."""
        return float(self.idle.mean())

    @property
    def speed(self) -> float:
        """Largest commanded speed between two ticks: [rad/s] of joints, of a base its twist."""
        if self.base:
            return float(np.abs(self.commands).max())
        if len(self.stamps) < 2:
            return 0.0
        rates = np.diff(self.commands, axis=0) / np.diff(self.stamps)[:, None]
        return float(np.abs(rates).max())

    @property
    def shares(self) -> dict[str, float]:
        """Share of the frames that each source drove, most first."""
        counted = Counter(self.sources.tolist())
        return {name: count / len(self.sources) for name, count in counted.most_common()}


def read_motion(path: Path, rate_hz: float = RATE_HZ) -> Motion:
    """Read what moved in an episode, without its pictures.

    Raises:
        DataError: Naming file and topic of what is missing or wrong.
    """
    provenance = read_provenance(path)
    try:
        embodiment = load_embodiment(provenance.robot)
    except UnivlaError as error:
        raise DataError(f'{path}: {error}') from error
    space = '/' + (provenance.namespace or provenance.robot).strip('/')
    states, driving = States(embodiment), Driving(embodiment)
    measured = (topics.JOINT_STATES.name, topics.ODOMETRY.name)
    asked = (topics.COMMAND.name, topics.ACTION_CHUNK.name, topics.CONTROL_STATE.name)
    with Bag(path) as bag:
        for name, _, msg in bag.messages([f'{space}/{relative}' for relative in measured + asked]):
            relative = name.removeprefix(f'{space}/')
            try:
                if relative in measured:
                    states.hear(msg)
                else:
                    driving.hear(relative, msg)
            except UnivlaError as error:
                raise DataError(f'{path}: {name}: {error}') from error
        counts, interrupted = dict(bag.counts), bag.interrupted
    if not driving.commands or not states:
        missing = topics.COMMAND.name if states else '/'.join(measured)
        raise DataError(f'{path}: {space}/{missing} holds nothing; the episode is empty')
    sent = driving.sent()
    ticks = int((sent.times[-1] - sent.times[0]) * rate_hz) + 1
    stamps = sent.times[0] + np.arange(ticks) / rate_hz
    ends = stamps + 1.0 / rate_hz
    positions, opening, _ = states.at(stamps, np.inf)
    commands, openings = driving.commands_at(stamps, ends, positions, opening)
    return Motion(
        path=path,
        provenance=provenance,
        megabytes=size_of(path) / 1e6,
        counts=counts,
        interrupted=interrupted,
        base=embodiment.kind == 'base',
        stamps=stamps,
        commands=commands,
        positions=positions,
        sources=driving.sources(stamps, ends),
        idle=_idle(commands, openings, embodiment.kind == 'base'),
    )


def outliers(motions: Sequence[Motion]) -> dict[Path, list[str]]:
    """Episodes that differ from the others of the same robot and task, and in what.

    Measured by the modified z-score (Iglewicz and Hoaglin, 1993), which outliers themselves do not
    move; groups of fewer than five are not judged. A spread below a twentieth of the median, or
    below a least one for each measure, counts as that much.
    """
    groups: defaultdict[tuple[str, str], list[Motion]] = defaultdict(list)
    for motion in motions:
        groups[motion.provenance.robot, motion.provenance.task].append(motion)
    found: defaultdict[Path, list[str]] = defaultdict(list)
    for group in groups.values():
        if len(group) < 5:
            continue
        for measure, least in _MEASURES.items():
            values = np.array([getattr(motion, measure) for motion in group])
            middle = np.median(values)
            spread = 1.4826 * np.median(np.abs(values - middle))
            spread = max(spread, 0.05 * abs(middle), least)
            for motion, value in zip(group, values, strict=True):
                score = (value - middle) / spread
                if abs(score) > OUTLIER:
                    found[motion.path].append(
                        f'{measure} {value:.2f}, median {middle:.2f} ({score:+.1f} σ)'
                    )
    return dict(found)


def _idle(commands: np.ndarray, openings: np.ndarray, base: bool) -> np.ndarray:
    """Frames until whose end neither axes nor gripper are asked to move, shape (T,)."""
    if base:
        return np.abs(commands).max(axis=1) < IDLE_TWIST
    moved = np.abs(np.diff(commands, axis=0, append=commands[-1:])).max(axis=1)
    turned = np.abs(np.diff(openings, prepend=openings[:1]))
    return (moved < IDLE_JOINT) & ~(np.nan_to_num(turned) >= IDLE_OPENING)
