"""Which chunks are refused, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.action_space import action_space
from univla_core.embodiment import Embodiment
from univla_core.errors import UnivlaError

from univla_control.command import Mode
from univla_control.config import ControlConfig

#: Reasons that speak of a broken sender: the robot holds until a good chunk comes.
BROKEN = frozenset(
    ('other_robot', 'not_finite', 'malformed', 'wrong_names', 'too_long', 'exploding')
)
_ROOM = 5.0  # no pose farther from the base makes sense [m]


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
    chunk: ActionChunk,
    mode: Mode,
    joint_time: float | None,
    instruction: str | None,
    person: bool = False,
) -> Refusal | None:
    """Refuse every chunk while none can be used, and one for another task.

    Args:
        chunk: The chunk.
        mode: What the operator asked for.
        joint_time: Stamp of the newest joint state [s], None without one.
        instruction: The present task in words, None if any will do.
        person: Whether a person holds on to a latent code.
    """
    if chunk.source == 'teleop':
        if mode not in (Mode.POLICY, Mode.TELEOP) or not person:
            return Refusal('mode', 'nobody holds on to a latent code')
        instruction = None
    elif mode is not Mode.POLICY:
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


def refuse_speed(
    chunk: ActionChunk, embodiment: Embodiment, config: ControlConfig
) -> Refusal | None:
    """Refuse a chunk that asks for many times the speed that is allowed: its maker has failed.

    A checked chunk is expected. Ordinary haste is not refused: the limiter slows it down.
    """
    with np.errstate(over='ignore'):  # infinitely fast is too fast
        rate, most = _speeds(chunk, embodiment)
        worst = float(np.max(rate / most, initial=0.0))
    if worst <= config.exploding_ratio:
        return None
    return Refusal(
        'exploding',
        f'chunk {chunk.sequence} asks for {worst:.3g} times the speed allowed; the decoder or its '
        'norm stats are wrong',
    )


def _speeds(chunk: ActionChunk, embodiment: Embodiment) -> tuple[np.ndarray, np.ndarray]:
    """Speeds that the rows ask for (m, k) and the largest allowed (k,), without the gripper."""
    space = action_space(chunk.action_space)
    count = len(embodiment.action_names(chunk.action_space)) - bool(embodiment.gripper)
    rows = chunk.data[:, :count]
    if embodiment.kind == 'base':
        return np.abs(rows), embodiment.limits.velocity
    steps = rows if space.relative else np.diff(rows, axis=0)
    if not space.cartesian:
        rate = np.abs(steps) / chunk.step_duration_s
        # Where to set out from is the seam's affair, but not a place far outside the robot.
        if not space.relative:
            outside = np.abs(rows) - 4.0 * np.pi
            rate = np.concatenate([rate, np.where(outside > 0.0, np.inf, 0.0)])
        return rate, embodiment.limits.velocity
    if not space.relative:
        turning = np.zeros((len(steps), 1))  # rotation vectors may flip by a whole turn
        far = np.where(np.linalg.norm(rows[:, :3], axis=1) > _ROOM, np.inf, 0.0)[:, None]
    else:
        turning = np.linalg.norm(steps[:, 3:6], axis=1, keepdims=True)
        far = np.zeros((0, 1))
    moving = np.linalg.norm(steps[:, :3], axis=1, keepdims=True)
    rate = np.hstack([moving, turning]) / chunk.step_duration_s
    rate = np.concatenate([rate, np.hstack([far, np.zeros_like(far)])])
    cartesian = embodiment.cartesian
    most = (cartesian.ee_speed, cartesian.ee_rotation) if cartesian else (1.0, 2.5)
    return rate, np.array(most)


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
