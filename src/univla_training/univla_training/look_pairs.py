"""The same random scenes in two looks: as demonstrations show them, and in another room."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError

from univla_training.pointing import ABOVE_M
from univla_training.pointing import ANYWHERE_M
from univla_training.pointing import TURN
from univla_training.pointing import put_to_work
from univla_training.recorded import picture_processor
from univla_training.scene_drawing import SceneKind
from univla_training.stored_arrays import StoredArrays

#: First seed; evaluation, demonstrations, pointing and pairs of a moving hand have others.
FIRST_SEED = 80_000_000


@dataclass(frozen=True, kw_only=True)
class LookPairs(StoredArrays):
    """Scenes, each in two looks; cameras, robot and things are in the same place in both.

    Attributes:
        plain: With the light and colours of demonstrations, RGB as the policy resizes it, uint8,
            (n, side, side, 3).
        other: With another table and other light, the same.
    """

    plain: np.ndarray
    other: np.ndarray


def draw_look_pairs(robot: str, count: int, seed: int, side: int) -> LookPairs:
    """Draw random scenes of one robot in two looks.

    Args:
        robot: Name in config/robots.
        count: How many.
        seed: Decides all of them.
        side: Side of the policy's picture [px].

    Raises:
        TrainingError: If there is no OpenGL to draw textures with.
    """
    from univla_sim.variation import Variation
    from univla_sim.world import World

    embodiment = load_embodiment(robot)
    processor = picture_processor(side)
    rng = np.random.default_rng((seed, FIRST_SEED))
    tasks = (None, 'drive') if embodiment.kind == 'base' else (None, 'reach')
    worlds = [World(embodiment, seed=FIRST_SEED, task=task) for task in tasks]
    renderer = worlds[0].renderer
    if renderer.backend != 'gl':
        raise TrainingError(
            f'pictures are drawn by {renderer.backend} here ({renderer.reason}), which draws no '
            'textures; install libegl1 and libgl1, and leave UNIVLA_RENDER unset'
        )
    other = Variation.domain_randomized()
    plain = dataclasses.replace(
        Variation.training(),
        camera_shift_m=other.camera_shift_m,
        camera_turn_rad=other.camera_turn_rad,
        start_shift_m=ANYWHERE_M,
        start_height_m=ABOVE_M,
        start_turn_rad=TURN,
    )
    pictures = np.empty((2, count, side, side, 3), dtype=np.uint8)
    for number in range(count):
        world = worlds[number % 2]
        world.reset(FIRST_SEED + int(rng.integers(10_000_000)), variation=plain)
        if embodiment.kind == 'arm':
            put_to_work(world, rng)
        pictures[0, number] = processor.resize(world.render('primary'))
        world.redress(other, int(rng.integers(2**32)))
        pictures[1, number] = processor.resize(world.render('primary'))
    for world in worlds:
        world.close()
    return LookPairs(plain=pictures[0], other=pictures[1])


#: Scenes in two looks, in short.
LOOK_SCENES = SceneKind(name='looks', version=4, draw=draw_look_pairs, stored=LookPairs)
