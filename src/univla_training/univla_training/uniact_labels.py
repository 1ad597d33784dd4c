"""Action labels for UniAct's heads, in each of the control interfaces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.norm_stats import dataset_stats_from_mapping
from univla_core.norm_stats import normalize

from univla_training.decoder_training import default_space
from univla_training.demonstrations import Demonstrations
from univla_training.demonstrations import demonstrations
from univla_training.demonstrations import is_relative
from univla_training.frame_store import FrameStore
from univla_training.statistics import dataset_statistics

RULE = 'bounds_q99'


def head_is_relative(head: str, space: str) -> bool:
    """Whether such a head says increments from the measured robot: it must feel the joints."""
    return head == 'uniact_act' and is_relative(space)


def uniact_space(embodiment: Embodiment, head: str) -> str:
    """Action space of a robot's head where nobody says otherwise."""
    space = default_space(embodiment)
    feels = head == 'uniact_act' or not is_relative(space)
    return space if feels else 'eef_delta'


def uniact_demonstrations(
    store: FrameStore,
    robot: str,
    space: str,
    head: str,
    *,
    statistics: Mapping[str, Any] | None = None,
    **told: Any,
) -> Demonstrations:
    """Clean frames of a robot with normalised actions, as a kind of head learns them.

    In an absolute space a `uniact_act` head learns increments from the measured robot, and a
    `uniact_mlp` head, which does not feel it, the absolute rows themselves.

    Args:
        store: Episodes.
        robot: Which robot.
        space: Action space.
        head: Kind of head.
        statistics: Of other frames; None computes them from these.
        told: Further arguments of `demonstrations`.

    Raises:
        TrainingError: If nothing is left, or actions are not finite.
    """
    feels = head == 'uniact_act'
    if feels or not is_relative(space):
        return demonstrations(
            store, robot, space, proprioception=feels, statistics=statistics, **told
        )
    shown = demonstrations(store, robot, space, proprioception=False, **told)
    chosen = store.require(robot, space)
    entry = dict(statistics or dataset_statistics(chosen, robot, space))
    entry.pop('proprio', None)
    stats = dataset_stats_from_mapping({robot: entry}, robot)[robot].action
    chunks = normalize(np.asarray(chosen.actions(shown.rows, space), dtype=float), stats, RULE)
    return dataclasses.replace(shown, chunks=chunks.astype(np.float32), statistics=entry)
