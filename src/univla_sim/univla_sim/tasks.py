"""Tasks in words, and a referee that measures from ground truth whether they were done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.urdf import moving_link

from univla_sim.scene import CUBE_SIZE
from univla_sim.scene import PLATE_HEIGHT
from univla_sim.scene import PLATE_RADIUS
from univla_sim.scene import object_names

#: End effector within this distance of the point above the cube counts as reached [m].
REACH_RADIUS = 0.03
#: Height of that point above the cube's centre [m].
REACH_HEIGHT = 0.035
#: A cube pushed this far along the table counts as pushed [m].
PUSH_DISTANCE = 0.04
#: A cube whose centre is above this height counts as picked up [m]; it rests at 0.02.
PICK_HEIGHT = 0.06
#: Centre of the base within this distance of a pillar's axis counts as there [m].
DRIVE_RADIUS = 0.28

_CUBE, _PILLAR = r'the (\w+) (?:cube|block)', r'the (\w+) (?:pillar|column|post)'
_PATTERNS: Mapping[str, str] = {
    'reach': rf'(?:reach|touch|approach|move to|go to) (?:for )?{_CUBE}',
    'push': rf'(?:push|shove|nudge) {_CUBE}',
    'pick': rf'(?:pick up|pick|lift up|lift|grasp|grab|take|raise) {_CUBE}',
    'place': rf'(?:put|place|set|lay) {_CUBE} (?:down )?on(?:to)? the (?:\w+ )?(?:plate|dish)',
    'drive': rf'(?:drive|go|head|move|roll) (?:over )?to {_PILLAR}',
}
TASKS = tuple(_PATTERNS)
_DONE = {'reach': 'reached', 'push': 'pushed', 'pick': 'picked up', 'drive': 'reached'}


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What an instruction asks for: a task of `TASKS` and an object, or `free` and ''."""

    task: str
    target: str = ''


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How far an instruction has been carried out.

    Attributes:
        task: One of `TASKS`, or `free` when the instruction names no known task and object.
        target: Name of the object, '' for `free`.
        success: Whether the task was done, with the named object first; None for `free`.
        distance_m: What is left: `reach` end effector to the point above the cube, `push` way
            still to push, `pick` height still to lift, `place` cube to plate centre, `drive`
            base to pillar. None for `free`.
        text: The same in words.
    """

    task: str
    target: str
    success: bool | None
    distance_m: float | None
    text: str


def parse_instruction(instruction: str) -> Goal:
    """Find task and object in an instruction; `free` if it names none that is known.

    Raises:
        ConfigError: If the instruction is empty.
    """
    words = ' '.join(re.findall(r'[a-z0-9]+', instruction.lower()))
    if not words:
        raise ConfigError('the instruction is empty; say for example "pick up the red cube"')
    for task, pattern in _PATTERNS.items():
        match = re.search(rf'\b{pattern}\b', words)
        if match:
            kind = 'pillar' if task == 'drive' else 'cube'
            return Goal(task=task, target=f'{match.group(1)}_{kind}')
    return Goal(task='free')


def instruction_for(task: str, color: str) -> str:
    """The instruction that `parse_instruction` reads as this task with this colour.

    Raises:
        ConfigError: If the task is unknown.
    """
    templates = {
        'reach': 'reach the {} cube',
        'push': 'push the {} cube',
        'pick': 'pick up the {} cube',
        'place': 'put the {} cube on the white plate',
        'drive': 'drive to the {} pillar',
    }
    if task not in templates:
        raise ConfigError(f'unknown task {task!r}; choose one of {", ".join(TASKS)}')
    return templates[task].format(color)


def default_instruction(embodiment: Embodiment) -> str:
    """An instruction that fits the robot's scene."""
    return instruction_for('drive' if embodiment.kind == 'base' else 'pick', 'red')


class Referee:
    """Watches the objects and remembers what happened first since `restart`.

    Args:
        model: The compiled scene.
        data: Its state.
        embodiment: The robot in it.
        plate: Whether the scene has a plate.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, embodiment: Embodiment, plate: bool
    ) -> None:
        self._model, self._data = model, data
        self._bodies = {n: model.body(n).id for n in object_names(embodiment, plate)}
        self._movable = [name for name in self._bodies if name != 'plate']
        self._site = model.site(embodiment.ee_frame).id
        self._is_base = embodiment.kind == 'base'
        fingers = embodiment.gripper.fingers if embodiment.gripper else ()
        self._fingers = {model.body(moving_link(finger['name'])).id for finger in fingers}
        self.restart()

    def restart(self) -> None:
        """Begin an episode: objects are where they should be, nothing has happened."""
        self._start = {name: self._position(name).copy() for name in self._bodies}
        self._first: dict[str, str] = {}
        self._placed: set[str] = set()

    def observe(self) -> None:
        """Look at the present state; call it often enough to see who was first."""
        for task in ('drive',) if self._is_base else ('reach', 'push', 'pick'):
            if task not in self._first:
                left = {name: self._left(task, name) for name in self._movable}
                nearest = min(left, key=left.__getitem__)
                if left[nearest] <= self._threshold(task):
                    self._first[task] = nearest
        if 'plate' in self._bodies:
            self._placed.update(name for name in self._movable if self._on_plate(name))

    def outcome(self, instruction: str) -> Outcome:
        """How far the instruction has been carried out since `restart`.

        Raises:
            ConfigError: If the instruction is empty.
        """
        goal = parse_instruction(instruction)
        known = goal.target in self._bodies and (goal.task == 'drive') == self._is_base
        if not known or (goal.task == 'place' and 'plate' not in self._bodies):
            text = f'"{instruction}" names no task and object of this scene: not judged'
            return Outcome(task='free', target='', success=None, distance_m=None, text=text)
        success, did = self._judge(goal)
        left = max(0.0, self._left(goal.task, goal.target))
        return Outcome(
            task=goal.task,
            target=goal.target,
            success=success,
            distance_m=left,
            text=f'{"done" if success else "not done"}: {did}; {100.0 * left:.1f} cm left',
        )

    def _judge(self, goal: Goal) -> tuple[bool, str]:
        target = goal.target.replace('_', ' ')
        if goal.task == 'place':
            success = goal.target in self._placed
            return success, f'the {target} {"lay" if success else "never lay"} on the plate'
        first = self._first.get(goal.task)
        if first is None:
            return False, f'nothing was {_DONE[goal.task]}'
        return first == goal.target, f'the {first.replace("_", " ")} was {_DONE[goal.task]} first'

    def _left(self, task: str, name: str) -> float:
        """The length [m] that `Outcome.distance_m` tells."""
        place, hand = self._position(name), self._data.site_xpos[self._site]
        if task == 'reach':
            return float(np.linalg.norm(hand - place - (0.0, 0.0, REACH_HEIGHT)))
        if task == 'push':
            return PUSH_DISTANCE - self.moved(name)
        if task == 'pick':
            return PICK_HEIGHT - float(place[2])
        other = self._position('plate') if task == 'place' else hand
        return float(np.linalg.norm((place - other)[:2]))

    @staticmethod
    def _threshold(task: str) -> float:
        return {'reach': REACH_RADIUS, 'drive': DRIVE_RADIUS}.get(task, 0.0)

    def _on_plate(self, name: str) -> bool:
        height = self._position(name)[2] - PLATE_HEIGHT - 0.5 * CUBE_SIZE
        near = self._left('place', name) < PLATE_RADIUS and abs(height) < 0.01
        return near and not self.fingers_on(name)

    def moved(self, name: str) -> float:
        """How far an object was moved along the ground since `restart` [m]."""
        return float(np.linalg.norm((self._position(name) - self._start[name])[:2]))

    def fingers_on(self, name: str) -> int:
        """How many fingers touch an object."""
        touching: set[int] = set()
        for contact in self._data.contact[: self._data.ncon]:
            pair = {int(self._model.geom_bodyid[geom]) for geom in contact.geom}
            if self._bodies[name] in pair:
                touching |= pair & self._fingers
        return len(touching)

    def _position(self, name: str) -> np.ndarray:
        return self._data.xpos[self._bodies[name]]
