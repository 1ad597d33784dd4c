"""A recorded episode as arrays of one row for each frame: what training reads of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.action_space import ACTION_SPACES
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_data.actions import actions
from univla_data.actions import clean
from univla_data.episode import Episode
from univla_data.episode_reader import read_episode
from univla_models.image_processor import ImageProcessor
from univla_models.release import processor_document

from univla_training.corrections import run_lengths

#: Tasks of which a picture does not show that they are done: a cube that was pushed far enough
#: looks like one that is being pushed, and rest like hesitation.
END_UNSEEN = ('push',)
#: Columns that hold axes or action dimensions; robots with fewer leave NaN.
WIDTH = 8


@dataclass(frozen=True, kw_only=True)
class FrameFormat:
    """What the arrays depend on, beside the episodes.

    Attributes:
        side: Side of the stored pictures [px].
        camera: Camera that they come from.
        rate_hz: Policy clock [Hz].
        horizon: Rows of an action chunk.
        version: Changes when this module computes something else.
    """

    side: int
    camera: str
    rate_hz: float
    horizon: int
    version: int = 2

    @property
    def step_s(self) -> float:
        """Time between two rows of a chunk [s]."""
        return 1.0 / self.rate_hz


def columns(frame_format: FrameFormat) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of one row of each array."""
    side = frame_format.side
    chunk = (frame_format.horizon, WIDTH)
    return {
        'pictures': ('uint8', (side, side, 3)),
        'stamps': ('float64', ()),
        'positions': ('float32', (WIDTH,)),
        'opening': ('float32', ()),
        'commands': ('float32', (WIDTH,)),
        'command_opening': ('float32', ()),
        'clean': ('bool', ()),
        **{f'actions/{space}': ('float32', chunk) for space in ACTION_SPACES},
    }


def picture_processor(side: int) -> ImageProcessor:
    """The image processor of a policy of that picture side: its `resize` makes our pictures.

    A deployed policy resizes the camera picture with the same code and then normalises it.
    """
    return ImageProcessor.from_mapping(processor_document(side), 'training pictures')


def read_frames(path: Path, frame_format: FrameFormat) -> tuple[dict, dict[str, np.ndarray]]:
    """Read one recorded episode.

    Returns:
        The entries of an `EpisodeRow` but for its place, and the arrays of `columns`.

    Raises:
        TrainingError: If the episode cannot be learned from; it says why.
    """
    return encode(read_episode(path, rate_hz=frame_format.rate_hz), frame_format, str(path))


def encode(
    episode: Episode, frame_format: FrameFormat, where: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As `read_frames`, from an `Episode` on the policy clock."""
    embodiment = _embodiment(episode.robot)
    if frame_format.camera not in episode.images:
        known = ', '.join(episode.images) or '(none)'
        raise TrainingError(
            f'{where}: has no pictures of camera {frame_format.camera!r}, only of {known}; '
            'name the camera in the section data of the recipe'
        )
    pictures = episode.images[frame_format.camera]
    frames = len(episode.stamps)
    if frames < 2 or len(pictures) != frames:
        raise TrainingError(
            f'{where}: {frames} frames and {len(pictures)} pictures; at least two frames, each '
            'with its picture, are needed. Remove this episode, or record it again'
        )
    processor = picture_processor(frame_format.side)
    arrays = {
        'pictures': np.stack([processor.resize(picture) for picture in pictures]),
        'stamps': np.asarray(episode.stamps, dtype=np.float64),
        'positions': _wide(episode.positions, where, 'measured positions'),
        'opening': np.asarray(episode.opening, dtype=np.float32),
        'commands': _wide(episode.commands, where, 'commands'),
        'command_opening': np.asarray(episode.command_opening, dtype=np.float32),
        'clean': _clean(episode, frame_format),
        **_actions(episode, embodiment, frame_format, where),
    }
    if embodiment.gripper and not np.isfinite(arrays['opening']).all():
        raise TrainingError(f'{where}: the measured gripper opening holds NaN; record it again')
    height, width = pictures.shape[1:3]
    facts = {
        'robot': episode.robot,
        'task': episode.task,
        'instruction': episode.instruction,
        'seed': int(episode.seed or 0),
        'success': episode.success,
        'axes': embodiment.axis_count,
        'gripper': embodiment.gripper is not None,
        'spaces': embodiment.action_spaces,
        'camera': (int(height), int(width)),
        'drivers': run_lengths(episode.sources),
    }
    return facts, arrays


@lru_cache(maxsize=16)
def _embodiment(robot: str) -> Embodiment:
    return load_embodiment(robot)


def _actions(
    episode: Episode, embodiment: Embodiment, frame_format: FrameFormat, where: str
) -> dict[str, np.ndarray]:
    made = {}
    horizon = frame_format.horizon
    for space in ACTION_SPACES:
        chunks = np.full((len(episode.stamps), horizon, WIDTH), np.nan, dtype=np.float32)
        if space in embodiment.action_spaces:
            known = actions(episode, embodiment, space, horizon, frame_format.step_s)
            broken = np.argwhere(~np.isfinite(known))
            if len(broken):
                frame, step, dimension = broken[0]
                raise TrainingError(
                    f'{where}: action {step} of frame {frame} is not finite in {space} '
                    f'({embodiment.action_names(space)[dimension]}); '
                    'remove this episode, or record it again'
                )
            chunks[..., : known.shape[-1]] = known
        made[f'actions/{space}'] = chunks
    return made


def _clean(episode: Episode, frame_format: FrameFormat) -> np.ndarray:
    """Frames whose chunk is worth imitating, by the rules of the recording; in no failure.

    Of tasks of `END_UNSEEN` only those before success, where the recording tells when that was.
    """
    if episode.success is False:
        return np.zeros(len(episode.stamps), dtype=bool)
    good = clean(episode, frame_format.horizon, frame_format.step_s)
    success_time_s = (episode.metadata.get('details') or {}).get('success_time_s')
    if episode.task in END_UNSEEN and success_time_s is not None:
        good &= episode.stamps < episode.stamps[0] + success_time_s
    return good


def _wide(values: np.ndarray, where: str, what: str) -> np.ndarray:
    frames, count = np.shape(values)
    if count > WIDTH:
        raise TrainingError(f'{where}: {count} axes, at most {WIDTH} can be learned from')
    if not np.isfinite(values).all():
        frame = int(np.argwhere(~np.isfinite(values))[0][0])
        raise TrainingError(
            f'{where}: {what} of frame {frame} are not finite; remove this episode'
        )
    wide = np.full((frames, WIDTH), np.nan, dtype=np.float32)
    wide[:, :count] = values
    return wide
