"""Figures of episodes, one by one and in groups."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from univla_data.episode_tools import Motion


def row_of(motion: Motion, odd: Mapping[Path, Sequence[str]]) -> dict[str, Any]:
    """What `list` says of an episode."""
    known = motion.provenance
    return {
        'path': str(motion.path),
        'robot': known.robot,
        'task': known.task,
        'instruction': known.instruction,
        'success': known.success,
        'seconds': round(motion.seconds, 2),
        'megabytes': round(motion.megabytes, 3),
        'sources': {name: round(share, 3) for name, share in motion.shares.items()},
        'idle_share': round(motion.idle_share, 3),
        'speed': round(motion.speed, 3),
        'interrupted': motion.interrupted,
        'outlier': list(odd.get(motion.path, ())),
    }


def groups_of(
    motions: Sequence[Motion], odd: Mapping[Path, Sequence[str]]
) -> list[dict[str, Any]]:
    """What `stats` says of each robot and task."""
    groups: defaultdict[tuple[str, str], list[Motion]] = defaultdict(list)
    for motion in motions:
        groups[motion.provenance.robot, motion.provenance.task].append(motion)
    return [_group(name, group, odd) for name, group in sorted(groups.items())]


def _group(
    name: tuple[str, str], group: Sequence[Motion], odd: Mapping[Path, Sequence[str]]
) -> dict[str, Any]:
    seconds = np.array([motion.seconds for motion in group])
    judged = [m.provenance.success for m in group if m.provenance.success is not None]
    sources = Counter(source for motion in group for source in motion.sources.tolist())
    frames = sum(sources.values())
    return {
        'robot': name[0],
        'task': name[1],
        'episodes': len(group),
        'successes': sum(judged),
        'judged': len(judged),
        'seconds': round(float(seconds.sum()), 1),
        'shortest_s': round(float(seconds.min()), 1),
        'median_s': round(float(np.median(seconds)), 1),
        'longest_s': round(float(seconds.max()), 1),
        'megabytes': round(sum(motion.megabytes for motion in group), 1),
        'idle_share': round(float(np.concatenate([m.idle for m in group]).mean()), 3),
        'sources': {who: round(count / frames, 3) for who, count in sources.most_common()},
        'outliers': sum(motion.path in odd for motion in group),
    }


def in_words(success: bool | None) -> str:
    """Success as a table says it."""
    return {True: 'yes', False: 'no', None: '-'}[success]


def shares_in_words(shares: Mapping[str, float]) -> str:
    """Who drove, most first."""
    return ' '.join(f'{name} {share:.0%}' for name, share in shares.items())
