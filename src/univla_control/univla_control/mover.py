"""Moves the commanded joints, twist and gripper along a plan, within the limits."""

from __future__ import annotations

import numpy as np
from univla_core.embodiment import Embodiment

from univla_control.chunk_plan import ChunkPlan
from univla_control.command import Command
from univla_control.config import ControlConfig
from univla_control.gripper_track import GripperTrack
from univla_control.joint_history import JointHistory
from univla_control.limiter import JointLimiter
from univla_control.limiter import TwistLimiter
from univla_control.limiter import look_ahead
from univla_control.reference import Motion
from univla_control.watch import Fault


class Mover:
    """Holds what was commanded last and spends each tick on the way to what is planned.

    Args:
        embodiment: The robot.
        config: Parameters.
        asked: Takes in the joint angles that the plans ask for.
    """

    def __init__(self, embodiment: Embodiment, config: ControlConfig, asked: JointHistory) -> None:
        self._limits, self._asked = embodiment.limits, asked
        self._arm = embodiment.kind == 'arm'
        ahead = config.look_ahead_s or look_ahead(embodiment.limits)
        self._joints = JointLimiter(embodiment.limits, ahead)
        self._twist = TwistLimiter(embodiment.limits)
        self._following: Motion | None = None
        self.gripper = GripperTrack(embodiment.gripper)

    @property
    def positions(self) -> np.ndarray:
        """Commanded joint angles of an arm (n,) [rad]."""
        return self._joints.positions

    @property
    def at_rest(self) -> bool:
        """Whether the commands stand still."""
        return self._joints.at_rest if self._arm else self._twist.at_rest

    @property
    def limit_use(self) -> float:
        """Largest share of a limit in use."""
        return (self._joints if self._arm else self._twist).use()

    @property
    def braked(self) -> int:
        """Ticks in which an axis braked to stay inside its position limits."""
        return self._joints.braked

    def reset(self) -> None:
        """Forget the motion before; the joints are told with `place`."""
        self._following = None
        self._twist.reset()
        self._asked.reset()

    def place(self, joints: np.ndarray) -> None:
        """Stand at the joint angles (n,) [rad] of an arm."""
        self._joints.reset(joints)

    def stand(self) -> None:
        """Stand still at once, where the commands are."""
        self._joints.reset(self._joints.positions)
        self._twist.reset()

    def move(self, time: float, dt: float, plan: ChunkPlan | None) -> Fault:
        """Go on for `dt` [s] until `time` [s]; without a plan, come to rest.

        Returns:
            Why the plan cannot be fulfilled, an empty fault if it can.
        """
        if plan is None:
            self._following = None
        self.gripper.move(dt, plan.opening(time) if plan else None)
        if not self._arm:
            twist = plan.twist.sample(time) if plan and plan.twist else np.zeros(2)
            self._twist.follow(dt, twist)
        elif plan is None or plan.motion is None:
            self._joints.brake(dt)
        else:
            return self._follow(time, dt, plan, plan.motion)
        return Fault()

    def _follow(self, time: float, dt: float, plan: ChunkPlan, motion: Motion) -> Fault:
        limiter = self._joints
        if not plan.joined:
            state = (limiter.positions, limiter.velocities, limiter.accelerations)
            motion.join(time - dt, state, self._following)
            plan.joined = True
        self._following = motion
        ahead = limiter.look_ahead_s
        reach = 1.5 * (ahead + dt) * self._limits.velocity
        reference = motion.sample(time + ahead, limiter.positions, reach)
        self._asked.add(time + ahead, reference[0])
        limiter.follow(dt, *reference)
        left = motion.unreachable
        if left is None:
            return Fault()
        return Fault(
            'unreachable',
            f'the target pose stays {1e3 * left.distance:.0f} mm and {left.angle:.2f} rad away; '
            'going as near as this posture gets',
        )

    def command(
        self, time: float, source: str, plan: ChunkPlan | None, reanchored: bool = False
    ) -> Command:
        """What the driver is told at `time` [s], on behalf of `source`."""
        arm = self._arm
        limiter = self._joints if arm else self._twist
        twist = self._twist.twist
        return Command(
            time=time,
            positions=self._joints.positions if arm else np.zeros(0),
            velocities=self._joints.velocities if arm else twist.copy(),
            accelerations=limiter.accelerations.copy(),
            gripper_opening=self.gripper.opening,
            twist=None if arm else (float(twist[0]), float(twist[1])),
            source=source,
            limit_use=self.limit_use,
            chunk_sequence=plan.chunk.sequence if plan else 0,
            chunk_step=plan.row(time) if plan else -1,
            reanchored=reanchored,
        )
