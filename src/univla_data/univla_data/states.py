"""Measured states of a recording, believed by the rules of the live graph."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.jump_watch import JumpWatch
from univla_core.robot_state import RobotState
from univla_core.robot_state import axes_from_joints
from univla_core.robot_state import nearest_state
from univla_core.robot_state import opening_from_joints


class States:
    """Hears joint states or odometry, and tells the state nearest to a time.

    Args:
        embodiment: The robot.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._embodiment = embodiment
        self._jumps = JumpWatch(embodiment.axis_names, embodiment.maker_limits.velocity)
        self._opening: float | None = None
        self._stamps: list[float] = []
        self._states: list[RobotState] = []

    def __bool__(self) -> bool:
        """Whether any state was heard."""
        return bool(self._states)

    def hear(self, msg: Any) -> None:
        """Take in a `JointState`, or the `Odometry` of a base; jumps are not believed.

        Raises:
            ObservationError: If joints are missing or not finite.
        """
        stamp = msg.header.stamp.sec + 1e-9 * msg.header.stamp.nanosec
        if self._embodiment.kind == 'base':
            if msg.__msgtype__ == 'nav_msgs/msg/Odometry':
                twist = msg.twist.twist
                self._add(stamp, np.array([twist.linear.x, twist.angular.z]))
            return
        if msg.__msgtype__ != 'sensor_msgs/msg/JointState':
            return
        positions = dict(zip(msg.name, msg.position.tolist(), strict=False))
        axes = axes_from_joints(positions, self._embodiment)
        opening = opening_from_joints(positions, self._embodiment)
        self._opening = self._opening if opening is None else opening
        if axes is not None and not self._jumps.check(stamp, axes)[0]:
            self._add(stamp, axes)

    def at(
        self, stamps: np.ndarray, max_age_s: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Axes (T, n), openings (T,) and whether a state was near enough (T,) at some times [s].

        Frames without a near state get the nearest one all the same.
        """
        found, near = [], []
        for stamp in stamps:
            index = bisect_left(self._stamps, stamp)
            around = self._states[max(0, index - 1) : index + 1]
            state = nearest_state(around, stamp, np.inf)
            assert state is not None
            found.append(state)
            near.append(abs(state.stamp - stamp) <= max_age_s)
        openings = [np.nan if s.opening is None else s.opening for s in found]
        return np.array([s.axes for s in found]), np.array(openings), np.array(near)

    def _add(self, stamp: float, axes: np.ndarray) -> None:
        if self._stamps and stamp < self._stamps[-1]:
            return  # two computers' messages crossed; the newer one is there
        self._stamps.append(stamp)
        self._states.append(RobotState(stamp, axes, self._opening))
