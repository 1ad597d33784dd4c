"""What a servo head must know and no action tells: its camera, its units, its tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from univla_core.embodiment import load_embodiment
from univla_decoders.felt import POSITION_DIM
from univla_decoders.felt import with_position
from univla_decoders.heads import ServoHead

from univla_training.camera_fit import Sightings
from univla_training.camera_fit import fit_camera
from univla_training.demonstrations import Demonstrations
from univla_training.frame_store import FrameStore

# Share of the frames in which the hand is lower than what it goes to.
_LOWEST = 0.02
# Fingers that open by no more than this share of their way do not close on anything.
_STILL = 0.1


def calibrate_servo(
    head: ServoHead, latent: np.ndarray, shown: Demonstrations, store: FrameStore
) -> None:
    """Tell a head where its camera stands, what units are and how plans show their task.

    Args:
        head: Of a body that is told where its hand is.
        latent: Latent tokens of frames, (views, n, tokens, latent_dim), the first as the camera
            saw them.
        shown: The n frames.
        store: Where they are from.

    Raises:
        TrainingError: If no camera sees the hand where the policy points at it.
    """
    action, felt = (shown.statistics[name] for name in ('action', 'proprio'))
    low, high = (torch.tensor(action[name][:POSITION_DIM]) for name in ('q01', 'q99'))
    mean, std = (torch.tensor(felt[name][-POSITION_DIM:]) for name in ('mean', 'std'))
    plans = torch.from_numpy(latent).float()
    with torch.inference_mode():
        places = head.reader.places(plans[0].to(head.reader.camera.device)).cpu().numpy()
    paths = _paths(shown.rows, store)
    floor = float(np.quantile(paths.hand[:, 2], _LOWEST))
    kept = np.searchsorted(paths.frames, shown.rows)
    episodes = paths.episodes[kept]
    hand = Sightings(places=places[:, -1], points=paths.hand[kept], episodes=episodes)
    named = Sightings(
        places=places[:, 0], points=things_met(paths, floor)[kept], episodes=episodes
    )
    things = named.only(np.isfinite(named.points[:, 0]))
    height, width = store.episodes[episodes[0]].camera
    camera = torch.from_numpy(fit_camera(hand + things, width / height))
    head.reader.calibrate(camera, (mean, std), floor, (low, high))
    if not head.reader.knows_tasks:  # what they mean to a head that goes on must stay
        tasks = torch.from_numpy(np.tile(shown.tasks, len(plans)))
        head.reader.tell_tasks(plans.flatten(0, 1), tasks)


@dataclass(frozen=True)
class Paths:
    """Whole episodes, also what is not worth imitating in them.

    Attributes:
        frames: In the store, in order, (n,).
        episodes: Number of the episode that each is of, (n,).
        hand: x, y, z of the end effector in the base frame, (n, 3) [m].
        opening: Of the gripper, (n,).
    """

    frames: np.ndarray
    episodes: np.ndarray
    hand: np.ndarray
    opening: np.ndarray


def _paths(rows: np.ndarray, store: FrameStore) -> Paths:
    """The episodes that rows of one robot are of."""
    shown = sorted(set(store.episode_of(rows)), key=lambda number: store.episodes[number].start)
    parts = [np.arange(store.episodes[each].start, store.episodes[each].stop) for each in shown]
    frames = np.concatenate(parts)
    embodiment = load_embodiment(store.episodes[shown[0]].robot)
    body = with_position(np.asarray(store.proprioception(frames), dtype=float), embodiment)
    return Paths(
        frames=frames,
        episodes=store.episode_of(frames),
        hand=body[:, -POSITION_DIM:],
        opening=body[:, -POSITION_DIM - 1],
    )


def things_met(paths: Paths, floor: float) -> np.ndarray:
    """Where named things stood, known afterwards: where fingers closed on them or rested open.

    Until the last time that fingers close, what is named stands where they do it; if they never
    do, where the hand is at the end. Of a hand that ends as a fist, as in pushing, nothing is
    known.

    Args:
        paths: Of hands.
        floor: Height of things [m].

    Returns:
        x, y, z in the base frame for each frame, nan where it is not known, (n, 3) [m].
    """
    opening = paths.opening
    moved = np.ptp(opening) > _STILL
    open_ = opening > (0.5 * (opening.min() + opening.max()) if moved else 0.5)
    points = np.full((len(opening), POSITION_DIM), np.nan)
    for episode in np.unique(paths.episodes):
        own = np.flatnonzero(paths.episodes == episode)
        closing = np.flatnonzero(open_[own[:-1]] & ~open_[own[1:]])
        if len(closing) or open_[own[-1]]:
            before = own[: closing[-1] + 1] if len(closing) else own
            points[before] = np.append(paths.hand[before[-1], :2], floor)
    return points
