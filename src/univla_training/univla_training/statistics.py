"""Norm stats of the training data, as `dataset_statistics.json` holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.errors import TrainingError
from univla_core.norm_stats import dataset_stats_from_mapping

from univla_training.frame_store import FrameStore
from univla_training.training_state import write_atomically


def dataset_statistics(store: FrameStore, robot: str, space: str) -> dict[str, Any]:
    """Statistics of the actions and of the proprioception of one robot.

    Only frames that are worth imitating count, with all rows of their chunks. The gripper passes
    unchanged: its opening is a number in [0, 1] already, and nearly binary.

    Returns:
        One entry of `dataset_statistics.json`.

    Raises:
        TrainingError: If the robot has no such actions.
    """
    chosen = store.require(robot, space)
    frames = chosen.frames[np.asarray(chosen.clean[chosen.frames], dtype=bool)]
    if not len(frames):
        raise TrainingError(f'no frame of {robot} is worth imitating; collect more episodes')
    chunks = chosen.actions(frames, space)
    actions = chunks.reshape(-1, chunks.shape[-1])
    action = _moments(actions)
    action['mask'] = [True] * actions.shape[1]
    if chosen.episodes[0].gripper:
        action['mask'][-1] = False
    return {
        'action': action,
        'proprio': _moments(chosen.proprioception(frames)),
        'num_transitions': len(frames),
        'num_trajectories': len(chosen.episodes),
    }


def write_statistics(path: Path, entries: Mapping[str, Any]) -> None:
    """Write a `dataset_statistics.json`, by data set.

    Raises:
        CheckpointError: If it could not be read back.
    """
    text = json.dumps(dict(entries), indent=1)
    dataset_stats_from_mapping(json.loads(text), str(path))
    write_atomically(path, lambda file: file.write(text.encode()))


def _moments(values: np.ndarray) -> dict[str, Any]:
    values = np.asarray(values, dtype=np.float64)  # (frames, dim)
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    return {
        'mean': values.mean(axis=0).tolist(),
        'std': values.std(axis=0).tolist(),
        'min': values.min(axis=0).tolist(),
        'max': values.max(axis=0).tolist(),
        'q01': low.tolist(),
        'q99': high.tolist(),
    }
