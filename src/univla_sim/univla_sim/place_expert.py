"""Expert of an arm: put a cube on the plate."""

from __future__ import annotations

import numpy as np

from univla_sim.approach import above
from univla_sim.approach import slowing
from univla_sim.arm_expert import CLOSED
from univla_sim.arm_expert import HALF_CUBE
from univla_sim.arm_expert import OPEN
from univla_sim.arm_expert import ArmState
from univla_sim.arm_expert import PickExpert
from univla_sim.scene import PLATE_HEIGHT

# How near the plate's centre a cube is let go, and how far above where it will lie [m].
_NEAR_M, _ABOVE_M = 0.04, 0.007
# How far above its place a cube is carried to [m]; less than `_ABOVE_M`.
_LOWERED_M = 0.003


class PlaceExpert(PickExpert):
    """Picks the cube up, carries it over the plate, lowers it, opens, and goes up again."""

    def act(self, state: ArmState) -> np.ndarray:
        """Leave a cube that lies well; else bring the one in hand; else grasp it."""
        if self._lies(state):
            return self._leave(state)
        return super().act(state)

    def carry(self, state: ArmState) -> np.ndarray:
        """Over the plate and down."""
        goal = self._place(state) + state.measured - self.target(state)
        return self.row(state, self.travel(state, goal), CLOSED)

    def _leave(self, state: ArmState) -> np.ndarray:
        """Open; up once no finger touches the cube."""
        way = np.zeros(3)
        if not state.touched:
            way = slowing(np.array([0.0, 0.0, self._cruise_z - state.hand[2]]))
        return self.row(state, way, OPEN)

    def _lies(self, state: ArmState) -> bool:
        off = self.target(state) - self._place(state)
        low = off[2] < _ABOVE_M - _LOWERED_M
        return bool(low and np.linalg.norm(off[:2]) < _NEAR_M)

    def _place(self, state: ArmState) -> np.ndarray:
        """Where the cube's centre is brought to, just above the plate [m], shape (3,)."""
        return above(state.places['plate'], 0.5 * PLATE_HEIGHT + HALF_CUBE + _LOWERED_M)
