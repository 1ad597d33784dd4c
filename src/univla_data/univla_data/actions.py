"""Action labels of a recorded episode: what was commanded, in any action space.

Labels come from the commands sent, never from the measured joints, which follow with a lag. Row
`i` of frame `t` says what was commanded until `stamp + (i + 1) · step`, and `ChunkPlan` turns the
rows back into the same set-points. After the end nothing moves and the gripper stays.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from univla_core.action_space import action_space as space_of
from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_core.poses import vector_from_rotation
from univla_core.robot_state import RobotState
from univla_core.robot_state import proprioception as told_to_decoders

from univla_data.command_track import CommandTrack
from univla_data.episode import Episode
from univla_data.episode import SentCommands

#: Rows of a chunk, and the time between them [s].
HORIZON, STEP_S = 4, 0.2
#: Sources whose motion is not worth imitating.
UNCLEAN = ('kick', 'detour', 'hold', 'random')


def actions(
    episode: Episode,
    embodiment: Embodiment,
    action_space: str,
    horizon: int = HORIZON,
    step: float = STEP_S,
) -> np.ndarray:
    """The action chunk that every frame should have been answered with.

    Args:
        episode: The episode.
        embodiment: Its robot.
        action_space: One that the robot takes.
        horizon: Rows of a chunk.
        step: Time between two rows [s].

    Returns:
        Chunks in robot units, float64, shape (T, horizon, action_dim).

    Raises:
        ConfigError: If the robot does not take the action space.
        DataError: If the episode is of another robot.
    """
    names = embodiment.action_names(action_space)
    if episode.robot != embodiment.name:
        raise DataError(
            f'the episode is of {episode.robot!r}, its actions were asked for '
            f'{embodiment.name!r}; take the robot of the episode'
        )
    track = _track(episode)
    begins = episode.stamps[:, None] + step * np.arange(horizon)  # (T, horizon)
    ends = episode.stamps[:, None] + step * np.arange(1, horizon + 1)
    if embodiment.kind == 'base':
        rows = track.mean_between(begins, ends)
    else:
        rows = _arm_rows(track, embodiment, action_space, begins, ends)
    if embodiment.gripper is not None:
        rows = np.concatenate([rows, track.openings_until(ends)[..., None]], axis=-1)
    assert rows.shape[-1] == len(names)
    return rows


def proprioception(episode: Episode) -> np.ndarray:
    """What a decoder head is told of the robot at every frame, shape (T, p)."""
    return np.stack(
        [
            told_to_decoders(RobotState(0.0, axes, opening if np.isfinite(opening) else None))
            for axes, opening in zip(episode.positions, episode.opening, strict=True)
        ]
    )


def valid(episode: Episode, horizon: int = HORIZON, step: float = STEP_S) -> np.ndarray:
    """Frames that the live policy would have planned on and whose chunk was recorded whole."""
    end = episode.stamps[-1] if episode.sent is None else episode.sent.times[-1]
    whole = episode.stamps + horizon * step <= end + 0.5 * step
    return whole if episode.fresh is None else whole & episode.fresh


def clean(
    episode: Episode,
    horizon: int = HORIZON,
    step: float = STEP_S,
    unclean: Collection[str] = UNCLEAN,
) -> np.ndarray:
    """Frames that the live policy would have planned on and whose chunk nobody spoiled, (T,).

    A chunk is spoiled if a kick, chance, or nobody drove during one of its rows. Rows past the
    end ask for no motion and spoil nothing.
    """
    bad = np.isin(episode.sources, list(unclean))
    times = episode.stamps[:, None] + step * (np.arange(horizon) + 0.5)
    index = np.searchsorted(episode.stamps, times, side='right') - 1  # the frame of each row
    past = times > episode.stamps[-1] + episode.period_s
    good = ~bad & ~(bad[np.maximum(index, 0)] & ~past).any(axis=1)
    return good if episode.fresh is None else good & episode.fresh


def _track(episode: Episode) -> CommandTrack:
    sent = episode.sent
    if sent is None:
        sent = SentCommands(
            times=episode.stamps, values=episode.commands, openings=episode.command_opening
        )
    return CommandTrack(sent, episode.stamps[0], episode.positions[0], episode.opening[0])


def _arm_rows(
    track: CommandTrack,
    embodiment: Embodiment,
    action_space: str,
    begins: np.ndarray,
    ends: np.ndarray,
) -> np.ndarray:
    space = space_of(action_space)
    before, after = track.at(begins), track.at(ends)
    if not space.cartesian:
        return after - before if space.relative else after
    place, rotation = _poses(embodiment, after)
    if not space.relative:
        return np.concatenate([place, _vectors(rotation)], axis=-1)
    start, R_base_start = _poses(embodiment, before)
    turns = rotation @ np.swapaxes(R_base_start, -1, -2)
    return np.concatenate([place - start, _vectors(turns)], axis=-1)


def _poses(embodiment: Embodiment, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (…, 3) and rotations (…, 3, 3) of the end effector for joint angles (…, n)."""
    assert embodiment.chain is not None
    flat = joints.reshape(-1, joints.shape[-1])
    place, rotation, _, _ = embodiment.chain.motion(flat, np.zeros_like(flat))
    lead = joints.shape[:-1]
    return place.reshape(*lead, 3), rotation.reshape(*lead, 3, 3)


def _vectors(rotations: np.ndarray) -> np.ndarray:
    """Rotation vectors (…, 3) [rad] of rotations (…, 3, 3)."""
    flat = [vector_from_rotation(rotation) for rotation in rotations.reshape(-1, 3, 3)]
    return np.array(flat).reshape(*rotations.shape[:-2], 3)
