"""From the joints of a leader arm to the joints of the robot that follows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError


@dataclass(frozen=True)
class Led:
    """What one message of the leader asks for.

    Attributes:
        positions: Angle by joint of the robot [rad]; `gripper` is the opening in [0, 1].
        problem: Why the message cannot be used, empty if it can.
    """

    positions: Mapping[str, float]
    problem: str = ''


@dataclass(frozen=True, kw_only=True)
class LeaderJoints:
    """Which joint of the leader leads which joint of the robot, and how.

    A joint of the robot goes to `sign * leader + offset`.

    Attributes:
        sources: Joint of the leader by joint of the robot.
        signs: 1 or -1 by joint of the robot.
        offsets: Offset by joint of the robot [rad].
        gripper: Joint of the leader that leads the gripper, empty without one.
        closed: Its position with the gripper closed [rad or m].
        open: Its position with the gripper open [rad or m].
    """

    sources: Mapping[str, str]
    signs: Mapping[str, float]
    offsets: Mapping[str, float]
    gripper: str = ''
    closed: float = 0.0
    open: float = 1.0

    def read(self, positions: Mapping[str, float]) -> Led:
        """Positions of the robot for positions of the leader by joint name."""
        needed = [*self.sources.values(), *([self.gripper] if self.gripper else [])]
        missing = [name for name in needed if name not in positions]
        if missing:
            return Led(
                {},
                f'the leader does not tell {", ".join(missing)}; it tells '
                f'{", ".join(positions) or "nothing"}. Set leader_joints or gripper_joint',
            )
        broken = [name for name in needed if not math.isfinite(positions[name])]
        if broken:
            return Led(
                {}, f'{", ".join(broken)} of the leader is not finite; look at its encoders'
            )
        led = {
            name: self.signs[name] * positions[source] + self.offsets[name]
            for name, source in self.sources.items()
        }
        if self.gripper:
            share = (positions[self.gripper] - self.closed) / (self.open - self.closed)
            led['gripper'] = min(max(share, 0.0), 1.0)
        return Led(led)


def leader_joints(
    embodiment: Embodiment,
    *,
    names: Sequence[str],
    signs: Sequence[float],
    offsets: Sequence[float],
    gripper: str,
    gripper_range: Sequence[float],
) -> LeaderJoints:
    """Check what the parameters of `leader_arm` say against a robot.

    Args:
        embodiment: The robot that follows.
        names: Joints of the leader in the order of the robot's; empty takes the same names.
        signs: 1 or -1 each, in the same order; empty takes 1.
        offsets: Offset of each [rad]; empty takes 0.
        gripper: Joint that leads the gripper; empty without one.
        gripper_range: Its position closed and open.

    Raises:
        ConfigError: If they do not fit the robot.
    """
    axes = embodiment.axis_names
    if embodiment.kind != 'arm':
        raise ConfigError(f'{embodiment.name} is a base and has no joints to lead; use a gamepad')
    for key, values in (('leader_joints', names), ('signs', signs), ('offsets', offsets)):
        if len(values) not in (0, len(axes)):
            raise ConfigError(
                f'{key} has {len(values)} entries; {embodiment.name} has {len(axes)} joints: '
                f'{", ".join(axes)}'
            )
    if any(sign not in (1.0, -1.0) for sign in signs):
        raise ConfigError(f'signs are {list(signs)}; each must be 1.0 or -1.0')
    if not all(math.isfinite(value) for value in (*offsets, *gripper_range)):
        raise ConfigError('offsets and gripper_range must be finite')
    if len(set(names)) != len(names):
        raise ConfigError(f'leader_joints names a joint twice: {", ".join(names)}')
    if gripper and embodiment.gripper is None:
        raise ConfigError(f'{embodiment.name} has no gripper; leave gripper_joint empty')
    if gripper and (len(gripper_range) != 2 or gripper_range[0] == gripper_range[1]):
        raise ConfigError('gripper_range must be two different positions: closed, open')
    return LeaderJoints(
        sources=dict(zip(axes, names or axes, strict=True)),
        signs=dict(zip(axes, signs or [1.0] * len(axes), strict=True)),
        offsets=dict(zip(axes, offsets or [0.0] * len(axes), strict=True)),
        gripper=gripper,
        closed=gripper_range[0] if gripper else 0.0,
        open=gripper_range[1] if gripper else 1.0,
    )
