"""Run the policy on recorded observations, and compare its chunks with what was executed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_core.observation import Observation
from univla_core.robot_state import RobotState
from univla_data.actions import actions
from univla_data.actions import valid
from univla_data.episode import Episode

from univla_ros.replay.comparison import standing_still
from univla_ros.replay.recording import SAME_S
from univla_ros.replay.recording import Recording
from univla_ros.rollout.checkpoint_brain import PolicyBrain


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """What the policy plans on n frames of an episode.

    Attributes:
        frames: Index of each frame in the episode, (n,).
        codes: Codes planned, int32, (n, codes).
        chunks: Planned chunks in robot units, float64, (n, horizon, dim).
        executed: What was commanded in their place, alike.
        still: Chunks that ask for no motion, alike.
        whole: Whether a frame's chunk was recorded to its end, (n,).
        action_space: Of all chunks.
        names: One per dimension.
        step_duration_s: Time between two rows [s].
    """

    frames: np.ndarray
    codes: np.ndarray
    chunks: np.ndarray
    executed: np.ndarray
    still: np.ndarray
    whole: np.ndarray
    action_space: str
    names: tuple[str, ...]
    step_duration_s: float

    @property
    def digest(self) -> str:
        """SHA-256 of codes and chunks: equal if and only if every plan is the same."""
        known = hashlib.sha256(np.ascontiguousarray(self.codes, dtype='<i4').tobytes())
        known.update(np.ascontiguousarray(self.chunks, dtype='<f8').tobytes())
        return known.hexdigest()


def run_open_loop(
    episode: Episode,
    embodiment: Embodiment,
    brain: PolicyBrain,
    progress: Callable[[int], None] = lambda count: None,
) -> OpenLoop:
    """Plan on every frame that the live policy would have planned on, one after the other.

    The brain is that of a rollout, with the memory of the running policy. Nothing else depends on
    time or chance: the same weights and the same episode give the same chunks, bit for bit, on
    one machine.

    Raises:
        DataError: If there is no such frame.
        UnivlaError: If the brain cannot plan.
    """
    fresh = np.ones(len(episode), dtype=bool) if episode.fresh is None else episode.fresh
    frames = np.flatnonzero(fresh)
    if not len(frames):
        path = episode.metadata.get('path', 'the episode')
        raise DataError(f'{path}: the live policy would have planned on none of its frames')
    brain.reset(episode.instruction)
    codes, chunks = [], []
    for frame in frames:
        plan = brain.plan(_observation(episode, frame), _state(episode, frame))
        assert plan.latent is not None
        codes.append(plan.latent.codes)
        chunks.append(np.asarray(plan.rows, dtype=float))
        progress(1)
    space, horizon, step = plan.action_space, len(plan.rows), plan.step_duration_s
    return OpenLoop(
        frames=frames,
        codes=np.array(codes),
        chunks=np.array(chunks),
        executed=actions(episode, embodiment, space, horizon, step)[frames],
        still=standing_still(
            episode.positions[frames], episode.opening[frames], embodiment, space, horizon
        ),
        whole=valid(episode, horizon, step)[frames],
        action_space=space,
        names=plan.names,
        step_duration_s=step,
    )


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the plans compare with those that were recorded on the same pictures.

    Attributes:
        plans: How many were recorded on these frames.
        same_codes: How many of them have the same codes.
        largest: Largest difference of a chunk's value, NaN where no chunk has the same form.
    """

    plans: int
    same_codes: int
    largest: float


def agreement(episode: Episode, replayed: OpenLoop, recording: Recording) -> Agreement:
    """Compare with the recorded plans."""
    plans = same = 0
    largest = np.nan
    stamps = np.array([latent.stamp for latent in recording.latents])
    for place, frame in enumerate(replayed.frames):
        number = int(np.abs(stamps - episode.stamps[frame]).argmin())
        if abs(stamps[number] - episode.stamps[frame]) >= SAME_S:
            continue
        plans += 1
        same += np.array_equal(recording.latents[number].codes, replayed.codes[place])
        chunk = recording.chunks[number]
        mine = replayed.chunks[place]
        if (
            chunk is not None
            and chunk.action_space == replayed.action_space
            and chunk.data.shape == mine.shape
        ):
            largest = np.fmax(largest, np.abs(chunk.data - mine).max())
    return Agreement(plans=plans, same_codes=same, largest=float(largest))


def _observation(episode: Episode, frame: int) -> Observation:
    return Observation(
        images={camera: pictures[frame] for camera, pictures in episode.images.items()},
        instruction=episode.instruction,
        stamp=float(episode.stamps[frame]),
    )


def _state(episode: Episode, frame: int) -> RobotState:
    opening = float(episode.opening[frame])
    return RobotState(
        float(episode.stamps[frame]),
        episode.positions[frame],
        opening if np.isfinite(opening) else None,
    )
