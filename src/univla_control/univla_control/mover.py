"""Moves the commanded joints, twist and gripper along a plan, within the limits."""

from __future__ import annotations

import numpy as np
from univla_core.embodiment import AxisLimits
from univla_core.embodiment import Embodiment
from univla_core.fault import Fault

from univla_control.chunk_plan import ChunkPlan
from univla_control.command import Command
from univla_control.config import ControlConfig
from univla_control.envelope import Envelope
from univla_control.gripper_track import GripperTrack
from univla_control.joint_history import JointHistory
from univla_control.limiter import JointLimiter
from univla_control.limiter import TwistLimiter
from univla_control.limiter import look_ahead
from univla_control.reference import Motion
from univla_control.teleop import Ask
from univla_control.teleop import TwistAsk
from univla_control.teleop_motion import TeleopMotion


class Mover:
    """Holds what was commanded last and spends each tick on the way to what is asked for.

    Args:
        embodiment: The robot.
        config: Parameters.
        asked: Takes in the joint angles that are asked for.
        limits: Limits to begin with.
        envelope: Bounds in space of an arm, None for none.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        config: ControlConfig,
        asked: JointHistory,
        limits: AxisLimits,
        envelope: Envelope | None = None,
    ) -> None:
        self._limits, self._asked = limits, asked
        self._arm = embodiment.kind == 'arm'
        ahead = config.look_ahead_s or look_ahead(limits)
        self._joints = JointLimiter(limits, ahead, envelope, embodiment.axis_names)
        self._twist = TwistLimiter(limits, embodiment.axis_names)
        self._following: Motion | None = None
        self._teleop = TeleopMotion(embodiment, config) if self._arm else None
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
    def largest_use(self) -> tuple[float, str]:
        """Largest share of a limit in use, and which."""
        return (self._joints if self._arm else self._twist).largest_use()

    @property
    def held_back(self) -> str:
        """Bound that held the last command back, empty if none did."""
        return self._joints.held_back if self._arm else ''

    @property
    def braked(self) -> int:
        """Ticks in which an axis braked to stay inside its position limits."""
        return self._joints.braked

    def set_limits(self, limits: AxisLimits) -> None:
        """Other limits; tighter ones are in force once the motion is slow enough for them."""
        self._limits = limits
        (self._joints if self._arm else self._twist).set_limits(limits)

    def reset(self) -> None:
        """Forget the motion before; the joints are told with `place`."""
        self._leave()
        self._twist.reset()
        self._asked.reset()

    def place(self, joints: np.ndarray) -> None:
        """Stand at the joint angles (n,) [rad] of an arm."""
        self._joints.reset(joints)
        self._leave()

    def stand(self) -> None:
        """Stand still at once, where the commands are."""
        self._joints.reset(self._joints.positions)
        self._twist.reset()
        self._leave()

    def _leave(self) -> None:
        self._following = None
        if self._teleop is not None:
            self._teleop.reset()

    # --- what a tick is spent on ------------------------------------------------------------

    def hold(self, time: float, dt: float, joints: np.ndarray | None = None) -> None:
        """Spend `dt` [s] on coming to rest, or on going to rest at joint angles (n,) [rad]."""
        self._leave()
        self.gripper.move(dt, None)
        if not self._arm:
            self._twist.follow(dt, np.zeros(2))
            return
        if joints is not None:
            joints = np.clip(joints, self._limits.lower, self._limits.upper)
        if joints is None or self._arrived(joints):
            self._joints.brake(dt)
        else:
            still = np.zeros_like(joints)
            self._joints.follow(dt, joints, still, still)
        self._asked.add(time + self._joints.look_ahead_s, self._joints.positions)

    def _arrived(self, joints: np.ndarray) -> bool:
        limiter = self._joints
        near = np.abs(joints - limiter.positions) < 1e-3
        return bool(near.all() and (np.abs(limiter.velocities) < 1e-2).all())

    def teleoperate(self, time: float, dt: float, ask: Ask, opening: float | None) -> None:
        """Spend `dt` [s] until `time` [s] on what a person asks for."""
        self._following = None
        self.gripper.move(dt, opening)
        if self._teleop is None:
            twist = ask.twist if isinstance(ask, TwistAsk) else np.zeros(2)
            self._twist.follow(dt, twist)
            return
        reference = self._teleop.follow(time, dt, ask, self._joints, self._limits)
        self._asked.add(time + self._joints.look_ahead_s, reference[0])
        self._joints.follow(dt, *reference)

    def execute(self, time: float, dt: float, plan: ChunkPlan) -> Fault:
        """Spend `dt` [s] until `time` [s] on a plan.

        Returns:
            Why the plan cannot be fulfilled, an empty fault if it can.
        """
        if self._teleop is not None:
            self._teleop.reset()
        self.gripper.move(dt, plan.opening(time))
        if plan.motion is not None:
            return self._follow(time, dt, plan, plan.motion)
        if plan.twist is not None:
            self._twist.follow(dt, plan.twist.sample(time))
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

    def command(self, time: float, source: str, plan: ChunkPlan | None) -> Command:
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
            limit_use=self.largest_use[0],
            chunk_sequence=plan.chunk.sequence if plan else 0,
            chunk_step=plan.row(time) if plan else -1,
            held_back=self.held_back,
        )
