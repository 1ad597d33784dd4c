"""Recorded latent actions on another body, in simulation and virtual time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.errors import ObservationError
from univla_core.robot_state import MAX_STATE_AGE_S
from univla_core.robot_state import nearest_state
from univla_core.robot_state import proprioception
from univla_sim.world import World

from univla_ros.replay.motion import Motion
from univla_ros.replay.motion import motion_of
from univla_ros.replay.recording import Recording
from univla_ros.rollout.robot_loop import PLAN_RANK
from univla_ros.rollout.robot_loop import PREPARATION_S
from univla_ros.rollout.robot_loop import STATUS_RANK
from univla_ros.rollout.robot_loop import RobotLoop
from univla_ros.rollout.rollout import BEGIN_S
from univla_ros.rollout.rollout import LATENCY_S
from univla_ros.rollout.virtual_time import VirtualTime

if TYPE_CHECKING:
    from univla_decoders.decoder import RobotDecoder

#: Time between two looks at the robot [s].
LOOK_S = 0.1
#: The robot comes to rest after its last chunk [s].
_REST_S = 0.5


@dataclass(frozen=True, kw_only=True)
class BodyReplay:
    """What the other body did.

    Attributes:
        motion: How it moved.
        pictures: When [s], from the first latent action on, and what it looked like, half size.
        chunks: Chunks decoded.
        dropped: Chunks that the controller refused, by reason.
        faults: Ticks of the controller with each fault.
        held_back: Ticks in which each bound held the command back.
        ticks: Ticks in all.
    """

    motion: Motion
    pictures: tuple[tuple[float, np.ndarray], ...]
    chunks: int
    dropped: Mapping[str, int]
    faults: Mapping[str, int]
    held_back: Mapping[str, int]
    ticks: int


class LatentReplay:
    """Feeds recorded latent actions to the decoder of a body, each at its recorded time.

    Decoder, controller, driver and physics are those of the running graph; nobody plans.

    Args:
        recording: The latent actions; the first one's stamp is where time begins.
        embodiment: The body.
        decoder: Its decoder.
        world: Its world; it is reset.
        seed: Of the world.
        posture: Where an arm begins.
    """

    def __init__(
        self,
        recording: Recording,
        embodiment: Embodiment,
        decoder: RobotDecoder,
        world: World,
        *,
        seed: int = 0,
        posture: str = 'ready',
    ) -> None:
        self._recording, self._embodiment, self._decoder = recording, embodiment, decoder
        self._world, self._seed, self._posture = world, seed, posture

    def run(self) -> BodyReplay:
        """Replay all of them, until the robot rests.

        Raises:
            ActionError: If the decoder is of another vocabulary than the latent actions.
            ConfigError: If the robot has no such posture.
            DriverError: If the driver does not get ready.
        """
        from univla_decoders.ensembled_decoder import EnsembledDecoder

        recording, decoder = self._recording, self._decoder
        for latent in recording.latents:
            decoder.check_latent(latent)
        self._looks: list[tuple[float, np.ndarray, float, np.ndarray]] = []
        self._chunks, self._opening = 0, np.nan
        self._decoded = EnsembledDecoder(decoder)
        if self._embodiment.kind == 'arm':
            self._world.reset(self._seed, posture=self._posture)
        else:
            self._world.reset(self._seed)
        self._time = VirtualTime(BEGIN_S - PREPARATION_S)
        self._loop = RobotLoop(self._embodiment, self._world, self._time, None)
        self._loop.prepare()
        self._begin = self._time.now
        self._loop.start(recording.instruction)
        first = recording.latents[0].stamp
        for place, latent in enumerate(recording.latents):
            arrival = latent.stamp - first + self._delay(place)
            self._time.after(arrival, PLAN_RANK, partial(self._feed, place))
        self._time.every(LOOK_S, STATUS_RANK, self._look, at_once=True)
        chunk_s = decoder.horizon * decoder.declaration.step_duration_s
        self._time.run(recording.latents[-1].stamp - first + chunk_s + _REST_S, lambda: False)
        return self._result()

    def _delay(self, place: int) -> float:
        """From the stamp of a latent action to the arrival of its chunk, as recorded [s]."""
        latent, chunk = self._recording.latents[place], self._recording.chunks[place]
        ends = [chunk.decode_stop if chunk else 0.0, latent.plan_stop]
        known = [end - latent.stamp for end in ends if end > latent.stamp]
        return known[0] if known else LATENCY_S

    def _feed(self, place: int) -> None:
        latent = self._recording.latents[place]
        stamp = self._begin + latent.stamp - self._recording.latents[0].stamp
        declared, body = self._decoder.declaration, None
        if declared.proprioception_dim:
            state = nearest_state(self._loop.states, stamp, MAX_STATE_AGE_S)
            if state is None:
                raise ObservationError(f'{self._embodiment.name} told no state at {stamp:.2f} s')
            body = proprioception(state)
        self._chunks += 1
        chunk = ActionChunk(
            robot=self._embodiment.name,
            action_space=declared.action_space,
            names=tuple(declared.names),
            data=self._decoded.decode(dataclasses.replace(latent, stamp=stamp), body),
            step_duration_s=declared.step_duration_s,
            stamp=stamp,
            sequence=self._chunks,
            latent_sequence=latent.sequence,
            instruction=self._recording.instruction,
            plan_start=stamp,
            plan_stop=self._time.now,
            decode_stop=self._time.now,
        )
        self._loop.on_chunk(chunk)

    def _look(self) -> None:
        state = self._loop.states[-1]
        if state.opening is not None:
            self._opening = state.opening
        mounted = self._embodiment.cameras['primary'].simulation['mount'] != 'world'
        picture = self._world.render('overview' if mounted else 'primary')
        small = picture[::2, ::2].copy()
        self._looks.append((self._time.now - self._begin, state.axes, self._opening, small))

    def _result(self) -> BodyReplay:
        times, axes, openings, pictures = zip(*self._looks, strict=True)
        loop = self._loop
        return BodyReplay(
            motion=motion_of(
                np.array(times), np.array(axes), np.array(openings), self._embodiment
            ),
            pictures=tuple(zip(times, pictures, strict=True)),
            chunks=self._chunks,
            dropped=dict(loop.controller.status().dropped),
            faults=dict(loop.faults),
            held_back=dict(loop.held_back),
            ticks=loop.commands,
        )
