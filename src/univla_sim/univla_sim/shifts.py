"""Five ways in which a test may leave what was trained: held-out variations, one per axis.

The axes are those by which UniAct (arXiv:2501.10105, table 5) and OpenVLA judge generalisation.
No amount overlaps with `Variation.training`, nor any wording with `instruction_for`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from univla_core.errors import ConfigError

from univla_sim.tasks import parse_instruction
from univla_sim.variation import Variation

SHIFTS = ('visual', 'motion', 'physical', 'semantic', 'language')

#: Wordings that no policy is trained with; `{}` is the colour.
HELD_OUT_WORDINGS: Mapping[str, tuple[str, ...]] = {
    'reach': (
        'approach the {} block',
        'go to the {} block, please',
        'can you touch the {} block?',
    ),
    'push': (
        'shove the {} block away',
        'nudge the {} block a little',
        'please nudge the {} cube',
    ),
    'pick': (
        'grab the {} block',
        'raise the {} cube off the table',
        'could you take the {} block?',
    ),
    'place': (
        'lay the {} block on the dish',
        'set the {} cube down on the white dish',
        'set the {} block onto the plate',
    ),
    'drive': (
        'head over to the {} column',
        'roll to the {} post',
        'please move to the {} column',
    ),
}

_SURFACES = ((0.30, 0.36, 0.34), (0.36, 0.33, 0.44), (0.34, 0.26, 0.20), (0.90, 0.90, 0.92))


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One held-out condition.

    Attributes:
        name: One of `SHIFTS`.
        variation: For `World.reset`; look, start and physics.
        rewrite: Turns an instruction as trained into the one to give.
    """

    name: str
    variation: Variation
    rewrite: Callable[[str], str]


def shifted(name: str, seed: int) -> Shift:
    """The held-out condition of one axis for an episode.

    What the axis does not concern varies as in training.

    Args:
        name: One of `SHIFTS`.
        seed: The episode's; decides the wording. `World.reset` draws the rest from it.

    Raises:
        ConfigError: If there is no such axis.
    """
    if name not in SHIFTS:
        raise ConfigError(f'unknown shift {name!r}; choose one of {", ".join(SHIFTS)}')
    if name == 'language':
        return Shift(
            name=name,
            variation=Variation.training(),
            rewrite=lambda instruction: reworded(instruction, seed),
        )
    variation = replace(Variation.training(), **_CHANGES[name])
    return Shift(name=name, variation=variation, rewrite=lambda instruction: instruction)


def reworded(instruction: str, seed: int) -> str:
    """The same task and object in words that are never trained with; others stay as they are."""
    goal = parse_instruction(instruction)
    wordings = HELD_OUT_WORDINGS.get(goal.task)
    if wordings is None:
        return instruction
    color = goal.target.split('_')[0]
    choice = int(np.random.default_rng([seed, len(SHIFTS)]).integers(len(wordings)))
    return wordings[choice].format(color)


_CHANGES: Mapping[str, Mapping[str, object]] = {
    'visual': {
        'camera_shift_m': (0.03, 0.05),
        'camera_turn_rad': (0.015, 0.03),
        'light_shift_m': (0.4, 0.8),
        'light_strength': (0.25, 0.4),
        'surface_colors': _SURFACES,
        'checker': True,
        'distractors': 2,
    },
    'motion': {
        'start_shift_m': (0.06, 0.10),
        'start_height_m': (0.035, 0.05),
        'start_turn_rad': (0.6, 3.0),
    },
    'physical': {
        'object_size': (0.10, 0.25),
        'object_mass': (0.10, 0.25),
        'object_friction': (0.10, 0.25),
        'servo_stiffness': (0.10, 0.25),
    },
    'semantic': {
        'object_yaw_rad': (0.30, 0.75),
        'object_spread': 0.6,
        'object_gap_m': 0.075,
        'pillar_distance_m': (1.3, 1.5),
    },
}
