"""Modes, the latched emergency stop, and who is in control of each command."""

from __future__ import annotations

import math
from dataclasses import dataclass

from univla_core.fault import Fault

from univla_control.chunk_plan import ChunkPlan
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.teleop import Teleop
from univla_control.watch import Watch


@dataclass(frozen=True)
class Decision:
    """Who the command of one tick comes from.

    Attributes:
        source: `policy`, `teleop`, `hold` or `none`.
        plan: The plan to execute, None where there is none.
        input: Input of the person in control, empty if nobody is.
        fault: What is wrong, also while a person bridges it.
    """

    source: str
    plan: ChunkPlan | None = None
    input: str = ''
    fault: Fault = Fault()


class Modes:
    """Arbitrates between policy, person and hold.

    A living input of a person comes before the policy, the policy before hold, as priorities of
    a multiplexer. What stops the whole robot (emergency stop, joint states, clock) comes before
    everybody.

    Args:
        config: Parameters.
        teleop: What a person asks for.
        watch: What is wrong.

    Attributes:
        mode: What the operator asked for.
        estop_reason: Why the emergency stop is latched, empty if it is not.
    """

    def __init__(self, config: ControlConfig, teleop: Teleop, watch: Watch) -> None:
        self._config, self._teleop, self._watch = config, teleop, watch
        self.mode = Mode.IDLE
        self.estop_reason = ''
        self._took_over = False

    def ask(self, mode: Mode, time: float, reason: str = '') -> str | None:
        """Ask for another mode at `time` [s]; returns why it was refused, or None."""
        if mode is Mode.ESTOP:
            self.estop_reason = self.estop_reason or reason or 'asked for without a reason'
        elif self.estop_reason and mode is not Mode.IDLE:
            return (
                f'the emergency stop is latched ({self.estop_reason}); see that the robot may '
                'move, then call reset_estop'
            )
        if mode is Mode.POLICY and self.mode is not Mode.POLICY:
            self._watch.hear(time)
        self.mode, self._took_over = mode, False
        return None

    def reset(self) -> str | None:
        """End a latched emergency stop, into HOLD; returns why not, or None."""
        if not self.estop_reason:
            return 'the emergency stop is not latched'
        self.estop_reason = ''
        if self.mode is Mode.ESTOP:
            self.mode = Mode.HOLD
        return None

    def decide(self, time: float, plan: ChunkPlan | None) -> Decision:
        """Who is in control at `time` [s], given the plan at hand."""
        if self.mode is Mode.ESTOP:
            return Decision('hold', fault=Fault('estop', self.estop_reason))
        fault = self._watch.robot_fault(time)
        if fault.name or self.mode in (Mode.HOLD, Mode.IDLE):
            return Decision('hold', fault=fault)
        if self.mode is Mode.POLICY:
            fault = self._watch.chain_fault(time, plan.chunk.end if plan else -math.inf)
        person = self._teleop.active(time, self._watch.slack)
        if person:
            self._took_over = True
            return self._person(person, plan, fault)
        if self.mode is Mode.TELEOP:
            return Decision('hold', fault=Fault('no_teleop', _NO_TELEOP))
        if self._took_over and self._config.hand_back == 'hold':
            self.mode = Mode.HOLD
            return Decision('hold')
        self._took_over = False
        if fault.name or plan is None or plan.chunk.source != 'policy':
            return Decision('hold', fault=fault)
        return Decision('policy', plan=plan)

    def _person(self, person: str, plan: ChunkPlan | None, fault: Fault) -> Decision:
        if person != 'latent_code':
            return Decision('teleop', input=person, fault=fault)
        # The chosen code comes as a chunk by way of the policy, so the chain must be sound.
        chain = fault if fault.name else self._watch.heartbeats.fault(self._watch.last_time or 0.0)
        if chain.name or plan is None or plan.chunk.source != 'teleop':
            return Decision('hold', input=person, fault=chain)
        return Decision('teleop', plan=plan, input=person)


_NO_TELEOP = 'no input of a person is alive; hold the dead-man button and move'
