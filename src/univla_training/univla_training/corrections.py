"""Who drove each frame, and what that is worth: corrections count more, what they mend does not.

As in DAgger (arXiv:1011.0686), a person's correction shows what to do where the policy itself
led the robot. What the policy did there before is the mistake.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np

from univla_training.frame_store import EpisodeRow
from univla_training.frame_store import FrameStore

PERSON, POLICY = 'teleop', 'policy'


def run_lengths(sources: np.ndarray) -> list[list[str | int]]:
    """Who drove, and for how many frames in a row: `[['policy', 12], ['teleop', 8]]`."""
    return [[name, len(list(same))] for name, same in groupby(sources.tolist())]


def drivers(row: EpisodeRow) -> np.ndarray:
    """Who drove each frame of an episode, (frames,); empty text where nobody noted it."""
    if not row.drivers:
        return np.full(row.frames, '', dtype='<U8')
    return np.repeat([name for name, _ in row.drivers], [count for _, count in row.drivers])


def is_corrected(row: EpisodeRow) -> bool:
    """Whether a person drove in an episode that a policy drove too."""
    return {PERSON, POLICY} <= {name for name, _ in row.drivers}


def corrections(
    store: FrameStore, rows: np.ndarray, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which chunks of corrected episodes a person drove, and in which the policy drove, (m,) each.

    Args:
        store: Episodes.
        rows: Frames of it.
        horizon: Rows of a chunk.
    """
    mended, mistaken = (np.zeros(len(rows), dtype=bool) for _ in range(2))
    places = store.episode_of(rows)
    for place in np.unique(places):
        row = store.episodes[place]
        if not is_corrected(row):
            continue
        mine = places == place
        steps = rows[mine, None] - row.start + np.arange(horizon)  # (frames, horizon)
        driver = drivers(row)[np.minimum(steps, row.frames - 1)]
        mended[mine] = (driver == PERSON).all(axis=1)
        mistaken[mine] = (driver == POLICY).any(axis=1)
    return mended, mistaken
