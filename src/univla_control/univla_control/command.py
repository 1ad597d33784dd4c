"""What the controller says: one command per period, and how it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Mode(IntEnum):
    """What the operator asked for; numbers as in `univla_msgs/ControlState`."""

    IDLE = 0
    POLICY = 1
    TELEOP = 2
    HOLD = 3
    ESTOP = 4


@dataclass(frozen=True, kw_only=True)
class Command:
    """One set-point for the driver.

    Attributes:
        time: Time of the tick [s].
        positions: Joint targets [rad], shape (n,); shape (0,) for a base.
        velocities: Joint velocities [rad/s], or the twist of a base [m/s, rad/s], shape (n,).
        accelerations: Their derivatives, shape (n,).
        gripper_opening: Opening in [0, 1], None without a gripper or before one is known.
        twist: Linear x [m/s] and angular z [rad/s] of a base, None for an arm.
        source: `policy`, `teleop` or `hold`.
        limit_use: Largest share of a position, velocity or acceleration limit in use.
        chunk_sequence: Number of the chunk being executed, 0 if none.
        chunk_step: Row of that chunk being executed, -1 if none.
        held_back: Bound that held this command back, such as `workspace`; empty if none did.
    """

    time: float
    positions: np.ndarray
    velocities: np.ndarray
    accelerations: np.ndarray
    gripper_opening: float | None
    twist: tuple[float, float] | None
    source: str
    limit_use: float
    chunk_sequence: int
    chunk_step: int
    held_back: str = ''


@dataclass(frozen=True, kw_only=True)
class ControllerStatus:
    """State of the controller, field by field what `univla_msgs/ControlState` reports.

    Ages and latencies are in seconds, NaN before there is anything to measure.

    Attributes:
        source: `policy`, `teleop`, `hold` or `none`.
        fault: Short name, empty if none; `docs/safety.md` lists them.
        fault_reason: The same in words, with what to do.
        estop_reason: Why the emergency stop is latched, empty if it is not.
        teleop_input: Input through which a person asks for motion now, empty if none.
        limit_name: Limit that `limit_use` is about.
        held_back: Bound that held the last command back, empty if none did.
        observation_age: Age of the observation behind the chunk being executed.
        chunk_age: Time since that chunk was received.
        chain_latency: Stamp of the newest adopted chunk to the first command that used it.
        control_rate: Measured rate of `step` [Hz].
        dropped: Chunks dropped, counted by reason.
        clock_jumps: How often time ran backwards.
        gave_way: How often a hold passed to the measured joints.
        braked: Ticks in which an axis braked to stay inside its position limits.
    """

    mode: Mode
    source: str
    fault: str
    fault_reason: str
    estop_reason: str
    teleop_input: str
    robot: str
    instruction: str
    chunk_sequence: int
    latent_sequence: int
    chunk_step: int
    observation_age: float
    chunk_age: float
    joint_state_age: float
    plan_latency: float
    decode_latency: float
    chain_latency: float
    control_rate: float
    limit_use: float
    limit_name: str
    held_back: str
    commands_sent: int
    chunks_received: int
    chunks_dropped: int
    dropped: Mapping[str, int]
    clock_jumps: int
    gave_way: int
    braked: int
