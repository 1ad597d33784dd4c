"""Expert of a base: drive to a pillar, by what its on-board camera could tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univla_sim.expert import Expert
from univla_sim.tasks import DRIVE_RADIUS
from univla_sim.world import World

#: Fastest forward speed [m/s] and turn [rad/s]; both below the operating limits.
SPEED_MPS, TURN_RADPS = 0.22, 0.7
# The base stops this much nearer than it must [m].
_INSIDE_M = 0.03
# Distance kept from the axes of other pillars [m]; nearer than DRIVE_RADIUS counts as visited.
_CLEAR_M = 0.34
# Another pillar nearer than this is driven around [m].
_NEAR_M = 0.75
# Share of the half view in which a pillar counts as seen.
_SEEN_SHARE = 0.9
_GAIN = 2.0
# Bearing at which the base no longer drives while it turns [rad].
_ASKEW_RAD = 0.5
_KICK_CLEAR_M = 0.45


@dataclass(frozen=True)
class BaseState:
    """Where everything is.

    Attributes:
        place: x, y of the base [m], shape (2,).
        heading: Its heading [rad].
        pillars: x, y of each pillar [m].
    """

    place: np.ndarray
    heading: float
    pillars: dict[str, np.ndarray]


class DriveExpert(Expert):
    """Rows of `base_twist`. Out of view of the pillar it turns left; else it drives there.

    Other pillars are passed with the pillar at the left, so that a left turn afterwards finds
    the way again. Everything is decided from the true state, but so that a picture shows it.
    """

    action_space = 'base_twist'

    def __init__(
        self, world: World, instruction: str, rng: np.random.Generator, kicks: bool = False
    ) -> None:
        super().__init__(world, instruction, rng, kicks)
        robot = world.embodiment
        self._fastest = np.minimum(robot.limits.velocity, (SPEED_MPS, TURN_RADPS))
        camera = next(iter(robot.cameras.values()))
        half = np.tan(0.5 * np.radians(float(camera.simulation['fovy'])))
        self._half_view = _SEEN_SHARE * float(np.arctan(half * camera.width / camera.height))
        self._camera_m = float(camera.simulation['position'][0])

    def look(self) -> BaseState:
        """Base and pillars."""
        x, y, heading = self.world.base_pose
        poses = self.world.objects().items()
        return BaseState(
            np.array([x, y]),
            float(heading),
            {name: T_world_object[:2, 3] for name, T_world_object in poses},
        )

    def predict(self, state: BaseState, row: np.ndarray) -> BaseState:
        """A step along an arc."""
        v, w = row * self.step_s
        middle = state.heading + 0.5 * w
        place = state.place + v * np.array([np.cos(middle), np.sin(middle)])
        return BaseState(place, state.heading + w, state.pillars)

    def act(self, state: BaseState) -> np.ndarray:
        """The twist of the next step."""
        target = state.pillars[self.goal.target]
        left = float(np.linalg.norm(target - state.place)) - DRIVE_RADIUS + _INSIDE_M
        if left <= 0.005:
            return np.zeros(2)
        obstacle = self._obstacle(state, target)
        if obstacle is None:
            if not self._sees(state, target):
                return np.array([0.0, self._fastest[1]])
            return self._steer(_bearing(state, target), left)
        if self._sees(state, target) or self._sees(state, obstacle):
            return self._steer(self._around(state, obstacle), np.inf)
        if self._passes(state, obstacle):
            return np.array([self._fastest[0], 0.0])
        return np.array([0.0, self._fastest[1]])

    def _steer(self, bearing: float, left: float) -> np.ndarray:
        """Turn to a bearing [rad], and drive where it lies ahead; `left` [m] is still to go."""
        v, w = self._fastest
        ahead = max(0.0, 1.0 - abs(bearing) / _ASKEW_RAD)
        speed = min(v * ahead, left / self.step_s)
        return np.array([speed, np.clip(_GAIN * bearing, -w, w)])

    def _obstacle(self, state: BaseState, target: np.ndarray) -> np.ndarray | None:
        """The nearest other pillar that is in the way and near, None without."""
        way = target - state.place
        length = float(np.linalg.norm(way))
        found, nearest = None, _NEAR_M
        for name, pillar in state.pillars.items():
            off = pillar - state.place
            along = float(off @ way) / length
            aside = float(np.linalg.norm(off - along * way / length))
            distance = float(np.linalg.norm(off))
            blocks = 0.0 < along < length - DRIVE_RADIUS and aside < _CLEAR_M - 0.02
            if name != self.goal.target and blocks and distance < nearest:
                found, nearest = pillar, distance
        return found

    def _around(self, state: BaseState, obstacle: np.ndarray) -> float:
        """Bearing [rad] that passes an obstacle on its right side."""
        distance = float(np.linalg.norm(obstacle - state.place))
        return _bearing(state, obstacle) - float(np.arcsin(min(1.0, _CLEAR_M / distance)))

    def _passes(self, state: BaseState, obstacle: np.ndarray) -> bool:
        """Whether the obstacle is at the left, and driving on passes it."""
        bearing = _bearing(state, obstacle)
        distance = float(np.linalg.norm(obstacle - state.place))
        return 0.0 < bearing < 2.2 and distance * np.sin(bearing) > _CLEAR_M - 0.05

    def _sees(self, state: BaseState, pillar: np.ndarray) -> bool:
        ahead = self._camera_m * np.array([np.cos(state.heading), np.sin(state.heading)])
        camera = BaseState(state.place + ahead, state.heading, state.pillars)
        return abs(_bearing(camera, pillar)) < self._half_view

    def propose_kick(
        self, state: BaseState, rng: np.random.Generator, count: int
    ) -> np.ndarray | None:
        """A random twist that brings the base near no other pillar."""
        v, w = self._fastest
        row = np.array([rng.uniform(-0.5 * v, v), rng.uniform(-w, w)])
        for _ in range(count):
            state = self.predict(state, row)
            for name, pillar in state.pillars.items():
                gap = float(np.linalg.norm(pillar - state.place))
                if name != self.goal.target and gap < _KICK_CLEAR_M:
                    return None
        return row

    def kick_row(self, state: BaseState, row: np.ndarray, kick: np.ndarray) -> np.ndarray:
        """The kick's twist."""
        return kick

    def is_rest(self, row: np.ndarray) -> bool:
        """Whether the base stands still."""
        return bool(np.abs(row).max() < 1e-3)


def _bearing(state: BaseState, point: np.ndarray) -> float:
    """Direction of a point seen from the base [rad], positive to the left."""
    x, y = point - state.place
    return float((np.arctan2(y, x) - state.heading + np.pi) % (2.0 * np.pi) - np.pi)
