"""Recorded latent actions with another decoder of the same robot."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_core.latent_action import LatentAction
from univla_core.robot_state import RobotState
from univla_core.robot_state import proprioception
from univla_data.actions import actions
from univla_data.episode import Episode

from univla_ros.replay.comparison import standing_still
from univla_ros.replay.recording import Recording

if TYPE_CHECKING:
    from univla_decoders.decoder import RobotDecoder
    from univla_decoders.ensembled_decoder import EnsembledDecoder


@dataclass(frozen=True, kw_only=True)
class Redecoded:
    """Chunks of n recorded latent actions.

    Attributes:
        stamps: Of the latent actions [s], (n,).
        chunks: What the decoder makes of them, in robot units, (n, horizon, dim).
        executed: What was commanded from each stamp on, alike.
        still: Chunks that ask for no motion, alike.
        recorded: The chunks of the recording, alike; None if they have another form.
        has_recorded: Which of them there are, (n,).
        action_space: Of all chunks.
        names: One per dimension.
        step_duration_s: Time between two rows [s].
        why_not: Why there is nothing recorded to compare with; empty if there is.
    """

    stamps: np.ndarray
    chunks: np.ndarray
    executed: np.ndarray
    still: np.ndarray
    recorded: np.ndarray | None
    has_recorded: np.ndarray
    action_space: str
    names: tuple[str, ...]
    step_duration_s: float
    why_not: str


def redecode(
    episode: Episode, recording: Recording, embodiment: Embodiment, decoder: RobotDecoder
) -> Redecoded:
    """Decode every recorded latent action whose measured state is known.

    Raises:
        DataError: If there is none such.
        ActionError: If the decoder is of another vocabulary than the latent actions.
    """
    from univla_decoders.ensembled_decoder import EnsembledDecoder

    plans = [
        (latent, body, chunk)
        for latent, body, chunk in zip(
            recording.latents, recording.bodies, recording.chunks, strict=True
        )
        if body is not None
    ]
    if not plans:
        raise DataError(f'{recording.path}: no measured state is near any of its latent actions')
    chunks = EnsembledDecoder(decoder)
    made = np.array([_decoded(chunks, latent, body) for latent, body, _ in plans])
    declared, horizon = decoder.declaration, made.shape[1]
    step = declared.step_duration_s
    stamps = np.array([latent.stamp for latent, _, _ in plans])
    axes = np.array([body.axes for _, body, _ in plans])
    openings = np.array([np.nan if b.opening is None else b.opening for _, b, _ in plans])
    there = dataclasses.replace(episode, stamps=stamps, positions=axes, opening=openings)
    wanted = Form(declared.action_space, *made.shape[1:], step)
    recorded, has, why_not = _recorded([chunk for _, _, chunk in plans], wanted)
    return Redecoded(
        stamps=stamps,
        chunks=made,
        executed=actions(there, embodiment, declared.action_space, horizon, step),
        still=standing_still(axes, openings, embodiment, declared.action_space, horizon),
        recorded=recorded,
        has_recorded=has,
        action_space=declared.action_space,
        names=tuple(declared.names),
        step_duration_s=step,
        why_not=why_not,
    )


class Form(NamedTuple):
    """What two chunks must have in common to be compared number by number."""

    space: str
    horizon: int
    dimensions: int
    step_s: float

    def __str__(self) -> str:
        """In words."""
        return f'{self.horizon} x {self.dimensions} {self.space} every {self.step_s:g} s'


def _decoded(chunks: EnsembledDecoder, latent: LatentAction, body: RobotState) -> np.ndarray:
    needed = chunks.decoder.declaration.proprioception_dim
    return chunks.decode(latent, proprioception(body) if needed else None)


def _recorded(
    chunks: Sequence[ActionChunk | None], wanted: Form
) -> tuple[np.ndarray | None, np.ndarray, str]:
    """The recorded chunks of the wanted form, which ones there are, and why none, if none."""
    forms = [c and Form(c.action_space, *c.data.shape, c.step_duration_s) for c in chunks]
    has = np.array([form == wanted for form in forms])
    if not has.any():
        told = ', '.join(sorted({str(form) for form in forms if form}))
        return None, has, f'the recorded chunks are {told or "missing"}, these are {wanted}'
    recorded = np.zeros((len(chunks), wanted.horizon, wanted.dimensions))
    for row, chunk in enumerate(chunks):
        if has[row] and chunk is not None:
            recorded[row] = chunk.data
    return recorded, has, ''
