"""Which codes a policy plans, by robot and task, and how alike that is: UniAct's table 1.

Source: arXiv:2501.10105, section 4.4: the same task on two bodies should use more similar codes
than two tasks on one body.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.errors import ObservationError
from univla_core.errors import TrainingError
from univla_data.episode_reader import read_episode
from univla_data.episode_reader import read_provenance
from univla_models.policy import Policy

from univla_training.codes import entropy_bits

#: Policies whose plans hold as many codes as any other plan of theirs.
ANALYSED = ('univla', 'uniact')


@dataclass(frozen=True, kw_only=True)
class CodeUse:
    """How often each code was planned for one robot and task.

    Attributes:
        robot: The robot.
        task: The task.
        counts: Plans with a code at a place of the plan, (places, codes).
        episodes: Recorded episodes that the pictures come from.
    """

    robot: str
    task: str
    counts: np.ndarray
    episodes: int

    @property
    def plans(self) -> int:
        """Number of plans."""
        return int(self.counts[0].sum())

    @property
    def shares(self) -> np.ndarray:
        """Distribution over the codes at each place, (places, codes)."""
        return self.counts / self.counts.sum(axis=1, keepdims=True)

    def row(self, most: int = 5) -> dict[str, Any]:
        """Plain figures: different codes, their entropy [bit], and the most frequent."""
        summed = self.counts.sum(axis=0)
        order = np.argsort(-summed, kind='stable')[:most]
        share = summed / summed.sum()
        return {
            'robot': self.robot,
            'task': self.task,
            'episodes': self.episodes,
            'plans': self.plans,
            'codes': int((summed > 0).sum()),
            'entropy_bits': float(np.mean([entropy_bits(place) for place in self.shares])),
            'most': {int(code): float(share[code]) for code in order if summed[code]},
        }


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Jensen-Shannon divergence of two distributions [bit], 0 (alike) to 1 (nothing shared).

    Args:
        first: Distributions at each place of a plan, (places, codes); the mean is taken.
        second: The same.
    """
    middle = 0.5 * (first + second)
    parts = [_relative_entropy(one, middle) for one in (first, second)]
    return float(0.5 * (parts[0] + parts[1]).mean())


def _relative_entropy(shares: np.ndarray, other: np.ndarray) -> np.ndarray:
    ratio = np.divide(shares, other, out=np.ones_like(shares), where=shares > 0.0)
    return (shares * np.log2(ratio)).sum(axis=1)


def divergences(uses: Sequence[CodeUse]) -> list[dict[str, Any]]:
    """The divergence of every pair, and what the two have in common."""
    rows = []
    for one, other in combinations(uses, 2):
        same = [name for name in ('task', 'robot') if getattr(one, name) == getattr(other, name)]
        rows.append(
            {
                'first': [one.robot, one.task],
                'second': [other.robot, other.task],
                'same': '+'.join(same) or 'nothing',
                'divergence': divergence(one.shares, other.shares),
            }
        )
    return rows


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean divergence of pairs with the same task, the same robot, or nothing in common."""
    kinds: dict[str, list[float]] = {}
    for row in rows:
        kinds.setdefault(str(row['same']), []).append(float(row['divergence']))
    return {kind: float(np.mean(values)) for kind, values in kinds.items()}


def look_at(
    policy: Policy,
    episodes: Sequence[Path],
    *,
    per_group: int = 20,
    frames: int = 10,
    camera: str = 'primary',
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[CodeUse]:
    """Let a policy plan on pictures of recorded episodes, as it would when it runs.

    Args:
        policy: The policy.
        episodes: Their folders.
        per_group: Most episodes of each robot and task, chosen by the seed.
        frames: Most frames of each, evenly spread.
        camera: Which pictures.
        seed: Of the choice.
        progress: Told of each episode done.

    Raises:
        TrainingError: If nothing can be looked at.
    """
    counts: dict[tuple[str, str], np.ndarray] = {}
    looked: dict[tuple[str, str], int] = {}
    for group, paths in chosen(episodes, per_group, seed).items():
        counts[group] = np.zeros((policy.codes_per_plan, policy.num_codes), dtype=np.int64)
        for path in paths:
            for plan in _plans(policy, path, frames, camera):
                counts[group][np.arange(len(plan)), plan] += 1
            looked[group] = looked.get(group, 0) + 1
            if progress is not None:
                progress(1)
    uses = [
        CodeUse(robot=robot, task=task, counts=own, episodes=looked[robot, task])
        for (robot, task), own in sorted(counts.items())
        if own.sum()
    ]
    if not uses:
        raise TrainingError(
            'no picture of the episodes could be planned on; record some with `./univla collect`'
        )
    return uses


def chosen(
    episodes: Sequence[Path], per_group: int, seed: int = 0
) -> dict[tuple[str, str], list[Path]]:
    """Some episodes of each robot and task, in an order drawn from the seed."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in episodes:
        known = read_provenance(path)
        groups.setdefault((known.robot, known.task), []).append(path)
    rng = np.random.default_rng(seed)
    return {
        group: [paths[place] for place in rng.permutation(len(paths))[:per_group]]
        for group, paths in sorted(groups.items())
    }


def _plans(policy: Policy, path: Path, frames: int, camera: str) -> list[np.ndarray]:
    episode = read_episode(path)
    if camera not in episode.images:
        raise TrainingError(
            f'{path}: has no pictures of camera {camera!r}, only of {", ".join(episode.images)}; '
            'name one of them with --camera'
        )
    pictures = episode.images[camera]
    spread = np.linspace(0, len(pictures) - 1, min(frames, len(pictures))).astype(int)
    policy.reset()
    plans = []
    for place in np.unique(spread):
        try:
            latent = policy.plan({camera: pictures[place]}, episode.instruction)
        except ObservationError as error:
            raise TrainingError(f'{path}: frame {place} cannot be planned on ({error})') from error
        plans.append(np.asarray(latent.codes, dtype=np.int64))
    return plans
