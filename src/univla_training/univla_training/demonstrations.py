"""Action labels of one robot, normalised, with the statistics that turn them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_core.norm_stats import NormStats
from univla_core.norm_stats import normalize
from univla_decoders.felt import with_position
from univla_decoders.increments import taken_apart

from univla_training.corrections import corrections
from univla_training.frame_store import FrameStore

#: Least distance between the quantiles of an action dimension: what moves less than this is
#: noise and must not be blown up to the whole range. Metres, radians, metres or radians a second.
_LEAST_WAY, _LEAST_TURN, _LEAST_TWIST = 0.01, 0.04, (0.05, 0.1)


@dataclass(frozen=True, kw_only=True)
class Demonstrations:
    """Frames of one robot with what it did there.

    Attributes:
        rows: Frames in the store, (m,).
        chunks: Normalised actions, (m, horizon, dim) float32.
        body: Normalised proprioception, (m, p) float32, or None.
        shares: Probability with which each frame is drawn, (m,): a task in proportion to the
            square root of its frames, so that long ones get more and short ones are not lost.
        statistics: As one entry of `dataset_statistics.json`.
        weights: How much each frame counts within its task, (m,).
        corrections: How many frames begin what a person did to correct a policy.
        position: Whether the last three values of `body` are where the end effector is.
        episodes: How many episodes the frames are of.
        tasks: Number of each frame's task, (m,).
    """

    rows: np.ndarray
    chunks: np.ndarray
    body: np.ndarray | None
    shares: np.ndarray
    statistics: Mapping[str, Any]
    weights: np.ndarray
    tasks: np.ndarray
    corrections: int = 0
    position: bool = False
    episodes: int = 0

    @property
    def action_dim(self) -> int:
        """Dimensions of an action."""
        return int(self.chunks.shape[2])

    @property
    def body_dim(self) -> int:
        """Size of the proprioception vector, 0 without one."""
        return 0 if self.body is None else int(self.body.shape[1])


def demonstrations(
    store: FrameStore,
    robot: str,
    space: str,
    *,
    share: float = 1.0,
    seed: int = 0,
    proprioception: bool = True,
    position: bool = False,
    statistics: Mapping[str, Any] | None = None,
    correction_weight: float = 1.0,
    imitate_policy: bool = False,
) -> Demonstrations:
    """Clean frames of a robot with normalised actions.

    Args:
        store: Episodes.
        robot: Which robot.
        space: Action space of the labels.
        share: Share of the episodes of each task whose labels are used.
        seed: Decides which.
        proprioception: Whether the head reads the measured joints.
        position: Whether it is told where the end effector of an arm is, too.
        statistics: Of other frames; None computes them from these.
        correction_weight: How much more a frame counts with which a person corrected a policy.
        imitate_policy: Whether to imitate what a policy did in an episode that was corrected.

    Raises:
        TrainingError: If nothing is left, or actions are not finite.
    """
    own = store.require(robot, space).share(share, seed)
    rows = own.frames[np.asarray(own.clean[own.frames], dtype=bool)]
    mended, mistaken = corrections(own, rows, own.arrays[f'actions/{space}'].shape[1])
    weights = np.where(mended, correction_weight, 1.0)
    kept = (weights > 0.0) & (imitate_policy | ~mistaken)
    rows, weights, mended = rows[kept], weights[kept], mended[kept]
    if not len(rows):
        raise TrainingError(
            f'no frame of {robot} is worth imitating: all its episodes failed, were kicked, or '
            'hold nothing but what a person had to correct'
        )
    chunks = np.asarray(own.actions(rows, space), dtype=np.float64)
    if is_relative(space):
        chunks = _from_measured(chunks, own.proprioception(rows), space, load_embodiment(robot))
    if not np.isfinite(chunks).all():
        raise TrainingError(f'actions of {robot} in {space} are not finite; look at its episodes')
    gripper = bool(own.episodes[0].gripper)
    body = None
    if proprioception:
        body = np.asarray(own.proprioception(rows), dtype=np.float64)
    embodiment = load_embodiment(robot)
    position = position and body is not None and embodiment.kind == 'arm'
    if body is not None and position:
        body = with_position(body, embodiment)
    if statistics is None:
        statistics = _statistics(chunks, body, space, gripper, own)
    scaled = normalize(chunks, _stats(statistics['action']), 'bounds_q99')
    felt = None
    if body is not None:
        felt = normalize(body, _stats(statistics['proprio']), 'mean_std').astype(np.float32)
    return Demonstrations(
        rows=rows,
        chunks=scaled.astype(np.float32),
        body=felt,
        shares=_shares(own, rows, weights),
        statistics=statistics,
        weights=weights,
        tasks=_tasks(own, rows),
        corrections=int(mended.sum()),
        position=position,
        episodes=len(own.episodes),
    )


def is_relative(space: str) -> bool:
    """Whether a head learns increments from the measured robot (`univla_decoders.increments`)."""
    return space in ('eef_pose', 'joint_position')


def _from_measured(
    chunks: np.ndarray, body: np.ndarray, space: str, embodiment: Embodiment
) -> np.ndarray:
    joints = body[:, : embodiment.axis_count].astype(float)
    return np.stack(
        [
            taken_apart(chunk, measured, space, embodiment)
            for chunk, measured in zip(chunks, joints, strict=True)
        ]
    )


def _statistics(
    chunks: np.ndarray, body: np.ndarray | None, space: str, gripper: bool, store: FrameStore
) -> dict[str, Any]:
    flat = chunks.reshape(-1, chunks.shape[-1])
    action = _moments(flat)
    low, high = action['q01'], action['q99']
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    half = np.maximum(half, 0.5 * _least(space, flat.shape[1]))
    action['q01'], action['q99'] = middle - half, middle + half
    action['min'] = np.minimum(action['min'], action['q01'])
    action['max'] = np.maximum(action['max'], action['q99'])
    mask = np.ones(flat.shape[1], dtype=bool)
    mask[-1] = not gripper
    entry: dict[str, Any] = {'action': {**_plain(action), 'mask': mask.tolist()}}
    if body is not None:
        entry['proprio'] = _plain(_moments(body))
    entry['num_transitions'] = len(chunks)
    entry['num_trajectories'] = len(store.episodes)
    return entry


def _least(space: str, dim: int) -> np.ndarray:
    if space == 'base_twist':
        return np.array(_LEAST_TWIST)
    least = np.full(dim, _LEAST_TURN)
    if space.startswith('eef'):
        least[:3] = _LEAST_WAY
    return least


def _moments(values: np.ndarray) -> dict[str, np.ndarray]:
    return {
        'mean': values.mean(axis=0),
        'std': values.std(axis=0),
        'min': values.min(axis=0),
        'max': values.max(axis=0),
        'q01': np.quantile(values, 0.01, axis=0),
        'q99': np.quantile(values, 0.99, axis=0),
    }


def _plain(values: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: [float(x) for x in value] for name, value in values.items()}


def _stats(entry: Mapping[str, Any]) -> NormStats:
    names = {'q01': 'q01', 'q99': 'q99', 'mean': 'mean', 'std': 'std'}
    names |= {'min': 'minimum', 'max': 'maximum'}
    known = {ours: np.array(entry[name]) for name, ours in names.items()}
    if 'mask' in entry:
        known['mask'] = np.array(entry['mask'])
    return NormStats(**known)


def _tasks(store: FrameStore, rows: np.ndarray) -> np.ndarray:
    names = [row.task for row in store.episodes]
    return np.unique(names, return_inverse=True)[1][store.episode_of(rows)]


def _shares(store: FrameStore, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    tasks = _tasks(store, rows)
    shares = np.zeros(len(rows))
    for task in np.unique(tasks):
        mine = tasks == task
        shares[mine] = np.sqrt(mine.sum()) * weights[mine] / weights[mine].sum()
    return shares / shares.sum()
