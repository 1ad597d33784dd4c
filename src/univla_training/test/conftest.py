"""Recorded episodes made up for tests: every frame and label can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_decoders.increments import added_up
from univla_training.frame_store import EpisodeRow
from univla_training.frame_store import FrameStore
from univla_training.pointing import PointingPictures
from univla_training.pointing import label_side

ARMS = ('widowx', 'airbot')
SIDE = 28


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


@pytest.fixture(scope='session')
def arms_store() -> FrameStore:
    """Episodes of two arms whose commands lead the measured joints, in all four interfaces."""
    rng, episodes, frames = np.random.default_rng(0), 4, 5
    count = len(ARMS) * episodes * frames
    positions = np.full((count, 8), np.nan, dtype=np.float32)
    spaces = {
        name: np.zeros((count, 4, 8), dtype=np.float32)
        for name in ('joint_position', 'joint_delta', 'eef_pose', 'eef_delta')
    }
    rows = []
    for place, robot in enumerate(ARMS):
        body = load_embodiment(robot)
        for number in range(episodes):
            start = (place * episodes + number) * frames
            colour = 'red' if number % 2 else 'blue'
            rows.append(
                EpisodeRow(
                    key=f'{robot}{number}',
                    path=f'{robot}_{number}',
                    robot=robot,
                    task='reach',
                    instruction=f'reach the {colour} cube',
                    seed=number,
                    success=True,
                    start=start,
                    stop=start + frames,
                    axes=6,
                    gripper=True,
                    spaces=body.action_spaces,
                    camera=(48, 64),
                )
            )
            for row in range(start, start + frames):
                joints = body.postures['ready'] + rng.normal(scale=0.05, size=6)
                lead = np.cumsum(rng.normal(scale=0.01, size=(4, 6)), axis=0)
                positions[row, :6] = joints
                spaces['joint_position'][row, :, :6] = joints + lead
                spaces['joint_delta'][row, :, :6] = np.diff(lead, axis=0, prepend=np.zeros((1, 6)))
                steps = rng.normal(scale=0.01, size=(4, 7))
                spaces['eef_delta'][row, :, :6] = steps[:, :6]
                spaces['eef_pose'][row, :, :7] = added_up(steps, joints, 'eef_pose', body)
    for chunks in spaces.values():
        chunks[..., 6] = rng.integers(0, 2, (count, 4))
    arrays = {
        'pictures': rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8),
        'positions': positions,
        'opening': np.full(count, 0.5, dtype=np.float32),
        'clean': np.ones(count, dtype=bool),
        **{f'actions/{name}': chunks for name, chunks in spaces.items()},
    }
    return FrameStore(rows, arrays)


@pytest.fixture(scope='session')
def scenes() -> PointingPictures:
    """Six scenes of noise, with labels and places of noise."""
    rng = np.random.default_rng(1)
    side = label_side(SIDE)
    return PointingPictures(
        pictures=rng.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8),
        labels=rng.integers(0, 7, (6, side, side), dtype=np.uint8),
        places=rng.uniform(0.0, 1.0, (6, 5, 2)).astype(np.float32),
        base=np.zeros(6, dtype=bool),
    )
