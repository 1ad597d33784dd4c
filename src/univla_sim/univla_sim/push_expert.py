"""Expert of an arm: push a cube along the table."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from univla_sim.approach import above
from univla_sim.approach import bounded
from univla_sim.arm_expert import CLOSED
from univla_sim.arm_expert import HALF_CUBE
from univla_sim.arm_expert import ArmExpert
from univla_sim.arm_expert import ArmState
from univla_sim.scene import PLATE_RADIUS

#: How far a cube is pushed [m]; the referee asks for 0.04.
PUSHED_M = 0.06
_STEP_M = 0.02
# Between the fingers and the cube before they touch [m].
_ROOM_M = 0.018
# How far to the side of the line of push the hand may be [m].
_ASIDE_M = 0.012
# Half the width that a cube, or the closed fingers, take up on their way [m].
_HALF_WAY_M = 0.03
_LOW_M = 0.012
# Room beyond this counts no more [m]; below it, a direction is the less liked the less it has.
_AMPLE_M = 0.02
#: Directions of push, from away from the robot to towards it.
_ANGLES = tuple(np.radians([0, 45, -45, 90, -90, 135, -135, 180]))


class PushExpert(ArmExpert):
    """Goes down behind the cube with closed fingers, and along.

    Of the directions with room for hand and cube it takes the one whose start is nearest to the
    hand. So the choice is seen in where the hand is, and who imitates it and hesitates between
    two directions is drawn to one of them. A hand that is already behind the cube goes on.
    """

    #: Height of the hand above the cube's centre while it pushes [m].
    push_m = 0.008

    def act(self, state: ArmState) -> np.ndarray:
        """Get behind the cube, then push it until it is far enough."""
        if state.moved >= PUSHED_M:
            return self.row(state, np.zeros(3), CLOSED)
        direction = self.direction(state)
        if self._is_behind(state, direction):
            return self.row(state, self._shove(state, direction), CLOSED)
        return self.row(state, self.travel(state, self._behind(state, direction)), CLOSED)

    def predict(self, state: ArmState, row: np.ndarray) -> ArmState:
        """What the fingers run into goes with them."""
        direction = self.direction(state)
        pushing = state.moved < PUSHED_M and self._is_behind(state, direction)
        after = super().predict(state, row)
        if not pushing:
            return after
        target = self.goal.target
        gap = float((self.target(state) - after.hand)[:2] @ direction)
        way = max(0.0, self._contact(direction) - gap)
        place = self.target(state) + way * np.append(direction, 0.0)
        return replace(after, places={**state.places, target: place}, moved=state.moved + way)

    def direction(self, state: ArmState) -> np.ndarray:
        """Unit vector (2,) along which the cube is pushed."""
        directions = [np.array([np.cos(angle), np.sin(angle)]) for angle in _ANGLES]
        for direction in directions:
            if self._is_behind(state, direction):
                return direction
        rooms = np.array([self._room(state, direction) for direction in directions])
        if rooms.max() <= 0.0:
            return directions[int(np.argmax(rooms))]
        starts = np.array([self._behind(state, direction)[:2] for direction in directions])
        ways = np.linalg.norm(starts - state.hand[:2], axis=1) - np.minimum(rooms, _AMPLE_M)
        return directions[int(np.argmin(np.where(rooms > 0.0, ways, np.inf)))]

    def _shove(self, state: ArmState, direction: np.ndarray) -> np.ndarray:
        """Way (3,) [m] of one step along the direction, and back onto its line."""
        off = state.hand - self.target(state)
        aside = off[:2] - (off[:2] @ direction) * direction
        left = min(_STEP_M, PUSHED_M - state.moved + max(0.0, self._gap(state, direction)) + 0.004)
        return bounded(np.append(left * direction - aside, self.push_m - off[2]), _STEP_M)

    def _is_behind(self, state: ArmState, direction: np.ndarray) -> bool:
        off = state.hand - self.target(state)
        along = float(off[:2] @ direction)
        aside = float(np.linalg.norm(off[:2] - along * direction))
        near = -0.012 < -along - self._contact(direction) < _ROOM_M + 0.012
        return bool(near and aside < _ASIDE_M and off[2] < self.push_m + _LOW_M)

    def _gap(self, state: ArmState, direction: np.ndarray) -> float:
        off = (self.target(state) - state.hand)[:2]
        return float(off @ direction) - self._contact(direction)

    def _behind(self, state: ArmState, direction: np.ndarray) -> np.ndarray:
        """Where the hand goes down [m], shape (3,)."""
        back = (self._contact(direction) + _ROOM_M) * np.append(direction, 0.0)
        return above(self.target(state) - back, self.push_m)

    def _contact(self, direction: np.ndarray) -> float:
        """Distance of the hand and the cube's centre at which they touch [m]."""
        fingers = float(self._half_fingers @ np.abs(direction))
        cube = HALF_CUBE * float(np.abs(direction).sum())
        return fingers + cube

    def _room(self, state: ArmState, direction: np.ndarray) -> float:
        """How much wider than needed the way of hand and cube is [m]; < 0 if it is blocked."""
        start = self._behind(state, direction)[:2]
        stop = self.target(state)[:2] + max(0.0, PUSHED_M - state.moved) * direction
        inside = min((start - self.lowest[:2]).min(), (self.highest[:2] - start).min())
        ends = stop - self._contact(direction) * direction
        inside = min(inside, (ends - self.lowest[:2]).min(), (self.highest[:2] - ends).min())
        rooms = [float(inside)]
        for name, place in state.places.items():
            if name != self.goal.target:
                half = PLATE_RADIUS if name == 'plate' else _HALF_WAY_M
                rooms.append(_distance(place[:2], start, stop) - _HALF_WAY_M - half)
        return min(rooms)

    @cached_property
    def _half_fingers(self) -> np.ndarray:
        """Half sides along x and y [m] of the closed fingers of a hand that points down, (2,)."""
        robot = self.world.embodiment
        assert robot.gripper is not None
        approach = np.asarray(robot.document['simulation']['approach'], dtype=float)
        opening = np.asarray(robot.gripper.fingers[0]['axis'], dtype=float)
        across = np.cross(approach, opening)
        half = np.zeros(2)
        names = [finger['name'] for finger in robot.gripper.fingers]
        for shape in robot.document['geometry']:
            if shape['link'] in names:
                for index, axis in enumerate((across, opening)):
                    place = abs(float(np.dot(shape['center'], axis)))
                    size = 0.5 * float(np.dot(shape['size'], np.abs(axis)))
                    shift = robot.gripper.closed if index == 1 else 0.0
                    half[index] = max(half[index], place + size + shift)
        return half


def _distance(point: np.ndarray, start: np.ndarray, stop: np.ndarray) -> float:
    """Distance [m] of a point from the line between two others, all (2,)."""
    way = stop - start
    share = np.clip((point - start) @ way / (way @ way), 0.0, 1.0)
    return float(np.linalg.norm(point - start - share * way))
