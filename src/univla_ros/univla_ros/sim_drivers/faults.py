"""What a simulated robot can do wrong on demand, so that everything behind it can be tried.

`std_msgs/String` on `sim/fault` names one of these; an empty name makes the robot whole again.
"""

from __future__ import annotations

from univla_core.errors import ConfigError

#: Fault of a camera, and what its viewers get.
CAMERA_FAULTS = {
    'camera_stall': 'no picture at all',
    'camera_freeze': 'the last picture again and again, with new stamps',
    'camera_black': 'the noise of a covered lens',
}
#: Fault of the measured state, and what its readers get.
STATE_FAULTS = {
    'joint_stall': 'no state at all',
    'joint_order': 'positions under the names of the neighbouring joints',
    'joint_nan': 'not a number in place of every measurement',
}
SIM_FAULTS = {**CAMERA_FAULTS, **STATE_FAULTS}


def check_fault(name: str) -> str:
    """The name of a fault; empty if nothing is wrong.

    Raises:
        ConfigError: If it is unknown.
    """
    name = name.strip()
    if name and name not in SIM_FAULTS:
        raise ConfigError(
            f'unknown fault {name!r} on sim/fault; known are {", ".join(SIM_FAULTS)}, '
            'and an empty one for a healthy robot'
        )
    return name


def misplaced(positions: list[float], count: int) -> list[float]:
    """The first `count` positions moved on by one name, the last one to the front."""
    return [*positions[count - 1 : count], *positions[: count - 1], *positions[count:]]
