"""Where a camera stands, from what it shows of a robot's own hand and of what that went to."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from univla_core.errors import TrainingError

#: Fewest sightings of a hand that a camera is fitted to.
LEAST_FRAMES = 12
# Side of the picture that the first fits think of [px], how far off places may be in them, as a
# share of the picture, and their focal lengths, in widths of the picture, which are tried one by
# one: a hand that moves in a small room tells little of them.
_SIDE = 1000.0
_NEAR = 0.04
_FOCALS = tuple(np.geomspace(0.6, 3.0, 9))
# Cameras over tables mostly see 40 to 70 degrees across: the middle of that as a focal length, and
# how far others are from it, as a spread of its logarithm.
_USUAL, _UNUSUAL = 1.0, 0.3
# Spread of places [share of the picture]: of one frame; from where on one counts less and less; of
# all of an episode together, whose camera or light is a bit different from the others'; of all
# those of a hand, which a policy may never have seen.
_NOISE, _GROSS, _EPISODE, _HAND = 0.015, 0.02, 0.015, 0.05
# Most steps of the last fit.
_STEPS = 60
# Turns about x, y and z.
_TURNS = torch.tensor(
    [
        [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
        [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]],
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    ],
    dtype=torch.float64,
)


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """Points of the room, and where a policy saw them.

    Attributes:
        places: Column and row as shares of the picture, (n, 2).
        points: x, y, z in the base frame [m], (n, 3).
        episodes: Number of the episode that each is of, (n,).
        hand: Which are of the robot's own hand, (n,); it may be seen beside where it is.
    """

    places: np.ndarray
    points: np.ndarray
    episodes: np.ndarray
    hand: np.ndarray

    def __len__(self) -> int:
        return len(self.episodes)

    def __add__(self, others: Sightings) -> Sightings:
        return Sightings(
            places=np.concatenate([self.places, others.places]),
            points=np.concatenate([self.points, others.points]),
            episodes=np.concatenate([self.episodes, others.episodes]),
            hand=np.concatenate([self.hand, others.hand]),
        )

    def only(self, kept: np.ndarray) -> Sightings:
        """Those of a mask or of indices."""
        return Sightings(
            places=self.places[kept],
            points=self.points[kept],
            episodes=self.episodes[kept],
            hand=self.hand[kept],
        )


@dataclass(frozen=True)
class CameraFit:
    """What `fit_camera` finds.

    Attributes:
        camera: Matrix (3, 4) that turns x, y, z, 1 [m] into multiples of column, row, 1.
        hand_beside: How far beside its place the hand is seen, (2,) [share of the picture].
    """

    camera: np.ndarray
    hand_beside: np.ndarray

    @property
    def place(self) -> np.ndarray:
        """x, y, z of the camera in the base frame, (3,) [m]."""
        return -np.linalg.solve(self.camera[:, :3], self.camera[:, 3])

    def shown(self, seen: Sightings) -> np.ndarray:
        """Where sightings should be, (n, 2) [share of the picture]."""
        return project(self.camera, seen.points) + seen.hand[:, None] * self.hand_beside

    def words(self, seen: Sightings) -> str:
        """Where it stands, and how well it explains sightings."""
        off = np.linalg.norm(self.shown(seen) - seen.places, axis=1)
        x, y, z = self.place
        return (
            f'camera at {x:.2f}, {y:.2f}, {z:.2f} m from the base; places are '
            f'{100.0 * np.median(off):.1f} % of the picture beside what it shows (median)'
        )


def fit_camera(seen: Sightings, aspect: float) -> CameraFit:
    """A pinhole camera that sees points of the room at places of its picture.

    The optical axis goes through the middle of the picture. Each episode may be shown a bit beside
    the others, and so may the hand, of which a policy may take another point for the middle.
    Places that are far off count little: maximum likelihood under a Cauchy distribution, from
    where RANSAC and PnP fit best.

    Args:
        seen: Points and their places.
        aspect: Width of the camera's own picture by its height; places are shares of either.

    Raises:
        TrainingError: If these are too few or no camera sees them so.
    """
    sure = np.isfinite(seen.places).all(axis=1) & np.isfinite(seen.points).all(axis=1)
    seen = seen.only(sure)
    count = np.count_nonzero(seen.hand)
    if count < LEAST_FRAMES:
        raise TrainingError(
            f'a servo head finds its camera from at least {LEAST_FRAMES} frames of its hand, '
            f'here are {count}; record a whole demonstration, or set head: query'
        )
    places, points = (np.asarray(value, dtype=float) for value in (seen.places, seen.points))
    fits = [_posed(places, points, focal, aspect) for focal in _FOCALS]
    found = [pose for pose in fits if pose is not None]
    if found:
        pose = min(found, key=lambda pose: pose.error(places, points))
        pose, beside = _refined(pose, places, points, seen)
        camera = pose.camera()
        depth = np.column_stack([points, np.ones(len(points))]) @ camera[2]
        if np.isfinite(camera).all() and (depth > 0.0).all():
            return CameraFit(camera, beside)
    raise TrainingError(
        'no camera sees the hand where the policy points at it: it hardly moves in these '
        'demonstrations, or the policy does not know it; set head: query in section decoder'
    )


def project(camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Places (n, 2) in the picture of points (n, 3)."""
    seen = np.column_stack([points, np.ones(len(points))]) @ camera.T
    return seen[:, :2] / seen[:, 2:]


@dataclass(frozen=True)
class _Pose:
    """A camera: how it is turned (3,) [rad], where the base stands in it (3,) [m], its lens."""

    turn: np.ndarray
    shift: np.ndarray
    focal: float
    aspect: float

    def camera(self) -> np.ndarray:
        lens = _lens(self.focal, self.aspect)
        return lens @ np.column_stack([cv2.Rodrigues(self.turn)[0], self.shift])

    def error(self, places: np.ndarray, points: np.ndarray) -> float:
        off = np.linalg.norm(project(self.camera(), points) - places, axis=1)
        return float(np.log1p((off / _GROSS) ** 2).mean())


def _lens(focal: float, aspect: float) -> np.ndarray:
    return np.array([[focal, 0.0, 0.5], [0.0, focal * aspect, 0.5], [0.0, 0.0, 1.0]])


def _posed(places: np.ndarray, points: np.ndarray, focal: float, aspect: float) -> _Pose | None:
    """The camera of this focal length where most places fit, None if things are behind it."""
    pixels = np.diag([_SIDE, _SIDE, 1.0]) @ _lens(focal, aspect)
    try:
        found, turn, shift, _ = cv2.solvePnPRansac(
            points, _SIDE * places, pixels, None, reprojectionError=_SIDE * _NEAR
        )
    except cv2.error:
        return None
    if not found:
        return None
    pose = _Pose(turn.ravel(), shift.ravel(), float(focal), aspect)
    depth = np.column_stack([points, np.ones(len(points))]) @ pose.camera()[2]
    return pose if np.isfinite(depth).all() and (depth > 0.0).all() else None


def _refined(
    start: _Pose, places: np.ndarray, points: np.ndarray, sightings: Sightings
) -> tuple[_Pose, np.ndarray]:
    """The likeliest camera near another one, and how far beside its place it sees the hand."""
    known, which = np.unique(sightings.episodes, return_inverse=True)
    # With nothing else to see, no one can tell a hand beside its place from a turned camera.
    own = torch.from_numpy(sightings.hand & ~sightings.hand.all())[:, None]
    seen, room = torch.from_numpy(places), torch.from_numpy(points)
    turn, shift = torch.from_numpy(start.turn.copy()), torch.from_numpy(start.shift.copy())
    focal = torch.tensor(start.focal, dtype=torch.float64).log()
    beside = torch.zeros(len(known), 2, dtype=torch.float64)
    hand = torch.zeros(2, dtype=torch.float64)
    lens = torch.tensor([1.0, start.aspect], dtype=torch.float64)
    unknown = [value.requires_grad_() for value in (turn, shift, focal, beside, hand)]
    solver = torch.optim.LBFGS(unknown, max_iter=_STEPS, line_search_fn='strong_wolfe')

    def unlikely() -> Tensor:
        inside = room @ torch.linalg.matrix_exp(torch.tensordot(turn, _TURNS, 1)).T + shift
        shown = 0.5 + focal.exp() * lens * inside[:, :2] / inside[:, 2:]
        shown = shown + beside[which] + hand * own
        off = (shown - seen).square().sum(dim=1) / _GROSS**2
        frames = (_GROSS / _NOISE) ** 2 * off.log1p().sum()
        unusual = ((focal - np.log(_USUAL)) / _UNUSUAL).square()
        apart = (beside / _EPISODE).square().sum() + (hand / _HAND).square().sum()
        return 0.5 * (frames + unusual + apart) / len(seen)

    def step() -> Tensor:
        solver.zero_grad()
        value = unlikely()
        value.backward()
        return value

    solver.step(step)
    with torch.no_grad():
        pose = _Pose(turn.numpy(), shift.numpy(), float(focal.exp()), start.aspect)
        return pose, hand.numpy()
