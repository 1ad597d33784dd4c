"""One trial: see the robot move, do harm, watch it become safe, heal, watch it recover."""

from __future__ import annotations

import dataclasses
import math
import random
import signal
import time
from contextlib import suppress

import numpy as np

from univla_msgs.msg import ControlState
from univla_ros.bench import timing
from univla_ros.bench.injector import Injection
from univla_ros.bench.injector import Injector
from univla_ros.bench.judgement import ROUNDING
from univla_ros.bench.judgement import Trial
from univla_ros.bench.judgement import judge
from univla_ros.bench.judgement import relapse
from univla_ros.bench.judgement import reported
from univla_ros.bench.live_graph import START_S
from univla_ros.bench.live_graph import BenchError
from univla_ros.bench.live_graph import LiveGraph
from univla_ros.bench.safety import Fault
from univla_ros.bench.timing import Said
from univla_ros.bench.watch import wait_until

#: Share of the velocity limit that counts as moving, and as standing still.
MOVING, STANDING = 0.02, 0.01
#: Share of the velocity limit up to which a measured robot, which may sway, counts as standing.
MEASURED_STANDING = 0.05
_UNTIL_SAFE_S, _BEFORE_S, _AFTER_S = 2.5, 0.3, 0.3
_STEADY_S = 0.15
_NAN = math.nan


class Trials:
    """Runs trials on one live graph, one after the other.

    Args:
        graph: The running graph.
        seed: Seed of the moments at which faults are injected.
        robot: One of its robots; the first one if empty.
    """

    def __init__(self, graph: LiveGraph, seed: int, robot: str = '') -> None:
        self._graph = graph
        self._watch = graph.watches[robot or graph.options.robots[0]]
        self._embodiment = self._watch.embodiment
        self._period = 1.0 / self._embodiment.control_rate_hz
        self._injector = Injector(graph, robot)
        self._random = random.Random(seed)

    def wait_for_start(self) -> None:
        """Wait until the nodes are up and the policy moves the robot for the first time.

        Raises:
            BenchError: If it never does, or a node ends.
        """
        self._graph.wait(
            lambda: self._watch.moving('policy', MOVING), START_S, 'waiting for the first motion'
        )

    def wait_until_moving(self, source: str = 'policy', patience_s: float = 30.0) -> None:
        """Wait until `source` moves the robot; set the scene back where a policy got stuck.

        Raises:
            BenchError: If it never moves.
        """
        if wait_until(lambda: self._watch.moving(source, MOVING), 4.0):
            return
        if source == 'policy':
            self._set_back()
        self._graph.wait(
            lambda: self._watch.moving(source, MOVING),
            patience_s,
            f'waiting for {source} to move the robot',
        )

    def close(self) -> None:
        """Stop every message that is still repeated."""
        self._injector.hush()

    def mend(self) -> None:
        """Undo what a trial that broke off may have left behind."""
        self._watch.foreign = None
        self._injector.leave()
        self._injector.signal(signal.SIGCONT)
        with suppress(BenchError):
            self._injector.break_robot('')
            self._injector.restore_task()
            self._injector.let_policy_drive()

    def run(self, fault: Fault) -> Trial:
        """One trial.

        Raises:
            BenchError: If the robot never moves, does not recover, or a node breaks down.
        """
        self.wait_until_moving()
        if fault.prepare is not None:
            fault.prepare(self._injector)
            self.wait_until_moving(fault.starts_from)
        time.sleep(self._random.uniform(0.0, 0.2))  # any phase of cameras, plans and ticks
        injection = fault.inject(self._injector)
        if fault.safe != 'standstill':  # nobody is left to say so
            wait_until(lambda: self._safe(fault, injection) is not None, _UNTIL_SAFE_S)
        time.sleep(max(0.0, injection.at + fault.lasts_s - time.time()))
        healed = time.time()
        trial_end = self._events(fault, injection, healed)
        own_gap = self._injector.largest_gap()
        if fault.heal is not None:
            fault.heal(self._injector)
        mended = injection.at if fault.heal is None else healed
        recovery = self._recover(fault, mended) - mended
        time.sleep(_AFTER_S)
        trial = self._judge(fault, injection, healed, recovery, *trial_end)
        trial = dataclasses.replace(trial, own_gap=own_gap)
        self._watch.foreign = None
        if trial.limit_use > 1.0 + ROUNDING:
            self._set_back()  # so that the next trial starts from a posture within the limits
        self._watch.forget(time.time() - 3.0)
        return trial

    # --- what happened ----------------------------------------------------------------------

    def _safe(self, fault: Fault, injection: Injection) -> Said | None:
        """The first state in which the danger is over; in doubt the first of another source."""
        task = self._graph.options.instruction

        def over(said: Said) -> bool:
            if fault.safe == 'teleop':
                return said.source == 'teleop'
            if fault.safe == 'release':
                return said.source != 'teleop'
            if fault.safe == 'task':
                return said.source != 'policy' or said.instruction not in ('', task)
            return said.source in ('hold', 'none')

        # A hold from before a wrong message, as on a machine too busy, was for another reason.
        wrong = fault.begins.endswith('wrong')
        begin = self._began(fault, injection, time.time()) if wrong else injection.at
        states = list(self._watch.states)
        if not fault.stays_safe:
            return timing.first_said(states, begin, over)
        deadline = self._began(fault, injection, time.time()) + fault.limit_s(self._embodiment)
        return timing.settled_said(states, begin, deadline, over)

    def _began(self, fault: Fault, injection: Injection, until: float) -> float:
        """When the fault began [s], by the rules in `safety`."""
        told = injection.at if injection.began is None else injection.began
        picture = fault.begins.startswith('picture')
        times = list(self._watch.picture_times if picture else self._watch.state_times)
        if fault.begins.endswith('missing'):
            return timing.next_due([time for time in times if time <= told][-50:])
        if fault.begins.endswith('wrong'):
            return timing.first_after([time for time in times if time <= until], told)
        return told

    def _events(
        self, fault: Fault, injection: Injection, until: float
    ) -> tuple[float, float, float]:
        """When the fault began, another source took over, and the robot was safe [s]."""
        began = self._began(fault, injection, until)
        if fault.safe == 'standstill':
            measured = self._watch.measured.between(injection.at - 0.1, until)
            speeds = timing.measured_speeds(self._embodiment, measured)
            rest = timing.final_rest(speeds.times, speeds.values, began, MEASURED_STANDING)
            return began, rest, rest
        said = self._safe(fault, injection)
        if said is None:
            return began, _NAN, _NAN
        taken = timing.confirmed(said, self._watch.commands, self._period)
        if self._embodiment.kind != 'base' or fault.safe != 'hold':
            return began, taken, taken
        commands = self._watch.commands.between(injection.at - 0.1, until)
        speeds = timing.speeds_of(self._embodiment, commands)
        rest = timing.first_rest(commands.times, speeds, said.time, STANDING)
        return began, taken, taken if math.isnan(rest) and self._resumed(fault, taken) else rest

    def _resumed(self, fault: Fault, taken: float) -> bool:
        """Whether the policy rightly went on before the robot had come to a standstill."""
        if fault.stays_safe:
            return False
        states = list(self._watch.states)
        return timing.first_said(states, taken, lambda s: s.source == 'policy') is not None

    def _recover(self, fault: Fault, mended: float) -> float:
        """When the policy moved the robot again for good [s]."""

        def since() -> float:
            states = list(self._watch.states)
            others = [said.time for said in states if said.source != 'policy']
            begin = max(mended, others[-1] if others else mended)
            return timing.first_after([said.time for said in states], begin)

        def steady() -> bool:
            begin = since()
            told = self._watch.states[-1].time if self._watch.states else 0.0
            return begin + _STEADY_S < told and time.time() - told < 1.0

        self._graph.wait(steady, fault.recovers_s, f'recovering from {fault.name}')
        return since()

    # --- what it is worth -------------------------------------------------------------------

    def _judge(
        self,
        fault: Fault,
        injection: Injection,
        healed: float,
        recovery: float,
        began: float,
        taken: float,
        safe: float,
    ) -> Trial:
        begin, end = injection.at - _BEFORE_S, time.time()
        commands = self._watch.commands.between(begin, end)
        used, limit = timing.limit_use(self._embodiment, commands)
        measured = self._watch.measured.between(begin, end)
        speeds = timing.measured_speeds(self._embodiment, measured).values
        lying = fault.begins == 'state wrong'  # what is measured then means nothing
        states = [s for s in self._watch.states if injection.at <= s.time <= healed]
        detected = reported(states, fault.expected)
        trial = Trial(
            at=injection.at,
            began=began,
            safe=safe,
            time_to_safe=_no_earlier(safe - began),
            from_injection=safe - injection.at,
            reaction=_no_earlier(taken - began),
            detected=detected.fault or self._source(fault, injection),
            reason=detected.reason,
            limit_use=used,
            limit=limit,
            measured_use=0.0 if lying else float(np.max(speeds, initial=0.0)),
            recovery=recovery,
            problems=(),
        )
        problems = list(judge(trial, fault.expected, fault.limit_s(self._embodiment)))
        if fault.stays_safe and not math.isnan(safe):
            problems += relapse(states, taken, healed)
        return dataclasses.replace(trial, problems=tuple(problems))

    def _source(self, fault: Fault, injection: Injection) -> str:
        """Who took over where no fault is due; empty if one is."""
        said = self._safe(fault, injection)
        if said is None or fault.expected or fault.safe == 'standstill':
            return ''
        return f'source {said.source}'

    def _set_back(self) -> None:
        """Begin the scene anew while nobody commands the robot."""
        self._injector.set_mode(ControlState.MODE_IDLE)
        time.sleep(0.5)
        self._injector.trigger('sim/reset')
        time.sleep(1.0)
        self._injector.set_mode(ControlState.MODE_POLICY)


def _no_earlier(seconds: float) -> float:
    """A robot that was safe before a message was missed was safe at once; NaN stays NaN."""
    return seconds if math.isnan(seconds) else max(0.0, seconds)
