"""What a servo head must know and no action tells: its camera, its units, what tasks are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from univla_core.embodiment import load_embodiment
from univla_decoders.felt import POSITION_DIM
from univla_decoders.felt import with_position
from univla_decoders.heads import ServoHead

from univla_training.camera_fit import Sightings
from univla_training.camera_fit import fit_camera
from univla_training.camera_picture import draw_camera
from univla_training.demonstrations import Demonstrations
from univla_training.frame_store import FrameStore

# Share of the frames in which the hand is lower than what it goes to.
_LOWEST = 0.02
# Fingers that open by no more than this share of their way do not close on anything.
_STILL = 0.1
# Frames at most that a policy is asked about for each task.
_ASKED = 512


def calibrate_servo(
    head: ServoHead,
    latent: np.ndarray,
    shown: Demonstrations,
    store: FrameStore,
    picture: Path,
) -> str:
    """Tell a head where its camera stands and what units are.

    Args:
        head: Of a body that is told where its hand is.
        latent: Latent tokens of frames as the camera saw them, (n, tokens, latent_dim).
        shown: The n frames.
        store: Where they are from.
        picture: Where to draw what was found, a PNG.

    Returns:
        What was found, in words.

    Raises:
        TrainingError: If no camera sees the hand where the policy points at it.
    """
    action, felt = (shown.statistics[name] for name in ('action', 'proprio'))
    low, high = (torch.tensor(action[name][:POSITION_DIM]) for name in ('q01', 'q99'))
    mean, std = (torch.tensor(felt[name][-POSITION_DIM:]) for name in ('mean', 'std'))
    plans = torch.from_numpy(latent).float().to(head.reader.camera.device)
    with torch.inference_mode():
        places = head.reader.places(plans).cpu().numpy()
    paths = _paths(shown.rows, store)
    floor = float(np.quantile(paths.hand[:, 2], _LOWEST))
    kept = np.searchsorted(paths.frames, shown.rows)
    episodes = paths.episodes[kept]
    whose = np.ones(len(kept), dtype=bool)
    hand = Sightings(places=places[:, -1], points=paths.hand[kept], episodes=episodes, hand=whose)
    named = Sightings(
        places=places[:, 0], points=things_met(paths, floor)[kept], episodes=episodes, hand=~whose
    )
    known = np.isfinite(named.points[:, 0])
    things = named.only(known)
    height, width = store.episodes[episodes[0]].camera
    seen = hand + things
    fit = fit_camera(seen, width / height)
    told = (torch.from_numpy(fit.camera), torch.from_numpy(fit.hand_beside))
    head.reader.calibrate(told, (mean, std), floor, (low, high))
    frames = np.concatenate([shown.rows, shown.rows[known]])
    draw_camera(fit, seen, frames, store.pictures, picture)
    return fit.words(seen)


@dataclass(frozen=True)
class Questions:
    """What to ask a policy about frames.

    Attributes:
        rows: Frames in the store, (n,).
        instructions: One for each.
        tasks: Number of the task that each is about, (n,).
    """

    rows: np.ndarray
    instructions: list[str]
    tasks: np.ndarray


def questions(shown: Demonstrations, store: FrameStore) -> Questions:
    """Each frame with an instruction of every task, not of its own alone.

    The plans then differ by what they are about and by nothing else: few demonstrations of one
    task show other scenes than those of another, and a head would tell the scenes apart.
    """
    rng = np.random.default_rng(0)
    words = np.array(store.instructions(shown.rows))
    parts = [(task, rng.permutation(shown.rows)[:_ASKED]) for task in np.unique(shown.tasks)]
    instructions: list[str] = []
    for task, rows in parts:
        known = np.unique(words[shown.tasks == task])
        instructions += rng.choice(known, len(rows)).tolist()
    return Questions(
        rows=np.concatenate([rows for _, rows in parts]),
        instructions=instructions,
        tasks=np.concatenate([np.full(len(rows), task) for task, rows in parts]),
    )


@dataclass(frozen=True)
class Paths:
    """Whole episodes, also what is not worth imitating in them.

    Attributes:
        frames: In the store, in order, (n,).
        episodes: Number of the episode that each is of, (n,).
        hand: x, y, z of the end effector in the base frame, (n, 3) [m].
        opening: Of the gripper, 1 where there is none, (n,).
    """

    frames: np.ndarray
    episodes: np.ndarray
    hand: np.ndarray
    opening: np.ndarray


def _paths(rows: np.ndarray, store: FrameStore) -> Paths:
    """The episodes that rows of one robot are of."""
    shown = store.episode_of(rows)
    frames = np.sort(store.frames)
    frames = frames[np.isin(store.episode_of(frames), shown)]
    own = store.episodes[shown[0]]
    embodiment = load_embodiment(own.robot)
    body = with_position(np.asarray(store.proprioception(frames), dtype=float), embodiment)
    return Paths(
        frames=frames,
        episodes=store.episode_of(frames),
        hand=body[:, -POSITION_DIM:],
        opening=body[:, -POSITION_DIM - 1] if own.gripper else np.ones(len(frames)),
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
