"""Where training finds recorded episodes: in folders, single bags, and exported data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from univla_core.errors import TrainingError
from univla_data.episode_reader import find_episodes

#: What an export leaves beside its data: the episodes that it was made from.
SUMMARY = 'univla_export.json'


def recorded_episodes(places: Path | Iterable[Path]) -> list[Path]:
    """Episodes of some places, sorted.

    A place is an episode, a folder that holds some at any depth, or a data set that `./univla
    export` made. The latter stands for the recordings it was made from: its own pictures went
    through a video codec, and its actions have one space and one row.

    Raises:
        TrainingError: If a recording of a data set is gone, or the data set is damaged.
    """
    found: set[Path] = set()
    for place in [places] if isinstance(places, Path) else places:
        if (place / SUMMARY).is_file():
            found |= set(_exported(place))
        elif place.exists():
            found |= set(find_episodes(place))
    return sorted(found)


def _exported(dataset: Path) -> list[Path]:
    path = dataset / SUMMARY
    try:
        rows = json.loads(path.read_text(encoding='utf-8'))['episodes']
        sources = [Path(row['source']) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f'{path}: cannot be read ({error!r}); export anew, or train on the recordings'
        ) from error
    gone = [source for source in sources if not source.exists()]
    if gone:
        raise TrainingError(
            f'{dataset}: {len(gone)} of its {len(sources)} recordings are gone, {gone[0]} the '
            'first; training reads the recordings. Bring them back, or train where the data set '
            'was exported'
        )
    return sources
