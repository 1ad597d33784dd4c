"""What the controller says: one command per period, and how it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Mode(IntEnum):
    """What the operator asked for; numbers as in `univla_msgs/ControlState`.

    2 and 4 are kept for teleoperation and the emergency stop.
    """

    IDLE = 0
    POLICY = 1
    HOLD = 3


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
        source: `policy` or `hold`.
        limit_use: Largest share of a position, velocity or acceleration limit in use.
        chunk_sequence: Number of the chunk being executed, 0 if none.
        chunk_step: Row of that chunk being executed, -1 if none.
        reanchored: The arm was found elsewhere at rest; this command restarts from there.
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
    reanchored: bool = False


@dataclass(frozen=True, kw_only=True)
class ControllerStatus:
    """State of the controller, field by field what `univla_msgs/ControlState` reports.

    Ages and latencies are in seconds, NaN before there is anything to measure.

    Attributes:
        source: `policy`, `hold` or `none`.
        fault: Short name, empty if none: `no_chunk`, `stale_joint_state`, `clock_jump`,
            `unreachable`.
        fault_reason: The same in words, with what to do.
        observation_age: Age of the observation behind the chunk being executed.
        chunk_age: Time since that chunk was received.
        chain_latency: Stamp of the newest adopted chunk to the first command that used it.
        control_rate: Measured rate of `step` [Hz].
        dropped: Chunks dropped, counted by reason.
        clock_jumps: How often time ran backwards.
        reanchored: How often the arm was found elsewhere at rest.
        braked: Ticks in which an axis braked to stay inside its position limits.
    """

    mode: Mode
    source: str
    fault: str
    fault_reason: str
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
    commands_sent: int
    chunks_received: int
    chunks_dropped: int
    dropped: Mapping[str, int]
    clock_jumps: int
    reanchored: int
    braked: int
