"""Planning on a thread of its own: on good observations only, and never behind the times."""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from univla_core.errors import ObservationError
from univla_core.errors import UnivlaError
from univla_core.fault import HEALTHY
from univla_core.fault import Fault
from univla_core.latent_action import LatentAction
from univla_core.observation import Observation
from univla_core.work_watch import WorkWatch

from univla_ros.camera_inputs import CameraInputs
from univla_ros.picked_codes import PickedCodes


class Planner:
    """Plans on each new picture, at most at a given rate, while there is a task.

    The task is an instruction, or codes that a person picks.

    Args:
        policy: Plans; see `univla_models.policy.Policy`.
        inputs: Where observations come from.
        picked: Codes that a person picks.
        work: Times the plans.
        rate_hz: Most plans per second [Hz].
        now: Clock of the stamps [s].
        publish: Called with each plan that may be followed.
        complain: Called with cause and reason for each one that may not, or that was late.
        instruction: Task in words to begin with.

    Attributes:
        plans: How many were published.
    """

    def __init__(
        self,
        policy: Any,
        inputs: CameraInputs,
        picked: PickedCodes,
        work: WorkWatch,
        *,
        rate_hz: float,
        now: Callable[[], float],
        publish: Callable[[LatentAction], None],
        complain: Callable[[str, str], None],
        instruction: str = '',
    ) -> None:
        self._policy, self._inputs, self._picked, self._work = policy, inputs, picked, work
        self._period_s = 1.0 / rate_hz
        self._now, self._publish, self._complain = now, publish, complain
        self._condition = threading.Condition()
        self._running = False
        self._fresh = False
        self._instruction = instruction
        self._planned_instruction = ''
        self._history: np.ndarray | None = None
        self._error: Fault | None = None
        self.plans = 0

    @property
    def instruction(self) -> str:
        """The task in words; empty if there is none."""
        return self._instruction.strip()

    def start(self) -> None:
        """Begin to plan, without memory of earlier plans."""
        self._planned_instruction, self._history, self._error = '', None, None
        self._running, self._fresh = True, False
        self._thread = threading.Thread(target=self._guarded, name='planning', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop planning; waits for the plan under way."""
        with self._condition:
            self._running = False
            self._condition.notify()
        self._thread.join(timeout=30.0)

    def tell(self, instruction: str) -> None:
        """Change the task in words; what is being planned for another one is dropped."""
        with self._condition:
            self._instruction = instruction

    def see(self) -> None:
        """There is a new picture."""
        with self._condition:
            self._fresh = True
            self._condition.notify()

    def health(self) -> Fault:
        """What is wrong with pictures or planning; quick, for the heartbeat."""
        fault = self._inputs.fault()
        if fault is not None:
            return fault
        steady = time.monotonic()
        if self._work.hangs(steady):
            return Fault(
                'policy_hang',
                f'a plan takes longer than {self._work.hang_timeout_s} s; free the computer or '
                'raise hang_timeout_s',
            )
        if self._error is not None:
            return self._error
        if self._picked.at(steady) is None and not self.instruction:
            return Fault('', 'waiting for an instruction')
        return HEALTHY

    def _guarded(self) -> None:
        try:
            self._plan_for_ever()
        except Exception as error:
            # A mistake of ours, or no more memory: the heartbeat says that planning is over.
            text = f'planning ended with {type(error).__name__}: {error}'
            self._error = Fault('policy_error', f'{text}; see the log and restart policy_node')
            self._complain('ended', f'{text}\n{traceback.format_exc()}')

    def _plan_for_ever(self) -> None:
        """Plan on the first new picture after each period, so that it is as fresh as can be."""
        earliest = 0.0
        while True:
            with self._condition:
                wait = earliest - time.monotonic()
                if wait > 0.0:
                    self._condition.wait_for(lambda: not self._running, timeout=wait)
                    self._fresh = False
                self._condition.wait_for(lambda: self._fresh or not self._running)
                if not self._running:
                    return
                self._fresh = False
                instruction = self._instruction
            # A tenth early, so that a camera whose rate is a multiple is not missed by jitter.
            earliest = time.monotonic() + 0.9 * self._period_s
            codes = self._picked.at(time.monotonic())
            if codes is not None or instruction.strip():
                self._plan(instruction, codes)

    def _plan(self, instruction: str, codes: np.ndarray | None) -> None:
        try:
            observation = self._inputs.observation(instruction, needs_instruction=codes is None)
        except ObservationError:
            return  # the heartbeat and the cameras' diagnostics say why
        if instruction != self._planned_instruction:
            self._policy.reset()
            self._planned_instruction, self._history = instruction, None
        start = self._now()
        self._work.start(time.monotonic())
        try:
            latent = self._policy.plan(
                observation.images, instruction, history_codes=self._history, codes=codes
            )
            latent.check(self._policy.num_codes)
        except UnivlaError as error:
            self._error = Fault('policy_error', f'the policy cannot plan: {error}')
            self._complain('policy error', str(error))
            return
        finally:
            in_time = self._work.stop(time.monotonic())
        self._error = None
        if not in_time:  # the controller, which knows how far it reaches, decides about it
            self._complain('late', f'a plan took longer than {self._work.hang_timeout_s} s')
        if self._may_be_followed(observation, codes):
            self._hand_over(latent, observation, start, codes)

    def _may_be_followed(self, observation: Observation, codes: np.ndarray | None) -> bool:
        """Whether pictures are still in order and the task is still the one planned for."""
        fault = self._inputs.fault()
        if fault is not None:
            self._complain('bad observation', f'a plan was dropped: {fault.reason}')
            return False
        released = codes is not None and self._picked.at(time.monotonic()) is None
        with self._condition:
            return self._running and not released and observation.instruction == self._instruction

    def _hand_over(
        self,
        latent: LatentAction,
        observation: Observation,
        start: float,
        codes: np.ndarray | None,
    ) -> None:
        self.plans += 1
        self._history = latent.codes
        self._publish(
            dataclasses.replace(
                latent,
                stamp=observation.stamp,
                sequence=self.plans,
                source='policy' if codes is None else 'teleop',
                plan_start=start,
                plan_stop=self._now(),
            )
        )
