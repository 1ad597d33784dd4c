"""Executes action chunks and a person's wishes on one robot, one command per control period."""

from __future__ import annotations

import math

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.fault import Fault

from univla_control.body_clearance import CollisionModel
from univla_control.chunk_inbox import ChunkInbox
from univla_control.chunk_plan import plan_facts
from univla_control.command import Command
from univla_control.command import ControllerStatus
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.envelope import Envelope
from univla_control.gate import OutputGate
from univla_control.modes import Decision
from univla_control.modes import Modes
from univla_control.mover import Mover
from univla_control.origin import Origin
from univla_control.rest import Rest
from univla_control.safety_limits import SafetySettings
from univla_control.safety_limits import safety_limits
from univla_control.teleop import Teleop
from univla_control.watch import Watch

_NAN = float('nan')


class ChunkController:
    """Turns action chunks and teleoperation into commands that respect every limit of one robot.

    Pure and single-threaded: the owner passes the time [s] with every call and calls `step` once
    per control period. Nothing here raises on bad input; it is dropped, counted and named.

    Args:
        embodiment: The robot.
        config: Parameters.
        collision: Distances between the robot's shapes and to the floor, None to do without.

    Attributes:
        modes: Modes, emergency stop and who is in control.
        teleop: What a person asks for.
        watch: Joint states, clock and heartbeats.

    Raises:
        ConfigError: If a setting would loosen a limit past the maker's.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        config: ControlConfig,
        collision: CollisionModel | None = None,
    ) -> None:
        self._embodiment, self._config = embodiment, config
        self._period = 1.0 / config.control_rate_hz
        self._arm = embodiment.kind == 'arm'
        self._limits, cartesian = safety_limits(embodiment, config)
        self._envelope = None
        if embodiment.chain is not None and cartesian is not None:
            self._envelope = Envelope(embodiment.chain, cartesian, collision)
        self._origin = Origin(config)
        self._mover = Mover(embodiment, config, self._origin.asked, self._limits, self._envelope)
        self._gate = OutputGate(embodiment, self._period)
        self._rest = Rest(config)
        self.watch = Watch(embodiment, config, self._forget)
        self.teleop = Teleop(embodiment, config)
        self.modes = Modes(config, self.teleop, self.watch)
        self._inbox = ChunkInbox(embodiment, config, self._origin, self.watch)
        self._anchored = self._elsewhere = False
        self._decision = Decision('none')
        self._fault = Fault()
        self._chain_latency = _NAN
        self._sent = 0

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
        ignored = self.watch.on_joint_state(time, positions)
        if ignored is not None:
            return ignored
        self._origin.measured.add(time, positions)
        self._mover.gripper.measure(gripper_opening)
        return None

    def on_jump(self, time: float, positions: np.ndarray) -> None:
        """Measured joints (n,) [rad] are suddenly, and for good, where no motion leads to.

        Either somebody moved the arm behind the driver's back, or the driver mixes up its
        joints. A person must look before anything is built on it: a moving robot stops, latched.
        """
        before = self.watch.joints
        if not self._arm or before is None:
            return
        gap = np.abs(positions - before)
        axis = int(gap.argmax())
        if gap[axis] <= self._config.give_way_rad:
            return  # only the clock jumped
        self._elsewhere = self._anchored
        if self.modes.mode in (Mode.POLICY, Mode.TELEOP):
            name = self._embodiment.axis_names[axis]
            self.set_mode(Mode.ESTOP, time, f'{name} jumped by {gap[axis]:.2f} rad at once')

    def on_chunk(self, chunk: ActionChunk, time: float) -> str | None:
        """Take in a chunk that arrived at `time`.

        Returns:
            Why it was dropped (`reason: text`, counted by reason), or None when it is adopted.
        """
        person = self.teleop.active(time) == 'latent_code'
        refused = self._inbox.take(chunk, time, self.modes.mode, person)
        if refused is None:
            self._chain_latency = _NAN
        return refused

    def _forget(self) -> None:
        self._origin.reset()
        self._inbox.plan = None
        self.teleop.forget()

    def set_instruction(self, instruction: str, time: float) -> None:
        """Change the task in words; chunks planned for another one are dropped from now on."""
        self._inbox.set_instruction(instruction, time)

    def set_limits(self, settings: SafetySettings) -> None:
        """Other limits from now on; tighter ones once the robot is slow enough for them.

        Raises:
            ConfigError: If a setting would loosen a limit past the maker's; nothing changes.
        """
        self._limits, cartesian = safety_limits(self._embodiment, settings)
        self._mover.set_limits(self._limits)
        if self._envelope is not None and cartesian is not None:
            self._envelope.set_limits(cartesian)

    # --- mode -------------------------------------------------------------------------------

    def activate(self, time: float, mode: Mode = Mode.POLICY) -> None:
        """Begin to command; the first command is the robot's own pose at rest."""
        self._anchored = False
        self.watch.last_time = None
        self._mover.reset()
        self._sent = 0
        self._inbox.reset()
        self.teleop.forget()
        self.set_mode(Mode.ESTOP if self.modes.estop_reason else mode, time)

    def deactivate(self, time: float) -> Command | None:
        """Fall silent. Returns the safe command to be said last: stay here, zero twist.

        A moving robot is stopped within its limits only if the owner first sets mode HOLD and
        keeps stepping until `at_rest`.
        """
        last = None
        if self._anchored and self.modes.mode is not Mode.IDLE:
            self._mover.stand()
            last = self._mover.command(time, 'hold', None)
        self.set_mode(Mode.IDLE, time)
        self._anchored, self._decision = False, Decision('none')
        return last

    def set_mode(self, mode: Mode, time: float, reason: str = '') -> str | None:
        """Ask for another mode: POLICY, TELEOP, HOLD, ESTOP, or no commands once at rest (IDLE).

        Returns:
            Why it was refused, or None.
        """
        refused = self.modes.ask(mode, time, reason)
        if refused is None and mode is not Mode.POLICY:
            self._inbox.plan = None
        if refused is None and mode is not Mode.ESTOP:
            self._take_up()
        return refused

    def reset_estop(self) -> str | None:
        """End a latched emergency stop; the robot holds. Returns why not, or None."""
        refused = self.modes.reset()
        if refused is None:
            self._take_up()
        return refused

    def _take_up(self) -> None:
        """A person has decided: an arm that was found elsewhere is taken up there."""
        if not self._elsewhere:
            return
        self._elsewhere, joints = False, self.watch.joints
        gap = np.inf if joints is None else np.abs(joints - self._mover.positions).max()
        if gap > self._config.give_way_rad:  # else it is back, and a hold gives way smoothly
            self._anchored = False

    @property
    def mode(self) -> Mode:
        """What the operator asked for."""
        return self.modes.mode

    @property
    def source(self) -> str:
        """Who the last command came from."""
        return self._decision.source

    @property
    def fault(self) -> Fault:
        """What was wrong at the last tick."""
        return self._fault

    @property
    def chunk_sequence(self) -> int:
        """Number of the chunk being executed, 0 if none."""
        return self._decision.plan.chunk.sequence if self._decision.plan else 0

    @property
    def at_rest(self) -> bool:
        """Whether the commands stand still."""
        return self._mover.at_rest

    # --- one tick ---------------------------------------------------------------------------

    def step(self, time: float) -> Command | None:
        """The command of this period, or None while idle or before a fresh joint state."""
        self.watch.tick(time)
        self._fault = Fault()
        if self.modes.mode is Mode.IDLE and (not self._anchored or self._mover.at_rest):
            self._anchored, self._decision = False, Decision('none')
            return None
        was_anchored = self._anchored
        self._anchor(time)
        self._decision = self.modes.decide(time, self._inbox.plan)
        self._fault = self._decision.fault
        if not self._anchored:
            self._decision = Decision('none', fault=self._fault)
            return None
        if not was_anchored:
            self._decision = Decision('hold', fault=self._fault)
        plan = self._decision.plan
        if self._inbox.plan is not None and plan is None:
            self._inbox.plan.joined = False
        # The driver gives every command one period, however late or early the clock says it is;
        # so commands are whole periods apart, and their differences are the velocities meant.
        self._move(time, self._period)
        return self._checked(self._mover.command(time, self._decision.source, plan))

    def _checked(self, command: Command) -> Command | None:
        """The command, if the last look finds nothing; else none, and the robot is stopped."""
        limits = self._embodiment.maker_limits
        wrong = self._gate.check(command, limits, self.watch.joints if self._arm else None)
        if wrong is not None:
            self.set_mode(Mode.ESTOP, command.time, f'a command was kept back: {wrong}')
            self._anchored = False
            self._gate.reset()
            self._fault, self._decision = Fault('gate', wrong), Decision('none')
            return None
        self._sent += 1
        return command

    def _anchor(self, time: float) -> None:
        """Start from the measured joints."""
        joints = self.watch.joints
        if not self._anchored and self.watch.fresh(time):
            if self._arm:
                assert joints is not None
                self._mover.place(joints)
            self._mover.gripper.reset()
            self._rest.leave()
            self._gate.reset()
            self._anchored = True

    def _move(self, time: float, dt: float) -> None:
        who = self._decision
        if who.source == 'hold':
            self._mover.hold(time, dt, self._resting_place(time))
            return
        self._rest.leave()
        if who.plan is None:
            ask = self.teleop.ask(who.input)
            self._mover.teleoperate(time, dt, ask, self.teleop.opening)
            return
        if math.isnan(self._chain_latency):
            self._chain_latency = time - who.plan.chunk.stamp
        obstacle = self._mover.execute(time, dt, who.plan)
        if obstacle.name and not self._fault.name:
            self._fault = obstacle

    def _resting_place(self, time: float) -> np.ndarray | None:
        """Measured joints (n,) [rad] that an arm holds, None while it comes to rest."""
        known = self._arm and self.watch.fresh(time) and not self._elsewhere
        measured = self.watch.joints if known else None
        return self._rest.place(time, self._mover.positions, self._mover.at_rest, measured)

    # --- report -----------------------------------------------------------------------------

    def status(self, time: float | None = None) -> ControllerStatus:
        """How the controller is doing, with ages at `time` (default: of the last tick)."""
        now = time if time is not None else (self.watch.last_time or 0.0)
        use, limit = self._mover.largest_use
        return ControllerStatus(
            mode=self.modes.mode,
            source=self._decision.source,
            fault=self._fault.name,
            fault_reason=self._fault.reason,
            estop_reason=self.modes.estop_reason,
            teleop_input=self.teleop.active(now),
            robot=self._embodiment.name,
            chain_latency=self._chain_latency,
            limit_use=use,
            limit_name=limit,
            held_back=self._mover.held_back,
            commands_sent=self._sent,
            chunks_received=self._inbox.received,
            chunks_dropped=sum(self._inbox.dropped.values()),
            dropped=dict(self._inbox.dropped),
            gave_way=self._rest.count,
            braked=self._mover.braked,
            **plan_facts(self._decision.plan, now),
            **self.watch.facts(now),
        )
