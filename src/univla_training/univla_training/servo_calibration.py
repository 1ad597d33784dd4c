"""What a servo head must know and no action tells: its camera, its units, its tasks."""

from __future__ import annotations

import numpy as np
import torch
from univla_decoders.felt import POSITION_DIM
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
    assert shown.body is not None
    action, felt = (shown.statistics[name] for name in ('action', 'proprio'))
    low, high = (torch.tensor(action[name][:POSITION_DIM]) for name in ('q01', 'q99'))
    mean, std = (np.asarray(felt[name]) for name in ('mean', 'std'))
    body = shown.body * std + mean
    plans = torch.from_numpy(latent).float()
    with torch.inference_mode():
        places = head.reader.places(plans[0].to(head.reader.camera.device)).cpu().numpy()
    hand = Sightings(
        places=places[:, -1],
        points=body[:, -POSITION_DIM:],
        episodes=store.episode_of(shown.rows),
    )
    floor = float(np.quantile(hand.points[:, 2], _LOWEST))
    things = things_met(hand, places[:, 0], body[:, -POSITION_DIM - 1], floor)
    height, width = store.episodes[hand.episodes[0]].camera
    camera = torch.from_numpy(fit_camera(hand + things, width / height))
    place = (torch.from_numpy(mean[-POSITION_DIM:]), torch.from_numpy(std[-POSITION_DIM:]))
    head.reader.calibrate(camera, place, floor, (low, high))
    if not head.reader.knows_tasks:  # what they mean to a head that goes on must stay
        tasks = torch.from_numpy(np.tile(shown.tasks, len(plans)))
        head.reader.tell_tasks(plans.flatten(0, 1), tasks)


def things_met(hand: Sightings, named: np.ndarray, opening: np.ndarray, floor: float) -> Sightings:
    """Where named things stood, known afterwards: where fingers closed on them or rested open.

    Until the last time that fingers close, what is named stands where they do it; if they never
    do, where the hand is at the end. Of a hand that ends as a fist, as in pushing, nothing is
    known.

    Args:
        hand: Where the hand was and was seen, frame by frame, the frames of an episode in order.
        named: Where the policy pointed at what is named, (n, 2).
        opening: Of the gripper, (n,).
        floor: Height of things [m].
    """
    moved = np.ptp(opening) > _STILL
    open_ = opening > (0.5 * (opening.min() + opening.max()) if moved else 0.5)
    met: list[Sightings] = []
    for episode in np.unique(hand.episodes):
        frames = np.flatnonzero(hand.episodes == episode)
        closing = np.flatnonzero(open_[frames[:-1]] & ~open_[frames[1:]])
        if not len(closing) and not open_[frames[-1]]:
            continue
        before = frames[: closing[-1] + 1] if len(closing) else frames
        point = np.append(hand.points[before[-1], :2], floor)
        met.append(
            Sightings(
                places=named[before],
                points=np.tile(point, (len(before), 1)),
                episodes=hand.episodes[before],
            )
        )
    return sum(met, hand.only(np.zeros(0, dtype=int)))
