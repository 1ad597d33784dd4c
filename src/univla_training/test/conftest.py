"""A recorded episode made up for tests: every frame and label can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from univla_training.frame_store import EpisodeRow
from univla_training.frame_store import FrameStore


@pytest.fixture
def store() -> FrameStore:
    """Six episodes of 5 frames: widowx reach 0–3, franka pick 4 and 5; positions count frames."""
    rows = []
    for number in range(6):
        franka = number >= 4
        rows.append(
            EpisodeRow(
                key=f'k{number}',
                path=f'episode_{number}',
                robot='franka' if franka else 'widowx',
                task='pick' if franka else 'reach',
                instruction=f'task {number}',
                seed=number,
                success=number != 3,
                start=5 * number,
                stop=5 * number + 5,
                axes=7 if franka else 6,
                gripper=True,
                spaces=('eef_delta', 'joint_position'),
                camera=(48, 64),
            )
        )
    count = 30
    positions = np.full((count, 8), np.nan, dtype=np.float32)
    positions[:, :7] = np.arange(count)[:, None]
    actions = np.zeros((count, 4, 8), dtype=np.float32)
    actions[..., 0] = np.arange(count)[:, None]
    actions[..., 6] = 1.0
    clean = np.ones(count, dtype=bool)
    clean[15:20] = False
    arrays = {
        'pictures': np.zeros((count, 28, 28, 3), dtype=np.uint8),
        'positions': positions,
        'opening': np.linspace(0.0, 1.0, count, dtype=np.float32),
        'clean': clean,
        'actions/eef_delta': actions,
    }
    return FrameStore(rows, arrays)
