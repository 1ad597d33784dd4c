"""Executes the action chunks of one robot, one command per control period."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment

from univla_control.chunk_intake import Refusal
from univla_control.chunk_intake import refuse_content
from univla_control.chunk_intake import refuse_now
from univla_control.chunk_intake import refuse_order
from univla_control.chunk_intake import refuse_timing
from univla_control.chunk_plan import ChunkPlan
from univla_control.command import Command
from univla_control.command import ControllerStatus
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.mover import Mover
from univla_control.origin import Origin
from univla_control.watch import Fault
from univla_control.watch import Watch

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
        self._origin = Origin(config)
        self._mover = Mover(embodiment, config, self._origin.asked)
        self._watch = Watch(embodiment, config, self._forget)
        self._mode = Mode.IDLE
        self._instruction: str | None = None
        self._plan: ChunkPlan | None = None
        self._anchored = False
        self._source, self._fault = 'none', Fault()
        self._chain_latency = _NAN
        self._sent = self._received = self._reanchored = 0
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
        ignored = self._watch.on_joint_state(time, positions)
        if ignored is not None:
            return ignored
        self._origin.measured.add(time, positions)
        self._mover.gripper.measure(gripper_opening)
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
            refuse_now(chunk, self._mode, self._watch.joint_time, self._instruction)
            or refuse_content(chunk, self._embodiment, self._config)
            or refuse_timing(chunk, time, self._config)
            or refuse_order(chunk, present)
        )
        if refusal is not None:
            return refusal
        newest = self._watch.joints
        assert newest is not None
        origin = self._origin.of(chunk, newest) if self._arm else newest
        if origin is None:
            return Refusal('before_history', f'no joint state at {chunk.stamp:.3f} s is kept')
        self._plan = ChunkPlan(chunk, self._embodiment, self._config, origin, time)
        self._watch.hear(time)
        self._chain_latency = _NAN
        return None

    def _forget(self) -> None:
        self._origin.reset()
        self._plan = None

    def set_instruction(self, instruction: str, time: float) -> None:
        """Change the task in words; chunks planned for another one are dropped from now on."""
        self._instruction = instruction
        if self._plan is not None and self._plan.chunk.instruction != instruction:
            self._plan = None
            self._watch.hear(time)

    # --- mode -------------------------------------------------------------------------------

    def activate(self, time: float, mode: Mode = Mode.POLICY) -> None:
        """Begin to command; the first command is the robot's own pose at rest."""
        self._anchored = False
        self._watch.last_time = None
        self._mover.reset()
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
            self._mover.stand()
            self._source = 'hold'
            last = self._mover.command(time, self._source, None)
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
            self._watch.hear(time)
        self._mode = mode

    @property
    def mode(self) -> Mode:
        """What the operator asked for."""
        return self._mode

    @property
    def at_rest(self) -> bool:
        """Whether the commands stand still."""
        return self._mover.at_rest

    # --- one tick ---------------------------------------------------------------------------

    def step(self, time: float) -> Command | None:
        """The command of this period, or None while idle or before a fresh joint state."""
        elapsed = self._watch.tick(time)
        self._fault = Fault()
        if self._mode is Mode.IDLE:
            return None
        was_anchored = self._anchored
        reanchored = self._anchor(time)
        if not self._anchored:
            self._fault = self._find_fault(time)
            return None
        plan = self._executable(time) if was_anchored else None
        self._source = 'policy' if plan else 'hold'
        if elapsed > 0.0:
            self._move(time, self._tick_length(elapsed), plan)
        self._sent += 1
        return self._mover.command(time, self._source, plan, reanchored)

    def _tick_length(self, elapsed: float) -> float:
        """How far the motion goes on in this tick [s].

        The driver gives every command one period, however late the timer was. Commands are
        therefore whole periods apart, and their differences are the velocities that are meant.
        Only a tick that follows at once, of a timer that catches up, moves less.
        """
        return self._period if elapsed > 0.25 * self._period else elapsed

    def _anchor(self, time: float) -> bool:
        """Start from the measured joints; again if the arm is found elsewhere at rest."""
        joints = self._watch.joints
        if not self._anchored and self._watch.fresh(time):
            if self._arm:
                assert joints is not None
                self._mover.place(joints)
            self._mover.gripper.reset()
            self._anchored = True
            return False
        if not (self._anchored and self._arm):
            return False
        resting = self._source == 'hold' and self._mover.at_rest
        if not self._watch.found_elsewhere(time, self._mover.positions, resting):
            return False
        assert joints is not None
        self._mover.place(joints)
        self._reanchored += 1
        return True

    def _executable(self, time: float) -> ChunkPlan | None:
        """The plan to execute in this tick, None to hold; names the fault, if any."""
        self._fault = self._find_fault(time)
        plan = self._plan if self._mode is Mode.POLICY and not self._fault.name else None
        if self._plan is not None and plan is None:
            self._plan.joined = False
        return plan

    def _find_fault(self, time: float) -> Fault:
        end = self._plan.chunk.end if self._plan else -math.inf
        return self._watch.fault(time, end if self._mode is Mode.POLICY else None)

    def _move(self, time: float, dt: float, plan: ChunkPlan | None) -> None:
        if plan is not None and math.isnan(self._chain_latency):
            self._chain_latency = time - plan.chunk.stamp
        obstacle = self._mover.move(time, dt, plan)
        if obstacle.name:
            self._fault = obstacle

    # --- report -----------------------------------------------------------------------------

    def status(self, time: float | None = None) -> ControllerStatus:
        """How the controller is doing, with ages at `time` (default: of the last tick)."""
        watch = self._watch
        now = time if time is not None else (watch.last_time or 0.0)
        plan = self._plan if self._source == 'policy' else None
        chunk = plan.chunk if plan else None
        return ControllerStatus(
            mode=self._mode,
            source=self._source,
            fault=self._fault.name,
            fault_reason=self._fault.text,
            robot=self._embodiment.name,
            instruction=chunk.instruction if chunk else '',
            chunk_sequence=chunk.sequence if chunk else 0,
            latent_sequence=chunk.latent_sequence if chunk else 0,
            chunk_step=plan.row(now) if plan else -1,
            observation_age=now - chunk.stamp if chunk else _NAN,
            chunk_age=now - plan.received if plan else _NAN,
            joint_state_age=_NAN if watch.joint_time is None else now - watch.joint_time,
            plan_latency=chunk.plan_stop - chunk.plan_start if chunk else _NAN,
            decode_latency=chunk.decode_stop - chunk.plan_stop if chunk else _NAN,
            chain_latency=self._chain_latency,
            control_rate=1.0 / watch.interval if watch.interval > 0.0 else _NAN,
            limit_use=self._mover.limit_use,
            commands_sent=self._sent,
            chunks_received=self._received,
            chunks_dropped=sum(self._dropped.values()),
            dropped=dict(self._dropped),
            clock_jumps=watch.jumps,
            reanchored=self._reanchored,
            braked=self._mover.braked,
        )
