"""Measured state of a robot as the decoders hear it, live or recorded."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from univla_core.embodiment import Embodiment
from univla_core.errors import ObservationError

#: A state may be so far from the stamp of the pictures that it is told with [s].
MAX_STATE_AGE_S = 0.2


@dataclass(frozen=True)
class RobotState:
    """One measurement.

    Attributes:
        stamp: Time of the measurement, or of its arrival if the driver stamps nothing [s].
        axes: Joint angles [rad], or the base's (linear_x [m/s], angular_z [rad/s]).
        opening: Gripper opening in [0, 1], None if the driver does not tell it here.
        base_pose: x [m], y [m], heading [rad] in `odom` (bases).
    """

    stamp: float
    axes: np.ndarray
    opening: float | None = None
    base_pose: tuple[float, float, float] | None = None


def nearest_state(
    states: Iterable[RobotState], stamp: float, max_age_s: float
) -> RobotState | None:
    """The measured state nearest to a stamp [s], None if none lies within `max_age_s` [s]."""
    near = min(states, key=lambda state: abs(state.stamp - stamp), default=None)
    return near if near is not None and abs(near.stamp - stamp) <= max_age_s else None


def proprioception(state: RobotState) -> np.ndarray:
    """What a decoder head is told of the robot: its axes, and the opening where one is known."""
    opening = [] if state.opening is None else [state.opening]
    return np.concatenate([state.axes, opening])


def state_joint_names(embodiment: Embodiment) -> tuple[str, ...]:
    """What the driver calls the joints; the robot's own names unless the YAML says otherwise."""
    return tuple(embodiment.driver.get('state_joint_names', embodiment.axis_names))


def state_gripper_joint(embodiment: Embodiment) -> str:
    """What the driver calls the joint that tells the opening; empty without a gripper."""
    own = embodiment.gripper.state_joint if embodiment.gripper else ''
    return str(embodiment.driver.get('state_gripper_joint', own))


def axes_from_joints(positions: Mapping[str, float], embodiment: Embodiment) -> np.ndarray | None:
    """Axes (n,) in the robot's own order from the positions of a joint state, by name.

    Drivers may publish arm and gripper in separate messages: one without any of this robot's
    joints gives None.

    Raises:
        ObservationError: If some joints are missing or a position is not finite.
    """
    names = state_joint_names(embodiment)
    missing = [name for name in names if name not in positions]
    if len(missing) == len(names):
        return None
    if missing:
        raise ObservationError(
            f'joint_states lacks {", ".join(missing)}; it holds {", ".join(positions)}. '
            'Is another robot model running?'
        )
    axes = np.array([positions[name] for name in names])
    if not np.isfinite(axes).all():
        bad = names[int(np.argmin(np.isfinite(axes)))]
        raise ObservationError(
            f'joint_states holds a non-finite position for {bad}; look at the driver'
        )
    return axes


def opening_from_joints(positions: Mapping[str, float], embodiment: Embodiment) -> float | None:
    """Gripper opening in [0, 1] that a joint state tells, None if it tells none.

    Raises:
        ObservationError: If it is not finite.
    """
    position = positions.get(state_gripper_joint(embodiment))
    if embodiment.gripper is None or position is None:
        return None
    if not np.isfinite(position):
        raise ObservationError(
            f'joint_states holds a non-finite position for {state_gripper_joint(embodiment)}; '
            'look at the driver'
        )
    return embodiment.gripper.opening(position)
