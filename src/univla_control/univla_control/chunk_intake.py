"""Which chunks are refused, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.errors import UnivlaError

from univla_control.command import Mode
from univla_control.config import ControlConfig


@dataclass(frozen=True)
class Refusal:
    """Why a chunk was dropped.

    Attributes:
        reason: Short name that drops are counted under.
        text: What is wrong, in words.
    """

    reason: str
    text: str

    def __str__(self) -> str:
        return f'{self.reason}: {self.text}'


def refuse_now(
    chunk: ActionChunk, mode: Mode, joint_time: float | None, instruction: str | None
) -> Refusal | None:
    """Refuse every chunk while none can be used, and one for another task.

    Args:
        chunk: The chunk.
        mode: What the operator asked for.
        joint_time: Stamp of the newest joint state [s], None without one.
        instruction: The present task in words, None if any will do.
    """
    if mode is not Mode.POLICY:
        return Refusal('mode', f'the controller is in {mode.name}, not POLICY')
    if joint_time is None:
        return Refusal('no_joint_state', 'no joint state has been received')
    if instruction is not None and chunk.instruction != instruction:
        return Refusal(
            'old_instruction',
            f'it was planned for {chunk.instruction!r}, now it is {instruction!r}',
        )
    return None


def refuse_content(
    chunk: ActionChunk, embodiment: Embodiment, config: ControlConfig
) -> Refusal | None:
    """Refuse a chunk that no robot, or not this one, could execute."""
    name = f'chunk {chunk.sequence}'
    if chunk.robot != embodiment.name:
        return Refusal('other_robot', f'{name} is for {chunk.robot!r}, not {embodiment.name!r}')
    if not np.isfinite(chunk.data).all():
        return Refusal('not_finite', f'{name} holds NaN or infinity; the decoder made it')
    try:
        chunk.check(embodiment.name)
        names = embodiment.action_names(chunk.action_space)
    except UnivlaError as error:
        return Refusal('malformed', str(error))
    if tuple(chunk.names) not in (names, names[:-1] if embodiment.gripper else names):
        return Refusal(
            'wrong_names', f'{name} names {", ".join(chunk.names)}; expected {", ".join(names)}'
        )
    if not chunk.horizon * chunk.step_duration_s <= config.longest_chunk_s:
        return Refusal('too_long', f'{name} spans more than {config.longest_chunk_s} s')
    return None


def refuse_timing(chunk: ActionChunk, time: float, config: ControlConfig) -> Refusal | None:
    """Refuse a chunk whose place on the time line makes no sense."""
    name = f'chunk {chunk.sequence}'
    if not math.isfinite(chunk.stamp) or chunk.stamp < 0.0:
        return Refusal('bad_stamp', f'{name} is stamped {chunk.stamp}')
    if chunk.stamp > time + config.future_tolerance_s:
        return Refusal(
            'from_future',
            f'{name} is stamped {chunk.stamp - time:.3f} s ahead; synchronise the clocks',
        )
    if chunk.end <= time:
        return Refusal('too_late', f'{name} ended {time - chunk.end:.3f} s before it arrived')
    return None


def refuse_order(chunk: ActionChunk, present: ActionChunk | None) -> Refusal | None:
    """Refuse a chunk older than the one being executed."""
    if present is None or chunk.stamp > present.stamp:
        return None
    if chunk.stamp == present.stamp and chunk.sequence > present.sequence:
        return None
    return Refusal(
        'out_of_order',
        f'chunk {chunk.sequence} is older than chunk {present.sequence}, which is being executed',
    )
