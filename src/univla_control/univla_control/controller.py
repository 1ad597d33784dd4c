"""Executes the action chunks of one robot, one command per control period."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.action_space import action_space
from univla_core.embodiment import Embodiment

from univla_control.chunk_intake import Refusal
from univla_control.chunk_intake import refuse_content
from univla_control.chunk_intake import refuse_order
from univla_control.chunk_intake import refuse_timing
from univla_control.chunk_plan import ChunkPlan
from univla_control.command import Command
from univla_control.command import ControllerStatus
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.gripper_track import GripperTrack
from univla_control.joint_history import JointHistory
from univla_control.limiter import JointLimiter
from univla_control.limiter import TwistLimiter
from univla_control.limiter import look_ahead
from univla_control.reference import Motion

_NAN = float('nan')


class ChunkController:
    """Turns action chunks into commands that respect every limit of one robot.

    Pure and single-threaded: the owner passes the time [s] with every call and calls `step` once
    per control period. Nothing here raises on bad input; it is dropped, counted and named.

    Args:
        embodiment: The robot.
        config: Parameters.
    """

    def __init__(self, embodiment: Embodiment, config: ControlConfig) -> None:
        self._embodiment, self._config = embodiment, config
        self._period = 1.0 / config.control_rate_hz
        self._arm = embodiment.kind == 'arm'
        self._joints = JointLimiter(
            embodiment.limits, config.look_ahead_s or look_ahead(embodiment.limits)
        )
        self._twist = TwistLimiter(embodiment.limits)
        self._gripper = GripperTrack(embodiment.gripper)
        self._measured = JointHistory(config.history_s)
        self._references = JointHistory(config.history_s)
        self._joint_time: float | None = None
        self._newest_joints: np.ndarray | None = None
        self._mode = Mode.IDLE
        self._instruction: str | None = None
        self._plan: ChunkPlan | None = None
        self._following: Motion | None = None
        self._anchored = False
        self._last_time: float | None = None
        self._quiet_since = 0.0
        self._apart_since: float | None = None
        self._source, self._fault, self._reason = 'none', '', ''
        self._clock_jumped = False
        self._chain_latency = self._interval = _NAN
        self._sent = self._received = self._jumps = self._reanchored = 0
        self._dropped: Counter[str] = Counter()

    # --- inputs -----------------------------------------------------------------------------

    def on_joint_state(
        self, time: float, positions: np.ndarray, gripper_opening: float | None = None
    ) -> str | None:
        """Take in measured joints.

        Args:
            time: Stamp of the joint state [s].
            positions: Joint angles (n,) [rad]; a base may pass anything, it only shows life.
            gripper_opening: Measured opening in [0, 1].

        Returns:
            Why it was ignored, or None.
        """
        positions = np.array(positions, dtype=float)
        if self._arm and positions.shape != (self._embodiment.axis_count,):
            return f'joint state has {positions.shape} angles, not {self._embodiment.axis_count}'
        if not (np.isfinite(positions).all() and math.isfinite(time)):
            return 'joint state holds NaN or infinity'
        if self._joint_time is not None and time <= self._joint_time:
            if time > self._joint_time - 0.5:
                return 'joint state is older than the one before'
            self._on_clock_jump(time)
            self._last_time = None
        self._joint_time, self._newest_joints = time, positions
        self._clock_jumped = False
        self._measured.add(time, positions)
        self._gripper.measure(gripper_opening)
        return None

    def on_chunk(self, chunk: ActionChunk, time: float) -> str | None:
        """Take in a chunk that arrived at `time`.

        Returns:
            Why it was dropped (`reason: text`, counted by reason), or None when it is adopted.
        """
        self._received += 1
        refusal = self._refusal(chunk, time)
        if refusal is not None:
            self._dropped[refusal.reason] += 1
            return str(refusal)
        return None

    def _refusal(self, chunk: ActionChunk, time: float) -> Refusal | None:
        """Adopt the chunk, or say why not."""
        present = self._plan.chunk if self._plan else None
        refusal = (
            self._refuse_now(chunk)
            or refuse_content(chunk, self._embodiment, self._config)
            or refuse_timing(chunk, time, self._config)
            or refuse_order(chunk, present)
        )
        if refusal is not None:
            return refusal
        origin = self._origin(chunk)
        if origin is None:
            return Refusal('before_history', f'no joint state at {chunk.stamp:.3f} s is kept')
        self._plan = ChunkPlan(chunk, self._embodiment, self._config, origin, time)
        self._quiet_since, self._chain_latency = time, _NAN
        return None

    def _refuse_now(self, chunk: ActionChunk) -> Refusal | None:
        if self._mode is not Mode.POLICY:
            return Refusal('mode', f'the controller is in {self._mode.name}, not POLICY')
        if self._joint_time is None:
            return Refusal('no_joint_state', 'no joint state has been received')
        if self._instruction is not None and chunk.instruction != self._instruction:
            return Refusal(
                'old_instruction',
                f'it was planned for {chunk.instruction!r}, now it is {self._instruction!r}',
            )
        return None

    def _origin(self, chunk: ActionChunk) -> np.ndarray | None:
        """Joint angles that increments start from (n,) [rad].

        An arm follows its commands with a lag. Started from the measured pose, every chunk would
        pull it back by that lag: it would creep and sway. So increments start from what was asked
        for at that time, yet no further from the measured joints than a lag explains: an arm that
        is blocked must not wind up.
        """
        assert self._newest_joints is not None
        if not self._arm:
            return self._newest_joints
        measured = self._measured.at(chunk.stamp)
        if measured is None:
            relative = action_space(chunk.action_space).relative
            return None if relative else self._newest_joints
        reference = self._references.at(chunk.stamp)
        if reference is None:
            return measured
        bound = self._config.delta_lag_rad
        return measured + np.clip(reference - measured, -bound, bound)

    def set_instruction(self, instruction: str, time: float) -> None:
        """Change the task in words; chunks planned for another one are dropped from now on."""
        self._instruction = instruction
        if self._plan is not None and self._plan.chunk.instruction != instruction:
            self._plan = None
            self._quiet_since = time

    # --- mode -------------------------------------------------------------------------------

    def activate(self, time: float, mode: Mode = Mode.POLICY) -> None:
        """Begin to command; the first command is the robot's own pose at rest."""
        self._anchored, self._following = False, None
        self._last_time = None
        self._twist.reset()
        self._references.reset()
        self._sent = self._received = self._reanchored = 0
        self._dropped.clear()
        self.set_mode(mode, time)

    def deactivate(self, time: float) -> Command | None:
        """Fall silent. Returns the safe command to be said last: stay here, zero twist.

        A moving robot is stopped within its limits only if the owner first sets mode HOLD and
        keeps stepping until `at_rest`.
        """
        last = None
        if self._anchored and self._mode is not Mode.IDLE:
            self._joints.reset(self._joints.positions)
            self._twist.reset()
            self._source = 'hold'
            last = self._command(time, None)
        self.set_mode(Mode.IDLE, time)
        self._anchored = False
        return last

    def set_mode(self, mode: Mode, time: float) -> None:
        """Ask for IDLE (no commands at all), POLICY or HOLD."""
        if mode is Mode.IDLE:
            self._source, self._anchored = 'none', False
        if mode is not Mode.POLICY:
            self._plan = None
        elif self._mode is not Mode.POLICY:
            self._quiet_since = time
        self._mode = mode

    @property
    def mode(self) -> Mode:
        """What the operator asked for."""
        return self._mode

    @property
    def at_rest(self) -> bool:
        """Whether the commands stand still."""
        return self._joints.at_rest if self._arm else self._twist.at_rest

    # --- one tick ---------------------------------------------------------------------------

    def step(self, time: float) -> Command | None:
        """The command of this period, or None while idle or before a fresh joint state."""
        elapsed = self._elapsed(time)
        self._fault, self._reason = '', ''
        if self._mode is Mode.IDLE:
            return None
        was_anchored = self._anchored
        reanchored = self._anchor(time)
        if not self._anchored:
            self._find_fault(time)
            return None
        plan = self._executable(time) if was_anchored else None
        self._source = 'policy' if plan else 'hold'
        if elapsed > 0.0:
            self._move(time, self._tick_length(elapsed), plan)
        command = self._command(time, plan, reanchored)
        self._sent += 1
        return command

    def _tick_length(self, elapsed: float) -> float:
        """How far the motion goes on in this tick [s].

        The driver gives every command one period, however late the timer was. Commands are
        therefore whole periods apart, and their differences are the velocities that are meant.
        Only a tick that follows at once, of a timer that catches up, moves less.
        """
        return self._period if elapsed > 0.25 * self._period else elapsed

    def _elapsed(self, time: float) -> float:
        """Time since the last tick [s]; one period if there was none or the clock jumped."""
        last, self._last_time = self._last_time, time
        if last is None:
            return self._period
        elapsed = time - last
        if elapsed < 0.0:
            self._on_clock_jump(time)
            return self._period
        if elapsed > 0.0:
            old = self._interval
            self._interval = elapsed if math.isnan(old) else old + 0.05 * (elapsed - old)
        return elapsed

    def _on_clock_jump(self, time: float) -> None:
        """Nothing stamped before a backward jump can be placed in time any more."""
        self._jumps += 1
        self._clock_jumped = True
        self._measured.reset()
        self._references.reset()
        self._joint_time, self._plan, self._apart_since = None, None, None
        self._last_time = self._quiet_since = time

    def _anchor(self, time: float) -> bool:
        """Start from the measured joints; again if the arm is found elsewhere at rest."""
        if not self._anchored and self._joint_age(time) <= self._config.joint_state_timeout_s:
            if self._arm:
                assert self._newest_joints is not None
                self._joints.reset(self._newest_joints)
            self._gripper.reset()
            self._anchored, self._last_time = True, time
            return False
        return self._anchored and self._arm and self._found_elsewhere(time)

    def _found_elsewhere(self, time: float) -> bool:
        """Whether command and joints stayed apart at rest; the command then moves there."""
        fresh = self._joint_age(time) <= self._config.joint_state_timeout_s
        if not (fresh and self._source == 'hold' and self._joints.at_rest):
            self._apart_since = None
            return False
        assert self._newest_joints is not None
        error = float(np.abs(self._joints.positions - self._newest_joints).max())
        if error <= self._config.reanchor_error_rad:
            self._apart_since = None
            return False
        self._apart_since = time if self._apart_since is None else self._apart_since
        if time - self._apart_since < self._config.reanchor_after_s:
            return False
        self._joints.reset(self._newest_joints)
        self._apart_since = None
        self._reanchored += 1
        return True

    def _executable(self, time: float) -> ChunkPlan | None:
        """The plan to execute in this tick, None to hold; names the fault, if any."""
        self._find_fault(time)
        plan = self._plan if self._mode is Mode.POLICY and not self._fault else None
        if self._plan is not None and plan is None:
            self._plan.joined = False
        return plan

    def _find_fault(self, time: float) -> None:
        config = self._config
        age = self._joint_age(time)
        if self._clock_jumped:
            self._fault = 'clock_jump'
            self._reason = 'time ran backwards; holding until a joint state with new time arrives'
        elif not age <= config.joint_state_timeout_s:
            self._fault = 'stale_joint_state'
            self._reason = (
                'no joint state has been received; start the driver'
                if math.isinf(age)
                else f'the joint state is {age:.2f} s old; check the driver and the clocks'
            )
        elif self._mode is Mode.POLICY and self._silent(time):
            self._fault = 'no_chunk'
            self._reason = (
                f'no usable chunk for more than {config.chunk_timeout_s} s; '
                'check policy and decoder'
            )

    def _silent(self, time: float) -> bool:
        used_up = self._plan is None or time > self._plan.chunk.end
        return used_up and time - self._quiet_since > self._config.chunk_timeout_s

    def _joint_age(self, time: float) -> float:
        return math.inf if self._joint_time is None else time - self._joint_time

    def _move(self, time: float, dt: float, plan: ChunkPlan | None) -> None:
        if plan is not None and math.isnan(self._chain_latency):
            self._chain_latency = time - plan.chunk.stamp
        if plan is None:
            self._following = None
        self._gripper.move(dt, plan.opening(time) if plan else None)
        if not self._arm:
            twist = plan.twist.sample(time) if plan and plan.twist else np.zeros(2)
            self._twist.follow(dt, twist)
        elif plan is None or plan.motion is None:
            self._joints.brake(dt)
        else:
            self._follow(time, dt, plan)

    def _follow(self, time: float, dt: float, plan: ChunkPlan) -> None:
        limiter, motion = self._joints, plan.motion
        assert motion is not None
        if not plan.joined:
            state = (limiter.positions, limiter.velocities, limiter.accelerations)
            motion.join(time - dt, state, self._following)
            plan.joined = True
        self._following = motion
        ahead = limiter.look_ahead_s
        reach = 1.5 * (ahead + dt) * self._embodiment.limits.velocity
        reference = motion.sample(time + ahead, limiter.positions, reach)
        self._references.add(time + ahead, reference[0])
        limiter.follow(dt, *reference)
        if motion.unreachable is not None:
            self._fault = 'unreachable'
            self._reason = (
                f'the target pose stays {1e3 * motion.unreachable.distance:.0f} mm and '
                f'{motion.unreachable.angle:.2f} rad away; going as near as this posture gets'
            )

    def _command(self, time: float, plan: ChunkPlan | None, reanchored: bool = False) -> Command:
        arm = self._arm
        limiter = self._joints if arm else self._twist
        twist = self._twist.twist
        return Command(
            time=time,
            positions=self._joints.positions if arm else np.zeros(0),
            velocities=self._joints.velocities if arm else twist.copy(),
            accelerations=limiter.accelerations.copy(),
            gripper_opening=self._gripper.opening,
            twist=None if arm else (float(twist[0]), float(twist[1])),
            source=self._source,
            limit_use=limiter.use(),
            chunk_sequence=plan.chunk.sequence if plan else 0,
            chunk_step=plan.row(time) if plan else -1,
            reanchored=reanchored,
        )

    # --- report -----------------------------------------------------------------------------

    def status(self, time: float | None = None) -> ControllerStatus:
        """How the controller is doing, with ages at `time` (default: of the last tick)."""
        now = (
            time if time is not None else (self._last_time if self._last_time is not None else 0.0)
        )
        plan = self._plan if self._source == 'policy' else None
        chunk = plan.chunk if plan else None
        return ControllerStatus(
            mode=self._mode,
            source=self._source,
            fault=self._fault,
            fault_reason=self._reason,
            robot=self._embodiment.name,
            instruction=chunk.instruction if chunk else '',
            chunk_sequence=chunk.sequence if chunk else 0,
            latent_sequence=chunk.latent_sequence if chunk else 0,
            chunk_step=plan.row(now) if plan else -1,
            observation_age=now - chunk.stamp if chunk else _NAN,
            chunk_age=now - plan.received if plan else _NAN,
            joint_state_age=_NAN if self._joint_time is None else now - self._joint_time,
            plan_latency=chunk.plan_stop - chunk.plan_start if chunk else _NAN,
            decode_latency=chunk.decode_stop - chunk.plan_stop if chunk else _NAN,
            chain_latency=self._chain_latency,
            control_rate=1.0 / self._interval if self._interval > 0.0 else _NAN,
            limit_use=(self._joints if self._arm else self._twist).use(),
            commands_sent=self._sent,
            chunks_received=self._received,
            chunks_dropped=sum(self._dropped.values()),
            dropped=dict(self._dropped),
            clock_jumps=self._jumps,
            reanchored=self._reanchored,
            braked=self._joints.braked,
        )
