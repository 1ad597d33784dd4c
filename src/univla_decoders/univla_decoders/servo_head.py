"""A head that goes where the policy points: for bodies with a handful of demonstrations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn

from univla_decoders.decoder_head import LATENT_TOKENS
from univla_decoders.query_head import POINTED
from univla_decoders.query_head import pointing_reader

#: Numbers that tell which task the plan is about, beside the places.
MEANT = 8
# Spread of what the hand is thought to stand off its path while the head learns, aside and in
# height [m], in so many of the samples: little in height, where the fingers close and go up within
# a centimetre.
_ASIDE_M, _HIGHER_M, _ASTRAY = 0.02, 0.003, 0.7
# Spread of noise while it learns: on the places, as a share of the picture; on gaps that decide
# about anything but the way aside [m]; on what tells the task.
_PLACE_NOISE, _GAP_NOISE_M, _MEANT_NOISE = 0.005, 0.01, 0.3
# What tells two tasks apart is so far from 0 where plans are typical of either.
_TOLD = 2.0
# Half the squared distance, in spreads, of two tasks whose plans do not tell them apart.
_ALIKE = 0.5
# Brings gaps [m] to about the size of normalised values.
_GAP_SCALE = 10.0
# How much the spread of latent tokens within a task is trusted less than it was measured.
_SHRINKAGE = 0.01
# A line of sight that is so level, or meets the table so far away [m], tells no place on it.
_LEVEL, _FAR_M = 1e-6, 5.0


class ServoReader(nn.Module):
    """Visual servoing from few demonstrations: gaps between hand and things say where to go.

    The robot has seen its own hand at known places of the room, which tells where its camera
    stands, and so where on the table the policy points, in metres. What is left to learn from
    actions is small: how to move at a gap, a height, an opening and for a task, which linear
    discriminant analysis tells off the plan. A motion shown at one place of the table holds at
    every other. Gaps begin halfway between where the policy sees the hand, as wrong as the thing
    beside it or a camera that was moved, and where the joints say it is.

    While it learns, the hand is thought to stand beside and above where it was, with the way back
    added to what was shown, so that it learns to return to paths that it has seen once; and the
    room is turned about the vertical, so that a way shown to the left tells how to go right.

    Args:
        latent_dim: Dimension of latent tokens.
        embed_dim: A quarter of the width inside.
        horizon: Steps.
        action_dim: Dimensions of an action in an end-effector space, gripper included.
        proprioception_dim: Size of the proprioception: joints, opening, and x, y, z of the hand.
    """

    camera: Tensor
    hand_beside: Tensor
    floor: Tensor
    place: Tensor
    step: Tensor
    middle: Tensor
    task: Tensor
    task_bias: Tensor

    def __init__(
        self,
        latent_dim: int,
        embed_dim: int,
        horizon: int,
        action_dim: int,
        proprioception_dim: int,
    ) -> None:
        super().__init__()
        self.horizon, self.action_dim = horizon, action_dim
        #: Whether motions shown in one direction hold in every one; only asked while it learns.
        self.every_direction = True
        # Learned in pretraining: the few labels shall not change it.
        self.aim = pointing_reader(latent_dim).requires_grad_(False)
        self.register_buffer('camera', torch.eye(3, 4))
        self.register_buffer('hand_beside', torch.zeros(2))  # of its place [share of the picture]
        self.register_buffer('floor', torch.zeros(1))  # height of things [m]
        self.register_buffer('place', torch.ones(2, 3))  # mean and spread of x, y, z [m]
        self.register_buffer('step', torch.ones(3))  # normalised 1 [m]
        # Normalised 0 along x and y [m]; only needed to learn, so not in the weights.
        self.register_buffer('middle', torch.zeros(2), persistent=False)
        self.register_buffer('task', torch.zeros(MEANT, LATENT_TOKENS * latent_dim))
        self.register_buffer('task_bias', torch.zeros(MEANT))
        width = 4 * embed_dim
        self.act = nn.Sequential(
            nn.Linear(POINTED - 2 + 2 + MEANT, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, horizon * action_dim),
        )
        self.turn_back = nn.Linear(proprioception_dim, 3 * horizon)

    def forward(self, latent: Tensor, proprioception: Tensor) -> Tensor:
        """Latent tokens (batch, n, latent_dim), body (batch, p) → (batch, horizon, action_dim)."""
        latent = latent[:, -LATENT_TOKENS:]
        hand = self._hand(proprioception)
        gaps = self._gaps(latent, hand)
        meant = F.linear(latent.flatten(1), self.task, self.task_bias)
        if self.training:
            meant = meant + _MEANT_NOISE * torch.randn_like(meant)
        meant = meant.tanh()
        opening = proprioception[:, -4:-3]
        vague = gaps
        if self.training:
            around = any_direction(gaps, self.every_direction)
            gaps = gaps @ around
            # As uncertain for all it decides as in a scene that it has not seen.
            vague = gaps + _GAP_NOISE_M * torch.randn_like(gaps[:, :1])
        rows = self._rows(vague, hand[:, 2:], opening, meant)
        way, turn, rest = rows[..., :3], rows[..., 3:6], rows[..., 6:]
        if self.training:
            way = self._way_back(gaps, vague, hand[:, 2:], opening, meant)
            way = self._turned(way, around.mT)
        turn = turn + self.turn_back(proprioception).view(-1, self.horizon, 3)
        return torch.cat([way, turn, rest], dim=-1)

    def _hand(self, proprioception: Tensor) -> Tensor:
        return proprioception[:, -3:] * self.place[1] + self.place[0]  # (batch, 3) [m]

    def _gaps(self, latent: Tensor, hand: Tensor) -> Tensor:
        """Ways from the hand to the named thing and to a second one, (batch, 2, 2) [m]."""
        places = self.places(latent)
        if self.training:
            places = places + _PLACE_NOISE * torch.randn_like(places)
        places = places - F.pad(self.hand_beside[None], (0, 0, 2, 0))
        heights = torch.stack([self.floor.expand(len(hand))] * 2 + [hand[:, 2]], dim=1)
        level = on_level(self.camera, places, heights)  # (batch, 3, 2)
        seen_and_known = 0.5 * (level[:, -1:] + hand[:, None, :2])
        return level[:, :-1] - seen_and_known

    def _rows(self, gaps: Tensor, height: Tensor, opening: Tensor, meant: Tensor) -> Tensor:
        higher = (height - self.place[0, 2]) / self.place[1, 2]
        felt = torch.cat([_GAP_SCALE * gaps.flatten(1), opening, higher, meant], dim=-1)
        return self.act(felt).view(-1, self.horizon, self.action_dim)

    def _way_back(
        self, gaps: Tensor, vague: Tensor, height: Tensor, opening: Tensor, meant: Tensor
    ) -> Tensor:
        """The way of a hand that stands elsewhere, less what brings it back."""
        off = torch.randn(len(gaps), 3, device=gaps.device, dtype=gaps.dtype)
        off = off * off.new_tensor([_ASIDE_M, _ASIDE_M, _HIGHER_M])
        off = off * (torch.rand_like(off[:, :1]) < _ASTRAY)
        aside = self._rows(gaps - off[:, None, :2], height, opening, meant)
        above = self._rows(vague, height + off[:, 2:], opening, meant)
        way = torch.cat([aside[..., :2], above[..., 2:3]], dim=-1)
        return way + (off / self.step / self.horizon)[:, None]

    def _turned(self, way: Tensor, around: Tensor) -> Tensor:
        """Normalised ways (batch, horizon, 3), turned about the vertical (batch, 2, 2)."""
        aside = (way[..., :2] * self.step[:2] + self.middle) @ around
        return torch.cat([(aside - self.middle) / self.step[:2], way[..., 2:]], dim=-1)

    def places(self, latent: Tensor) -> Tensor:
        """Where the policy points: named thing, second one and own hand, (batch, 3, 2)."""
        return self.aim(latent[:, -LATENT_TOKENS]).view(-1, POINTED // 2, 2)

    @torch.no_grad()
    def calibrate(
        self,
        seen: tuple[Tensor, Tensor],
        place: tuple[Tensor, Tensor],
        floor: float,
        bounds: tuple[Tensor, Tensor],
    ) -> None:
        """Tell where the camera stands, and what units are.

        Args:
            seen: The camera, a matrix (3, 4) that turns x, y, z, 1 [m] into multiples of column,
                row, 1; and how far beside its place the hand is pointed at, (2,).
            place: Mean and spread of x, y, z in the proprioception, (3,) each [m].
            floor: Height of what is pointed at [m].
            bounds: Steps along x, y, z that are normalised to -1 and 1, (3,) each [m].
        """
        low, high = bounds
        self.camera.copy_(seen[0])
        self.hand_beside.copy_(seen[1])
        self.place.copy_(torch.stack(place))
        self.floor.fill_(floor)
        self.step.copy_(0.5 * (high - low))
        self.middle.copy_(0.5 * (high + low)[:2])

    @property
    def knows_tasks(self) -> bool:
        """Whether `tell_tasks` found any that differ."""
        return bool(self.task.any())

    @torch.no_grad()
    def tell_tasks(self, latent: Tensor, tasks: Tensor) -> None:
        """Find out how a plan shows which task it is about.

        Args:
            latent: Latent tokens of frames, (n, tokens, latent_dim).
            tasks: Number of the task of each, (n,).
        """
        weight, bias = discriminants(latent[:, -LATENT_TOKENS:].flatten(1), tasks)
        self.task.zero_()
        self.task_bias.zero_()
        self.task[: len(weight)], self.task_bias[: len(weight)] = weight, bias


def any_direction(like: Tensor, every: bool) -> Tensor:
    """Random turns about the vertical for a batch, (batch, 2, 2); none unless `every`."""
    angle = 2.0 * torch.pi * torch.rand(len(like), device=like.device, dtype=like.dtype)
    angle = angle if every else torch.zeros_like(angle)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, sin], dim=-1), torch.stack([-sin, cos], dim=-1)], dim=-2)


def discriminants(values: Tensor, kinds: Tensor, most: int = MEANT) -> tuple[Tensor, Tensor]:
    """Numbers that tell kinds apart, two at a time.

    Linear discriminant analysis with shrinkage, of each pair: a number is -`_TOLD` at the mean of
    one kind and `_TOLD` at that of the other. Directions that tell all kinds at once would mix
    what differs little, and is disturbed much, into what differs clearly.

    Args:
        values: Samples, (n, dim).
        kinds: Which kind each is of, (n,).
        most: How many pairs at most; those that are most alike are kept, but none of two kinds
            that cannot be told apart.

    Returns:
        Weights (pairs, dim) and biases (pairs,), hardest pair first.
    """
    values = values.double()
    scale = values.std(dim=0, correction=0) + 1e-6
    middle = values.mean(dim=0)
    even = (values - middle) / scale
    each = kinds.unique()
    if len(each) < 2:
        return values.new_zeros(0, values.shape[1]).float(), values.new_zeros(0).float()
    means = torch.stack([even[kinds == kind].mean(dim=0) for kind in each])
    within = even - means[torch.searchsorted(each, kinds)]
    spread = within.T @ within / len(even)
    spread += _SHRINKAGE * torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    first, second = torch.triu_indices(len(each), len(each), 1, device=means.device)
    apart = means[second] - means[first]  # (pairs, dim)
    ways = torch.linalg.solve(spread, apart.T).T
    half = 0.5 * (ways * apart).sum(dim=1)  # half the squared Mahalanobis distance
    told = half > _ALIKE
    first, second, ways, half = first[told], second[told], ways[told], half[told]
    weight = _TOLD / half[:, None] * ways
    bias = -(weight * 0.5 * (means[first] + means[second])).sum(dim=1) - (weight / scale) @ middle
    hardest = half.argsort()[:most]
    return (weight / scale)[hardest].float(), bias[hardest].float()


def on_level(camera: Tensor, places: Tensor, height: Tensor) -> Tensor:
    """x, y of what is seen at places (…, 2), if it is at a height (…): (…, 2) [m]."""
    line = camera[:2] - places[..., None] * camera[2]  # (…, 2, 4): zero for what is seen there
    (a, b), (c, d) = line[..., 0, :2].unbind(-1), line[..., 1, :2].unbind(-1)
    e, f = (-line[..., 2] * height[..., None] - line[..., 3]).unbind(-1)
    scale = a * d - b * c
    scale = torch.where(scale.abs() < _LEVEL, torch.full_like(scale, _LEVEL), scale)
    found = torch.stack([d * e - b * f, a * f - c * e], dim=-1) / scale[..., None]
    return found.clamp(-_FAR_M, _FAR_M)
