"""Pictures of random scenes that say what stands where: the small stand-in for VLM pretraining.

Released policies start from a vision-language model that has seen the world. Nothing of that kind
is small enough to train here in minutes, so the tiny recipe shows its network random scenes and
asks where things are. This uses the simulator's object positions, no action and no demonstration;
its scenes are apart from those of evaluation, and every baseline gets the same start.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from univla_core.embodiment import load_embodiment
from univla_models.image_processor import ImageProcessor
from univla_models.release import processor_document

from univla_training.scene_drawing import SceneKind
from univla_training.stored_arrays import StoredArrays

#: What a place of the picture may show.
KINDS = ('nothing', 'robot', 'gripper', 'red', 'green', 'blue', 'plate')
#: Cells of the labels along one side of a patch of 14 px.
CELLS = 7
#: Size at which labels are drawn, of the camera's 4:3 shape.
_DRAWN = (160, 120)
#: First seed; evaluation stays below 100 000, demonstrations begin at 1 000 000.
FIRST_SEED = 50_000_000
#: Where a robot stands in these scenes: from the posture `ready` [m], turned (a base) [rad].
ANYWHERE_M, ABOVE_M, TURN = (0.0, 0.18), (0.0, 0.12), (0.0, 3.1)
#: Share of an arm's scenes whose hand is at a cube, and whose hand holds one, as while it works.
AT_CUBE, HOLDING = 0.5, 0.15
#: Share of the scenes with a plate in which a cube lies on it, or is just above it in the hand.
ON_PLATE = 0.3
# So far from a cube [m], and so high over it at most [m].
_ASIDE_M, _OVER_M = 0.07, 0.09
# Fingers that stand lower than this would stand in a cube that is between these distances [m].
_CLEAR_M, _IN_CUBE_M = 0.05, (0.012, 0.05)
# So far a cube is put down from the plate's centre, and the hand is then from the cube [m].
_OFF_CENTRE_M, _AWAY_M = 0.02, 0.2
# Opening of fingers that hold a cube.
_HELD_OPENING = 0.55
#: Things a question may ask for; the last is the robot's own gripper.
THINGS = ('red', 'green', 'blue', 'plate', 'gripper')


@dataclass(frozen=True, kw_only=True)
class PointingPictures(StoredArrays):
    """Random scenes.

    Attributes:
        pictures: RGB as the policy resizes them, uint8, (n, side, side, 3).
        labels: Index into `KINDS` of every cell, uint8, (n, cells, cells).
        places: Column and row of the centre of each of `THINGS` as shares of the picture, NaN
            where nothing of it can be seen, float32, (n, 5, 2). A centre may be hidden.
        base: Whether the robot is a mobile base, (n,).
    """

    pictures: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    base: np.ndarray


def label_side(image_side: int) -> int:
    """Cells of the labels along one side of a picture of so many pixels."""
    return image_side // 14 * CELLS


def draw_pictures(robot: str, count: int, seed: int, side: int) -> PointingPictures:
    """Draw random scenes of one robot.

    Args:
        robot: Name in config/robots.
        count: How many.
        seed: Decides all of them.
        side: Side of the policy's picture [px].
    """
    from univla_sim.variation import Variation
    from univla_sim.world import World

    embodiment = load_embodiment(robot)
    processor = ImageProcessor.from_mapping(processor_document(side), 'the recipe')
    rng = np.random.default_rng((seed, FIRST_SEED))
    # Half of the tables hold a plate. Both worlds live to the end: a renderer that is made while
    # another dies draws garbage.
    tasks = (None, 'drive') if embodiment.kind == 'base' else (None, 'reach')
    worlds = [World(embodiment, seed=FIRST_SEED, task=task) for task in tasks]
    variation = dataclasses.replace(
        Variation.training(), start_shift_m=ANYWHERE_M, start_height_m=ABOVE_M, start_turn_rad=TURN
    )
    pictures = np.empty((count, side, side, 3), dtype=np.uint8)
    cells = label_side(side)
    labels = np.empty((count, cells, cells), dtype=np.uint8)
    places = np.empty((count, len(THINGS), 2), dtype=np.float32)
    for number in range(count):
        world = worlds[number % 2]
        world.reset(FIRST_SEED + int(rng.integers(10_000_000)), variation=variation)
        if embodiment.kind == 'arm':
            put_to_work(world, rng)
        pictures[number] = processor.resize(world.render('primary'))
        kinds = _kinds(world)
        labels[number] = _cells(kinds, cells)
        places[number] = _places(world, kinds)
    for world in worlds:
        world.close()
    base = np.full(count, embodiment.kind == 'base')
    return PointingPictures(pictures=pictures, labels=labels, places=places, base=base)


#: Scenes that say what stands where, in short.
POINTING_SCENES = SceneKind(
    name='pointing', version=3, draw=draw_pictures, stored=PointingPictures
)


def _kinds(world: Any) -> np.ndarray:
    """Index into `KINDS` of every pixel, drawn small; (height, width)."""
    from univla_sim.ground_truth import SEGMENTS

    names = [name.split('_')[0] for name in SEGMENTS]
    table = np.array([KINDS.index(name) if name in KINDS else 0 for name in names], dtype=np.uint8)
    return table[world.render_segmentation('primary', *_DRAWN)]


def _cells(kinds: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (((np.arange(side) + 0.5) * size / side).astype(int) for size in kinds.shape)
    return kinds[np.ix_(rows, columns)]


def _places(world: Any, kinds: np.ndarray) -> np.ndarray:
    """Where the centres of `THINGS` are, as shares of the picture; NaN of what is out of sight."""
    from univla_sim.ground_truth import END_EFFECTOR

    found = np.full((len(THINGS), 2), np.nan, dtype=np.float32)
    height, width = kinds.shape
    known = world.pixel_positions('primary', _DRAWN)
    centres = {name.split('_')[0]: centre for name, centre in known.items()}
    centres['gripper'] = known[END_EFFECTOR]
    for number, thing in enumerate(THINGS):
        centre = centres.get(thing)
        if centre is None or np.count_nonzero(kinds == KINDS.index(thing)) < 3:
            continue
        place = np.array([(centre.u + 0.5) / width, (centre.v + 0.5) / height])
        if ((place > 0.0) & (place < 1.0)).all():
            found[number] = place
    return found


def put_to_work(world: Any, rng: np.random.Generator) -> None:
    """Put the hand where it works: at a cube, or with one between its fingers, or at the plate.

    Hands that only hover above the table would teach that nothing hides the named thing, and
    just where a robot must be exact, the policy would point beside it. Plates that always lie
    bare would teach that what has a cube on it is none.
    """
    places = {name: pose[:3, 3] for name, pose in world.objects().items()}
    cubes = {name: place for name, place in places.items() if name.endswith('_cube')}
    named = str(rng.choice(sorted(cubes)))
    if 'plate' in places and rng.random() < ON_PLATE:
        _put_down(world, rng, places['plate'], named)
        return
    kind = rng.random()
    if kind >= AT_CUBE + HOLDING:
        return
    place = cubes[named].copy()
    held = kind < HOLDING
    if held:
        place[2] += rng.uniform(0.0, _OVER_M)
        world.show_hand(place, rng.uniform(-0.3, 0.3), _HELD_OPENING, named)
        return
    place += _aside(rng, _ASIDE_M)
    place[2] += _OVER_M * rng.random() ** 1.5
    offs = [float(np.linalg.norm((place - cube)[:2])) for cube in cubes.values()]
    if any(_IN_CUBE_M[0] < off < _IN_CUBE_M[1] for off in offs):
        place[2] = max(place[2], _CLEAR_M)
    opening = 1.0 if rng.random() < 0.6 else rng.random()
    if min(offs) < _IN_CUBE_M[0] and place[2] < _CLEAR_M:
        opening = max(opening, _HELD_OPENING)
    world.show_hand(place, rng.uniform(-0.3, 0.3), opening)


def _put_down(world: Any, rng: np.random.Generator, plate: np.ndarray, named: str) -> None:
    """Put a cube on the plate, and the hand at it, above it, or away from it."""
    from univla_sim.scene import CUBE_SIZE
    from univla_sim.scene import PLATE_HEIGHT

    place = plate + _aside(rng, _OFF_CENTRE_M)
    place[2] += 0.5 * (PLATE_HEIGHT + CUBE_SIZE)
    yaw, moment = rng.uniform(-0.3, 0.3), rng.random()
    held = moment < 0.25
    if held:
        place[2] += rng.uniform(0.0, _OVER_M)
    if not world.show_hand(place, yaw, _HELD_OPENING, named) or held:
        return
    if moment > 0.75:  # let go long since
        place += _aside(rng, _AWAY_M)
        place[2] += rng.uniform(_CLEAR_M, ABOVE_M[1])
    else:
        place[2] += _OVER_M * rng.random()
    world.show_hand(place, yaw, rng.uniform(_HELD_OPENING, 1.0))


def _aside(rng: np.random.Generator, most: float) -> np.ndarray:
    """A level way of random direction and at most such a length [m], (3,)."""
    angle, aside = rng.uniform(0.0, 2.0 * np.pi), most * rng.random()
    return np.array([aside * np.cos(angle), aside * np.sin(angle), 0.0])
