"""One episode of the deployed graph in virtual time: same code, no DDS, no waiting.

Physics, simulated driver, driver adapter, chunk controller and decoder are those of the nodes.
What the nodes' threads decide is decided by the clock: pictures are taken at a fixed rate, a plan
reaches the controller a fixed time after its pictures, and what is due at one instant happens in
a fixed order. The same arguments thus give the same commands.
"""

from __future__ import annotations

import time as wall_time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.errors import ActionError
from univla_core.fault import HEALTHY
from univla_core.fault import Fault
from univla_core.observation import Observation
from univla_core.robot_state import MAX_STATE_AGE_S
from univla_core.robot_state import nearest_state
from univla_sim.tasks import Outcome
from univla_sim.tasks import parse_instruction
from univla_sim.variation import Variation
from univla_sim.world import World

from univla_ros.rollout.brain import Brain
from univla_ros.rollout.eyes import Eyes
from univla_ros.rollout.observer import Observer
from univla_ros.rollout.observer import draws
from univla_ros.rollout.operator import PERIOD_S
from univla_ros.rollout.operator import Operator
from univla_ros.rollout.robot_loop import PICTURE_RANK
from univla_ros.rollout.robot_loop import PLAN_RANK
from univla_ros.rollout.robot_loop import PREPARATION_S
from univla_ros.rollout.robot_loop import STATUS_RANK
from univla_ros.rollout.robot_loop import RobotLoop
from univla_ros.rollout.virtual_time import SECOND
from univla_ros.rollout.virtual_time import VirtualTime

#: Plans per second of the deployed policy node [Hz].
PLAN_RATE_HZ = 5.0
#: Picture to arrival of its chunk, where nobody says otherwise [s].
LATENCY_S = 0.08
#: Where the clock of an episode starts [s]: no stamp may be 0.
BEGIN_S = 1000.0

#: Simulated time that a task gets [s]; `free` ones get the most.
TIME_LIMITS_S = {'reach': 8.0, 'push': 12.0, 'pick': 12.0, 'place': 18.0, 'drive': 18.0}

_LOOK_S = 0.05  # between two looks at the outcome


@dataclass(frozen=True, kw_only=True)
class RolloutResult:
    """What came of an episode.

    Attributes:
        outcome: What the referee says at the end.
        duration_s: Simulated time that passed [s].
        success_time_s: When the task was done, None if it was not.
        finished: Whether the brain said that nothing is left to do.
        plans: How many chunks were made of plans.
        refused: How many plans were no action and never became motion; the robot held meanwhile,
            as when `decoder_node` refuses them.
        commands: How many commands were sent to the driver.
        faults: Ticks of the controller with each fault.
        held_back: Ticks in which each bound held the command back.
        dropped: Chunks that the controller refused, by reason.
        complaints: Warnings of the drivers, and how often each was said.
        decision_s: Wall time of each plan [s].
    """

    outcome: Outcome
    duration_s: float
    success_time_s: float | None
    finished: bool
    plans: int
    refused: int
    commands: int
    faults: Mapping[str, int]
    held_back: Mapping[str, int]
    dropped: Mapping[str, int]
    complaints: Mapping[str, int]
    decision_s: tuple[float, ...]


class Rollout:
    """One episode, from the reset of the world to its outcome.

    Args:
        embodiment: The robot.
        instruction: The task in words, as the brain hears it.
        brain: Plans.
        seed: Of the world and of the cameras' noise.
        variation: What else the seed draws, see `univla_sim.variation`; None is the plain scene.
        task: Leaves out of the scene what this task does not need; None keeps the scene of
            `sim_node`. Unused with `world`.
        latency_s: From the stamp of the pictures to the arrival of their chunk [s].
        camera_rate_hz: Pictures per second; None takes only those that are planned on.
        plan_rate_hz: Most plans per second [Hz].
        cameras: Cameras that make an observation.
        camera_noise: Standard deviation of their noise [grey levels].
        observer: Hears of everything.
        world: A world of this robot to use again; it is reset.
        goal: What the referee judges, as an instruction; None takes `instruction`.
        after_success_s: The episode ends so long after success [s]; None goes on.
        operator: A person who may take over; None leaves the brain alone.

    Attributes:
        world: The world; after `run` as the episode left it.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        instruction: str,
        brain: Brain,
        *,
        seed: int,
        variation: Variation | None = None,
        task: str | None = None,
        latency_s: float = LATENCY_S,
        camera_rate_hz: float | None = None,
        plan_rate_hz: float = PLAN_RATE_HZ,
        cameras: Sequence[str] = ('primary',),
        camera_noise: float = 1.0,
        observer: Observer | None = None,
        world: World | None = None,
        goal: str | None = None,
        after_success_s: float | None = 0.5,
        operator: Operator | None = None,
    ) -> None:
        self._embodiment, self._instruction, self._brain = embodiment, instruction, brain
        self._seed, self._variation = seed, variation
        self._latency_s, self._plan_period_s = latency_s, 1.0 / plan_rate_hz
        self._camera_period_s = 1.0 / (camera_rate_hz or plan_rate_hz)
        self._observer, self._after_success_s = observer, after_success_s
        self._operator = operator
        self._goal = instruction if goal is None else goal
        self.world = world if world is not None else World(embodiment, seed=seed, task=task)
        looks = not brain.sees_truth or draws(observer)
        self._eyes = Eyes(self.world, cameras if looks else (), camera_noise)

    def run(self, max_duration_s: float | None = None) -> RolloutResult:
        """Run the episode.

        Args:
            max_duration_s: Simulated time after which it ends at the latest [s]; None takes that
                of the task in `TIME_LIMITS_S`.

        Raises:
            UnivlaError: If the brain cannot plan or the robot cannot be driven.
        """
        self._reset()
        self._loop.prepare()
        self._begin = self._time.nanoseconds
        self._brain.reset(self._instruction)
        self._loop.start(self._instruction)
        self._time.every(self._camera_period_s, PICTURE_RANK, self._take_pictures, at_once=True)
        self._time.every(_LOOK_S, STATUS_RANK, self._look)
        if self._operator is not None:
            operator = self._operator
            operator.begin(self._loop.controller, self._goal)
            self._time.every(
                PERIOD_S, PLAN_RANK, lambda: operator.act(self._time.now, self._elapsed_s)
            )
        self._time.run(max_duration_s or time_limit_s(self._goal), lambda: self._done)
        self._look()
        return self._result()

    def _reset(self) -> None:
        if self._variation is None:
            self.world.reset(self._seed)
        else:
            self.world.reset(self._seed, variation=self._variation)
        self._eyes.restart(self._seed)
        self._time = VirtualTime(BEGIN_S - PREPARATION_S)
        self._loop = RobotLoop(self._embodiment, self.world, self._time, self._observer)
        self._earliest = self._time.nanoseconds
        self._busy = self._done = False
        self._success_time_s: float | None = None
        self._sequence = self._refused = 0
        self._decisions: list[float] = []

    @property
    def _elapsed_s(self) -> float:
        return (self._time.nanoseconds - self._begin) / SECOND

    def _take_pictures(self) -> None:
        stamp = self._time.now
        images = self._eyes.look()
        if self._observer is not None:
            for camera, picture in images.items():
                self._observer.on_frame(stamp, camera, picture)
        if not self._busy and self._time.nanoseconds >= self._earliest:
            self._plan_on(images, stamp)

    def _plan_on(self, images: Mapping[str, np.ndarray], stamp: float) -> None:
        """Plan as the planner does: at most at its rate, and never two at once."""
        # A tenth early, so that a camera whose rate is a multiple is not missed by rounding.
        self._earliest = self._time.nanoseconds + round(0.9e9 * self._plan_period_s)
        self._busy = True
        observation = Observation(images=images, instruction=self._instruction, stamp=stamp)
        if self._brain.sees_truth:
            chunk = self._planned(observation)
            self._time.after(self._latency_s, PLAN_RANK, lambda: self._hand_over(chunk))
        else:
            self._time.after(
                self._latency_s,
                PLAN_RANK,
                lambda: self._hand_over(self._planned(observation)),
            )

    def _planned(self, observation: Observation) -> ActionChunk | None:
        """The chunk, or None if the plan was refused."""
        state = nearest_state(self._loop.states, observation.stamp, MAX_STATE_AGE_S)
        begin = wall_time.perf_counter()
        try:
            plan = self._brain.plan(observation, state)
        except ActionError as error:
            self._refused += 1
            self._loop.decoder_says = Fault('decoder_error', str(error))
            return None
        self._loop.decoder_says = HEALTHY
        self._decisions.append(wall_time.perf_counter() - begin)
        if self._observer is not None:
            self._observer.on_plan(observation.stamp, plan)
            if plan.latent is not None:
                self._observer.on_latent(plan.latent)
        self._sequence += 1
        return ActionChunk(
            robot=self._embodiment.name,
            action_space=plan.action_space,
            names=plan.names,
            data=np.asarray(plan.rows, dtype=float),
            step_duration_s=plan.step_duration_s,
            stamp=observation.stamp,
            sequence=self._sequence,
            latent_sequence=self._sequence,
            instruction=self._instruction,
            plan_start=observation.stamp,
            plan_stop=observation.stamp + self._latency_s,
            decode_stop=observation.stamp + self._latency_s,
        )

    def _hand_over(self, chunk: ActionChunk | None) -> None:
        self._busy = False
        if chunk is None:
            return
        if self._observer is not None:
            self._observer.on_chunk(chunk)
        self._loop.on_chunk(chunk)

    def _look(self) -> None:
        """See whether the task is done, and whether to go on."""
        if self._success_time_s is None and self.world.outcome(self._goal).success:
            self._success_time_s = self._elapsed_s
        wait = self._after_success_s
        rested = (
            self._success_time_s is not None
            and wait is not None
            and self._elapsed_s >= self._success_time_s + wait
        )
        self._done = rested or self._brain.finished

    def _result(self) -> RolloutResult:
        loop = self._loop
        return RolloutResult(
            outcome=self.world.outcome(self._goal),
            duration_s=self._elapsed_s,
            success_time_s=self._success_time_s,
            finished=self._brain.finished,
            plans=self._sequence,
            refused=self._refused,
            commands=loop.commands,
            faults=dict(loop.faults),
            held_back=dict(loop.held_back),
            dropped=dict(loop.controller.status().dropped),
            complaints=dict(loop.bus.complaints),
            decision_s=tuple(self._decisions),
        )


def time_limit_s(instruction: str) -> float:
    """Simulated time that an instruction gets [s]."""
    task = parse_instruction(instruction).task
    return TIME_LIMITS_S.get(task, max(TIME_LIMITS_S.values()))
