"""Scripted experts, one per task: demonstrations, and a yardstick for policies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from univla_core.errors import ConfigError

from univla_sim.arm_expert import PickExpert
from univla_sim.arm_expert import ReachExpert
from univla_sim.drive_expert import DriveExpert
from univla_sim.expert import Expert
from univla_sim.place_expert import PlaceExpert
from univla_sim.push_expert import PushExpert
from univla_sim.tasks import TASKS
from univla_sim.tasks import parse_instruction
from univla_sim.world import World

__all__ = ['EXPERTS', 'Expert', 'make_expert']

#: The expert of each task.
EXPERTS: Mapping[str, type[Expert]] = {
    'reach': ReachExpert,
    'push': PushExpert,
    'pick': PickExpert,
    'place': PlaceExpert,
    'drive': DriveExpert,
}


def make_expert(
    world: World, instruction: str, rng: np.random.Generator, kicks: bool = False
) -> Expert:
    """The expert that carries out an instruction; call it once the world is reset.

    Args:
        world: The world to act in.
        instruction: The task in words.
        rng: Decides about kicks.
        kicks: Whether random motions disturb the demonstration.

    Raises:
        ConfigError: If the instruction names no task and object of this world.
    """
    task = parse_instruction(instruction).task
    if task not in EXPERTS:
        raise ConfigError(
            f'there is no expert for {instruction!r}; tasks with experts are {", ".join(TASKS)}'
        )
    return EXPERTS[task](world, instruction, rng, kicks)
