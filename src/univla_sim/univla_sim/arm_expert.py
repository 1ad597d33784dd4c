"""Experts of arms: what they share, and reaching for a cube."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation

from univla_sim.approach import above
from univla_sim.approach import bounded
from univla_sim.approach import funnel_step
from univla_sim.approach import ramped
from univla_sim.approach import slowing
from univla_sim.expert import Expert
from univla_sim.grasp import tool_down
from univla_sim.miss import Miss
from univla_sim.scene import CUBE_SIZE
from univla_sim.start import hand_room
from univla_sim.tasks import REACH_HEIGHT
from univla_sim.world import World

OPEN, CLOSED = 1.0, 0.0
#: Largest turn in one step [rad].
_TURN_RAD = 0.15
#: Fingers align a cube that is turned by less than this by closing [rad].
_ALIGNED_RAD = 0.3
#: Way of a kick in one step [m].
_KICK_M = (0.01, 0.025)
# A kick keeps this far from the cubes, as long as the hand is not above them [m].
_KICK_CLEAR_M, _KICK_ABOVE_Z = 0.08, 0.095
_KICK_TARGET_M, _KICK_TARGET_Z = 0.05, 0.07
_KICK_LOWEST_Z = 0.03
_REST_M = 0.002
# How much of the gap between servos and memory is closed at each look; and the gap beyond which
# the memory is worth nothing [m].
_DRAWN_SHARE, _LOST_M = 0.15, 0.07


@dataclass(frozen=True)
class ArmState:
    """What an arm's expert decides from.

    Attributes:
        hand: Where the hand is asked to be, in the base frame [m], shape (3,).
        measured: Where it is [m], shape (3,).
        speed: How far it was asked to go in the step before [m], shape (3,).
        rotation: How it is told to be turned, (3, 3).
        opening: Measured opening in [0, 1].
        held: Whether both fingers hold the object.
        touched: Whether a finger touches it.
        places: Centre of every object [m], each (3,).
        yaw: Turn of the named object, within an eighth of a turn [rad].
        moved: How far the named object was moved along the table [m].
    """

    hand: np.ndarray
    measured: np.ndarray
    speed: np.ndarray
    rotation: np.ndarray
    opening: float
    held: bool
    touched: bool
    places: dict[str, np.ndarray]
    yaw: float
    moved: float


@dataclass(frozen=True)
class _Asked:
    """What a plan asked of the hand: from where, at which way a step, and ways [m] (n, 3)."""

    time: float
    start: np.ndarray
    speed: np.ndarray
    ways: np.ndarray

    def at(self, steps: float) -> tuple[np.ndarray, np.ndarray]:
        """Place after so many steps, and the way of the step that led there, each (3,)."""
        shares = np.clip(steps - np.arange(len(self.ways)), 0.0, 1.0)
        last = int(np.count_nonzero(shares > 1e-6)) - 1
        return self.start + shares @ self.ways, self.ways[last] if last >= 0 else self.speed


class ArmExpert(Expert):
    """Rows of `eef_delta`: way [m], turn [rad] and gripper opening of a hand that points down.

    Increments start from what was asked for, and both the servos and the controller before them
    follow that with a lag. An expert that went by the hand alone would drive it too far. So it
    remembers where it asked the hand to be, and is drawn to where the servos are told to be.
    """

    action_space = 'eef_delta'

    def __init__(
        self, world: World, instruction: str, rng: np.random.Generator, kicks: bool = False
    ) -> None:
        super().__init__(world, instruction, rng, kicks)
        self._asked: _Asked | None = None
        self._cruise_z, self.lowest, self.highest = hand_room(world.embodiment)

    def look(self) -> ArmState:
        """Hand, fingers and objects."""
        world, robot = self.world, self.world.embodiment
        assert robot.chain is not None and robot.gripper is not None
        told = robot.chain.forward(world.joint_targets)
        hand, speed = self._remembered(told[:3, 3])
        poses = world.objects()
        target = poses[self.goal.target]
        fingers = world.fingers_on(self.goal.target)
        finger = world.gripper_finger_position * robot.gripper.state_scale
        return ArmState(
            hand=hand,
            measured=world.ee_pose[:3, 3],
            speed=speed,
            rotation=told[:3, :3],
            opening=robot.gripper.opening(finger),
            held=fingers == len(robot.gripper.fingers),
            touched=fingers > 0,
            places={name: T_world_object[:3, 3] for name, T_world_object in poses.items()},
            yaw=_quarter_yaw(target[:3, :3]),
            moved=world.moved(self.goal.target),
        )

    def plan(self, horizon: int = 4) -> np.ndarray:
        """Rows of the next steps, shape (horizon, 7); see `Expert.plan`."""
        rows = super().plan(horizon)
        self._asked = _Asked(self.world.time, *self._start, rows[:, :3])
        return rows

    def chunk(self, horizon: int = 4) -> tuple[np.ndarray, str]:
        """The plan as poses: rows (horizon, 7) of `eef_pose`.

        Increments add up with what the arm still makes up for; poses stay where they are, and
        demonstrations become steadier.
        """
        rows = self.plan(horizon).copy()
        place, rotation = self._start[0], self.told_rotation()
        for row in rows:
            place = place + row[:3]
            rotation = rotation_from_vector(row[3:6]) @ rotation
            row[:3], row[3:6] = place, vector_from_rotation(rotation)
        return rows, 'eef_pose'

    def led(self, rows: np.ndarray, space: str) -> None:
        """Remember where the hand is asked to go; see `Expert.led`."""
        super().led(rows, space)
        if space != 'eef_pose':
            self._asked = None  # where the servos are told to be is all there is to go by
            return
        self.look()
        ways = np.diff(rows[:, :3], axis=0, prepend=self._start[0][None])
        self._asked = _Asked(self.world.time, *self._start, ways)

    def told_rotation(self) -> np.ndarray:
        """How the hand is told to be turned, (3, 3)."""
        robot = self.world.embodiment
        assert robot.chain is not None
        return robot.chain.forward(self.world.joint_targets)[:3, :3]

    def _remembered(self, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the hand is asked to be now, and its way in the step before, [m], each (3,).

        Args:
            told: Where the goals of the servos put the hand [m], shape (3,).
        """
        hand, speed = told, np.zeros(3)
        if self._asked is not None:
            asked, way = self._asked.at((self.world.time - self._asked.time) / self.step_s)
            gap = told - asked
            if np.linalg.norm(gap) < _LOST_M:
                new = self.world.time > self._asked.time
                hand, speed = asked + (_DRAWN_SHARE * gap if new else 0.0), way
        self._start = hand, speed
        return hand, speed

    def predict(self, state: ArmState, row: np.ndarray) -> ArmState:
        """The hand gets where it is sent and takes along what it holds; fingers stay."""
        places = state.places
        if state.held:
            target = self.goal.target
            places = {**places, target: places[target] + state.hand - state.measured + row[:3]}
        return replace(
            state,
            hand=state.hand + row[:3],
            measured=state.hand + row[:3],
            speed=row[:3],
            rotation=rotation_from_vector(row[3:6]) @ state.rotation,
            places=places,
        )

    def row(
        self, state: ArmState, way: np.ndarray, opening: float, yaw: float = 0.0
    ) -> np.ndarray:
        """An action: an opening, the turn that points the hand down at a yaw, and a way [m].

        The way changes gradually from step to step.
        """
        wanted = tool_down(self.world.embodiment, state.hand, yaw)[:3, :3]
        turn = bounded(vector_from_rotation(wanted @ state.rotation.T), _TURN_RAD)
        return np.concatenate([ramped(way, state.speed), turn, [opening]])

    def travel(self, state: ArmState, goal: np.ndarray) -> np.ndarray:
        """Way (3,) [m] of one step to a goal that is entered from above."""
        return funnel_step(state.hand, goal, self._cruise_z)

    def target(self, state: ArmState) -> np.ndarray:
        """Centre of the named object [m], shape (3,)."""
        return state.places[self.goal.target]

    def propose_kick(
        self, state: ArmState, rng: np.random.Generator, count: int
    ) -> np.ndarray | None:
        """A way in any direction that neither hits the table nor comes near another cube."""
        way = rng.normal(size=3)
        way *= rng.uniform(*_KICK_M) / np.linalg.norm(way)
        points = [state.hand + index * way for index in range(1, count + 1)]
        return way if all(self._harmless(state, point) for point in points) else None

    def _harmless(self, state: ArmState, point: np.ndarray) -> bool:
        if (point < self.lowest).any() or (point > self.highest).any():
            return False
        if point[2] < min(_KICK_LOWEST_Z, state.hand[2]):
            return False
        for name, place in state.places.items():
            off = float(np.linalg.norm((point - place)[:2]))
            if name == self.goal.target:
                edge = 0.01 < off < _KICK_TARGET_M
                if edge and point[2] < _KICK_TARGET_Z and point[2] < state.hand[2]:
                    return False
            elif off < _KICK_CLEAR_M and point[2] < _KICK_ABOVE_Z:
                return False
        return True

    def kick_row(self, state: ArmState, row: np.ndarray, kick: np.ndarray) -> np.ndarray:
        """The kick's way instead of the expert's; turn and opening stay."""
        return np.concatenate([ramped(kick, state.speed), row[3:]])

    def is_rest(self, row: np.ndarray) -> bool:
        """Whether the hand stays where it is."""
        return bool(np.linalg.norm(row[:3]) < _REST_M)


class ReachExpert(ArmExpert):
    """Goes over the cube, then down to just above it, with open fingers."""

    #: Height of the hand above the point that counts as reached [m].
    above_m = 0.006

    def act(self, state: ArmState) -> np.ndarray:
        """Towards the point above the cube."""
        goal = above(self.target(state), REACH_HEIGHT + self.above_m)
        return self.row(state, self.travel(state, goal), OPEN)


class PickExpert(ArmExpert):
    """Goes over the cube and down with open fingers, closes them, lifts.

    It aims a little beside the cube's centre, each time elsewhere: who imitates it will not be
    more exact, and must have seen how a cube looks that is held off its centre. With kicks it
    also misses the cube now and then.
    """

    #: Height of the hand above the cube's centre when it grasps [m].
    grasp_m = 0.006
    #: How far beside the centre it aims at most [m].
    beside_m = 0.007
    #: How far off its aim the hand may be when the fingers close [m].
    aside_m, upright_m = 0.008, 0.008
    #: How far off the centre a cube is held well enough to be lifted [m].
    held_aside_m, held_upright_m = 0.016, 0.013
    #: Fingers that are less open than this open first, on the way up. Who imitates it and is late
    #: would press closed fingers on the cube, and takes a full hand for an empty one at times:
    #: both go up.
    open_enough = 0.8

    def __init__(
        self, world: World, instruction: str, rng: np.random.Generator, kicks: bool = False
    ) -> None:
        super().__init__(world, instruction, rng, kicks)
        angle, radius = rng.uniform(0.0, 2.0 * np.pi), self.beside_m * np.sqrt(rng.random())
        self._beside = radius * np.array([np.cos(angle), np.sin(angle), 0.0])
        self._miss = Miss(rng) if kicks else None

    def errs(self, state: ArmState) -> bool:
        """Whether it grasps beside the cube on purpose."""
        if self._miss is None or self.has_grasped(state):
            return False
        self._miss.look(self.world.time, state.measured, self.grasp_point(state))
        return self._miss.going

    def act(self, state: ArmState) -> np.ndarray:
        """Lift what is held, else grasp."""
        if self.has_grasped(state):
            return self.carry(state)
        if self._miss is not None and self._miss.going:
            return self._grasp_beside(state, self._miss)
        return self.grasp(state)

    def has_grasped(self, state: ArmState) -> bool:
        """Whether the fingers hold the cube firmly enough to move."""
        centre = above(self.target(state), self.grasp_m)
        return state.held and _near(state, centre, self.held_aside_m, self.held_upright_m)

    def carry(self, state: ArmState) -> np.ndarray:
        """Straight up to the height for travelling."""
        goal = np.array([*state.hand[:2], self._cruise_z])
        return self.row(state, slowing(goal - state.hand), CLOSED)

    def grasp(self, state: ArmState) -> np.ndarray:
        """Down around the cube, and close the fingers there."""
        turn = np.sign(state.yaw) * max(0.0, abs(state.yaw) - _ALIGNED_RAD)
        goal = self.grasp_point(state)
        if self._around(state):
            way = goal - state.hand if state.opening > 0.9 else np.zeros(3)
            return self.row(state, way, CLOSED, turn)
        if state.opening < self.open_enough:
            rise = max(0.0, self._cruise_z - float(state.hand[2]))
            return self.row(state, slowing(np.array([0.0, 0.0, rise])), OPEN, turn)
        return self.row(state, self.travel(state, goal), OPEN, turn)

    def _grasp_beside(self, state: ArmState, miss: Miss) -> np.ndarray:
        """Down beside the cube, or fingers closed there, or up with nothing in them."""
        if miss.phase == 'aiming':
            return self.row(state, self.travel(state, self.grasp_point(state) + miss.off), OPEN)
        if miss.phase == 'closing':
            return self.row(state, np.zeros(3), CLOSED)
        return self.carry(state)

    def grasp_point(self, state: ArmState) -> np.ndarray:
        """Where the hand grasps the cube [m], shape (3,)."""
        return above(self.target(state), self.grasp_m) + self._beside

    def _around(self, state: ArmState) -> bool:
        slack = 1.6 if state.touched else 1.0  # closing fingers shove the cube a little
        aside, upright = slack * self.aside_m, slack * self.upright_m
        return _near(state, self.grasp_point(state), aside, upright)


def _near(state: ArmState, point: np.ndarray, aside: float, upright: float) -> bool:
    """Whether the hand is within two distances of a point [m], along and off the table."""
    off = state.measured - point
    return bool(np.linalg.norm(off[:2]) < aside and abs(off[2]) < upright)


def _quarter_yaw(rotation: np.ndarray) -> float:
    """Turn of a cube about the vertical, which repeats each quarter turn, in [-pi/4, pi/4]."""
    yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return (yaw + 0.25 * np.pi) % (0.5 * np.pi) - 0.25 * np.pi


#: A cube's half side: where its top is above its centre [m].
HALF_CUBE = 0.5 * CUBE_SIZE
