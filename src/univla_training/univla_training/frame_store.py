"""Frames of many episodes as arrays, and the ways to draw samples from them."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from univla_core.errors import TrainingError

from univla_training.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class EpisodeRow:
    """One episode in the arrays: frames `start` to `stop`, the latter not included.

    Attributes:
        axes: Commanded axes of the robot, the gripper not counted.
        gripper: Whether the robot has one.
        spaces: Action spaces that its actions are known in.
        camera: Size of the original picture, (height, width) [px].
        drivers: Who drove, and for how many frames in a row; empty if nobody noted it.
    """

    key: str
    path: str
    robot: str
    task: str
    instruction: str
    seed: int
    success: bool | None
    start: int
    stop: int
    axes: int
    gripper: bool
    spaces: tuple[str, ...]
    camera: tuple[int, int]
    drivers: tuple[tuple[str, int], ...] = ()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.stop - self.start

    @property
    def group(self) -> tuple[str, str]:
        """Robot and task."""
        return self.robot, self.task


class FrameStore:
    """Arrays over all frames, and a selection of episodes.

    Frame indices are global: they mean the same in every selection of one store.

    Attributes:
        episodes: The selected episodes.
        arrays: `pictures` (N, side, side, 3) uint8 RGB; `stamps` (N,) [s]; `positions` and
            `commands` (N, width) [rad]; `opening` and `command_opening` (N,); `clean` (N,): the
            actions from here on are worth imitating (no kick, random or hold, no failed episode);
            `actions/<space>` (N, horizon, width). Float32; NaN where a robot has no such value.
    """

    def __init__(self, episodes: Sequence[EpisodeRow], arrays: Mapping[str, np.ndarray]) -> None:
        self.episodes = tuple(episodes)
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def pictures(self) -> np.ndarray:
        """All pictures, (N, side, side, 3) uint8 RGB, on disk."""
        return self.arrays['pictures']

    @property
    def clean(self) -> np.ndarray:
        """Whether the actions from each frame on are worth imitating, (N,)."""
        return self.arrays['clean']

    @cached_property
    def frames(self) -> np.ndarray:
        """Indices of the frames of the selected episodes, int64."""
        ranges = [np.arange(row.start, row.stop) for row in self.episodes]
        return np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)

    @cached_property
    def signature(self) -> str:
        """Hash of the selected episodes and their places: equal if frame indices mean the same."""
        text = ','.join(f'{row.key}@{row.start}' for row in self.episodes)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def robots(self) -> tuple[str, ...]:
        """Robots of the selected episodes, sorted; `robot_of` counts in this order."""
        return tuple(sorted({row.robot for row in self.episodes}))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of the selected episodes, sorted."""
        return tuple(sorted({row.task for row in self.episodes}))

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.array([row.start for row in self.episodes], dtype=np.int64)

    @cached_property
    def _stops(self) -> np.ndarray:
        return np.array([row.stop for row in self.episodes], dtype=np.int64)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self._starts)

    def episode_of(self, indices: np.ndarray) -> np.ndarray:
        """Place of each frame's episode in `episodes`; frames must be of selected episodes."""
        starts = self._starts[self._order]
        places = self._order[np.searchsorted(starts, indices, side='right') - 1]
        assert (indices < self._stops[places]).all(), 'frame of an episode that is not selected'
        return places

    def window(self, indices: np.ndarray, offset: int) -> np.ndarray:
        """Index of the frame `offset` later, or of the last one of the episode."""
        return np.minimum(indices + offset, self._stops[self.episode_of(indices)] - 1)

    def instructions(self, indices: np.ndarray) -> list[str]:
        """Instruction of each frame's episode."""
        return [self.episodes[place].instruction for place in self.episode_of(indices)]

    def robot_of(self, indices: np.ndarray) -> np.ndarray:
        """Place of each frame's robot in `robots`."""
        places = {robot: number for number, robot in enumerate(self.robots)}
        table = np.array([places[row.robot] for row in self.episodes])
        return table[self.episode_of(indices)]

    def proprioception(self, indices: np.ndarray) -> np.ndarray:
        """Measured axes and, for robots with a gripper, its opening: (batch, dim) float32.

        Frames must be of robots with equally many axes.
        """
        row = self._one_body(indices)
        values = self.arrays['positions'][indices, : row.axes]
        if row.gripper:
            values = np.concatenate([values, self.arrays['opening'][indices, None]], axis=1)
        return values

    def actions(self, indices: np.ndarray, space: str) -> np.ndarray:
        """Action chunks in robot units, (batch, horizon, dim) float32.

        Frames must be of robots with equally many dimensions.
        """
        row = self._one_body(indices)
        if space not in row.spaces:
            raise TrainingError(
                f'episodes of {row.robot} have no actions in {space!r}; '
                f'they have {", ".join(row.spaces)}'
            )
        chunks = self.arrays[f'actions/{space}'][indices]
        return chunks[..., : self._dim(row, space)]

    def _one_body(self, indices: np.ndarray) -> EpisodeRow:
        rows = [self.episodes[place] for place in np.unique(self.episode_of(indices))]
        assert len({(row.axes, row.gripper) for row in rows}) == 1, 'bodies of different sizes'
        return rows[0]

    @staticmethod
    def _dim(row: EpisodeRow, space: str) -> int:
        return (6 if space.startswith('eef') else row.axes) + row.gripper

    def only(
        self,
        robots: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        where: Callable[[EpisodeRow], bool] | None = None,
    ) -> FrameStore:
        """The episodes of some robots and tasks; empty or None takes all."""
        some, kinds = set(robots or ()), set(tasks or ())
        return self._select(
            row
            for row in self.episodes
            if (not some or row.robot in some)
            and (not kinds or row.task in kinds)
            and (where is None or where(row))
        )

    def share(self, share: float, seed: int = 0) -> FrameStore:
        """The first part of the episodes of each robot and task, in an order drawn from the seed.

        At least one of each; a smaller share is contained in a larger one.
        """
        return self._select(
            row
            for rows in self._drawn(seed)
            for row in rows[: max(1, math.ceil(share * len(rows) - 1e-9))]
        )

    def split(self, share: float, seed: int = 0) -> tuple[FrameStore, FrameStore]:
        """All but a share of the episodes of each robot and task, and that share.

        A group of one episode is trained on.
        """
        train: list[EpisodeRow] = []
        held: list[EpisodeRow] = []
        for rows in self._drawn(seed):
            count = min(len(rows) - 1, math.ceil(share * len(rows) - 1e-9))
            held += rows[:count]
            train += rows[count:]
        return self._select(train), self._select(held)

    def sampler(
        self,
        weights: Mapping[str, float] | None = None,
        *,
        clean: bool = False,
        space: str | None = None,
    ) -> Sampler:
        """Draws frames; see `Sampler`."""
        return Sampler(self, weights, clean=clean, space=space)

    def require(self, robot: str, space: str | None = None) -> FrameStore:
        """The episodes of one robot.

        Raises:
            TrainingError: If there are none, or none with actions in that space.
        """
        found = self.only([robot])
        if not found.episodes:
            known = ', '.join(self.robots) or '(none)'
            raise TrainingError(
                f'no episodes of robot {robot!r}; the data hold {known}. Collect some: '
                f'`./univla collect --robot {robot} --task …`'
            )
        if space is not None:
            lacking = next((row for row in found.episodes if space not in row.spaces), None)
            if lacking is not None:
                raise TrainingError(
                    f'{lacking.path}: {robot} has no actions in {space!r}, only in '
                    f'{", ".join(lacking.spaces)}; choose one of them as --action-space'
                )
        return found

    def _select(self, rows: Iterable[EpisodeRow]) -> FrameStore:
        return FrameStore(sorted(rows, key=lambda row: row.start), self.arrays)

    def _drawn(self, seed: int) -> list[list[EpisodeRow]]:
        """Episodes by robot and task, each group in an order of its own drawn from the seed."""
        groups: dict[tuple[str, str], list[EpisodeRow]] = {}
        for row in sorted(self.episodes, key=lambda row: (row.seed, row.path)):
            groups.setdefault(row.group, []).append(row)
        drawn = []
        for group, rows in sorted(groups.items()):
            rng = np.random.default_rng((seed, zlib.crc32('/'.join(group).encode())))
            drawn.append([rows[number] for number in rng.permutation(len(rows))])
        return drawn

    def describe(self) -> list[dict[str, Any]]:
        """Episodes and frames of each robot and task."""
        groups: dict[tuple[str, str], list[EpisodeRow]] = {}
        for row in self.episodes:
            groups.setdefault(row.group, []).append(row)
        return [
            {
                'robot': robot,
                'task': task,
                'episodes': len(rows),
                'frames': sum(row.frames for row in rows),
                'clean': int(sum(self.clean[row.start : row.stop].sum() for row in rows)),
            }
            for (robot, task), rows in sorted(groups.items())
        ]
