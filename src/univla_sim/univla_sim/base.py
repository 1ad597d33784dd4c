"""The simulated differential-drive base: two driven wheels, and odometry from their turning."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ActionError


@dataclass(frozen=True, kw_only=True)
class Odometry:
    """Where the wheels say the base is, in the frame it started in.

    Attributes:
        x: Forward of the start [m].
        y: Left of the start [m].
        theta: Heading [rad], unbounded.
        v: Forward speed [m/s].
        w: Turning rate [rad/s].
    """

    x: float = 0.0
    y: float = 0.0
    theta: float = 0.0
    v: float = 0.0
    w: float = 0.0


class Base:
    """Handles of one base in a compiled model, by name.

    The command passes a ramp with the robot's own acceleration limits, as in its firmware.

    Args:
        model: Model made by `scene_mjcf` or `robot_mjcf`.
        data: Its state.
        embodiment: The robot that the model was made from.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, embodiment: Embodiment) -> None:
        wheels = embodiment.document['wheels']
        self._data = data
        self._limits = embodiment.maker_limits
        self._radius, self._track = float(wheels['radius']), float(wheels['separation'])
        self._qpos = np.array([model.joint(name).qposadr[0] for name in wheels['joints']])
        self._dof = np.array([model.joint(name).dofadr[0] for name in wheels['joints']])
        self._motors = np.array([model.actuator(name).id for name in wheels['joints']])
        self._body = model.body(embodiment.base_frame).id
        self._free = int(model.joint(f'{embodiment.base_frame}_free').qposadr[0])
        self._command, self._twist = np.zeros(2), np.zeros(2)
        self._wheels_before, self._odometry = np.zeros(2), Odometry()

    def reset(self, place: np.ndarray | None = None) -> None:
        """Stand still at the origin of the odometry.

        Args:
            place: Where that is: x, y [m], heading [rad] in the world; None for its origin.
        """
        if place is not None:
            x, y, heading = place
            self._data.qpos[self._free : self._free + 2] = (x, y)
            turn = (np.cos(0.5 * heading), 0.0, 0.0, np.sin(0.5 * heading))
            self._data.qpos[self._free + 3 : self._free + 7] = turn
        self._command, self._twist = np.zeros(2), np.zeros(2)
        self._wheels_before, self._odometry = self.wheel_positions, Odometry()

    def set_twist(self, v: float, w: float) -> None:
        """Command forward speed [m/s] and turning rate [rad/s], clipped to the maker's limits.

        Raises:
            ActionError: If one is not finite; the last command stays.
        """
        command = np.array([v, w], dtype=float)
        if not np.isfinite(command).all():
            raise ActionError(f'twist ({v}, {w}) is not finite; nothing was sent')
        self._command = np.clip(command, -self._limits.velocity, self._limits.velocity)

    def advance(self, duration_s: float) -> None:
        """Ramp the wheel speeds towards the command, before the physics of `duration_s`."""
        step = self._limits.acceleration * duration_s
        self._twist += np.clip(self._command - self._twist, -step, step)
        v, w = self._twist
        turn = 0.5 * self._track * w
        self._data.ctrl[self._motors] = np.array([v - turn, v + turn]) / self._radius

    def measure(self) -> None:
        """Add the wheels' turning since the last call to the odometry."""
        now = self.wheel_positions
        left, right = self._radius * (now - self._wheels_before)
        self._wheels_before = now
        distance, turn = 0.5 * (left + right), (right - left) / self._track
        heading = self._odometry.theta + 0.5 * turn
        v_left, v_right = self._radius * self.wheel_velocities
        self._odometry = Odometry(
            x=self._odometry.x + distance * float(np.cos(heading)),
            y=self._odometry.y + distance * float(np.sin(heading)),
            theta=self._odometry.theta + turn,
            v=0.5 * (v_left + v_right),
            w=(v_right - v_left) / self._track,
        )

    @property
    def odometry(self) -> Odometry:
        """What the wheels measured at the end of the last step."""
        return self._odometry

    @property
    def wheel_positions(self) -> np.ndarray:
        """Wheel angles left, right [rad], unbounded, shape (2,)."""
        return self._data.qpos[self._qpos].copy()

    @property
    def wheel_velocities(self) -> np.ndarray:
        """Wheel speeds left, right [rad/s], shape (2,)."""
        return self._data.qvel[self._dof].copy()

    @property
    def true_pose(self) -> np.ndarray:
        """Where the base really is in the world: x, y [m], heading [rad], shape (3,)."""
        rotation = self._data.xmat[self._body].reshape(3, 3)
        x, y, _ = self._data.xpos[self._body]
        return np.array([x, y, np.arctan2(rotation[1, 0], rotation[0, 0])])
