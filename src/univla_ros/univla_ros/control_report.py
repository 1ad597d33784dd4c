"""What the controller tells: `control_state` and its statuses on `/diagnostics`."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

from univla_control.command import Command
from univla_control.command import ControllerStatus
from univla_control.command import Mode

from univla_msgs.msg import ControlState
from univla_ros.conversions import header_to_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import WARN
from univla_ros.diagnostics import Diagnostics


def control_state_to_msg(
    status: ControllerStatus,
    stamp: float,
    joint_names: Sequence[str],
    command: Command | None,
    *,
    commands: int,
    bad_chunks: int,
    speed_scale: float,
) -> ControlState:
    """Message of a controller's state.

    Args:
        status: State of the chunk controller.
        stamp: Time of the report [s].
        joint_names: Names of the commanded axes.
        command: The last command sent, None before the first.
        commands: Commands sent since activation.
        bad_chunks: Messages that were no chunk at all.
        speed_scale: Factor on all speeds in [0, 1].
    """
    fields = control_state_fields(
        status,
        joint_names,
        command,
        commands=commands,
        bad_chunks=bad_chunks,
        speed_scale=speed_scale,
    )
    return ControlState(header=header_to_msg(stamp), **fields)


def control_state_fields(
    status: ControllerStatus,
    joint_names: Sequence[str],
    command: Command | None,
    *,
    commands: int,
    bad_chunks: int,
    speed_scale: float,
) -> dict[str, Any]:
    """Fields of `ControlState` but for its header; arguments as `control_state_to_msg`."""
    nothing = array.array('d')
    return {
        'mode': int(status.mode),
        'control_source': status.source,
        'fault': status.fault,
        'fault_reason': status.fault_reason,
        'estop_reason': status.estop_reason,
        'teleop_input': status.teleop_input,
        'speed_scale': speed_scale,
        'robot': status.robot,
        'instruction': status.instruction,
        'chunk_sequence': status.chunk_sequence,
        'latent_sequence': status.latent_sequence,
        'chunk_step': status.chunk_step,
        'observation_age': status.observation_age,
        'chunk_age': status.chunk_age,
        'joint_state_age': status.joint_state_age,
        'plan_latency': status.plan_latency,
        'decode_latency': status.decode_latency,
        'chain_latency': status.chain_latency,
        'control_rate': status.control_rate,
        'limit_use': status.limit_use,
        'held_back': status.held_back,
        'commands_sent': commands,
        'chunks_received': status.chunks_received + bad_chunks,
        'chunks_dropped': status.chunks_dropped + bad_chunks,
        'joint_names': list(joint_names),
        'command_position': array.array('d', command.positions.tolist()) if command else nothing,
        'command_velocity': array.array('d', command.velocities.tolist()) if command else nothing,
    }


def report_controller(
    diagnostics: Diagnostics, status: ControllerStatus, expected_hz: float, counts: dict[str, int]
) -> None:
    """Set the statuses `controller` and `safety`.

    Args:
        diagnostics: Of the node.
        status: State of the chunk controller.
        expected_hz: Control rate that was asked for [Hz].
        counts: More counters to show.
    """
    values: dict[str, object] = {
        'rate [Hz]': status.control_rate,
        'expected rate [Hz]': expected_hz,
        'chain latency [s]': status.chain_latency,
        'observation age [s]': status.observation_age,
        'joint state age [s]': status.joint_state_age,
        **counts,
        **{f'dropped: {reason}': count for reason, count in status.dropped.items()},
    }
    text = f'{status.mode.name}, {status.source}'
    slow = status.control_rate < 0.9 * expected_hz
    if status.fault:
        diagnostics.set('controller', WARN, status.fault_reason or status.fault, values)
    elif slow:
        text = f'runs at {status.control_rate:.1f} Hz instead of {expected_hz:.0f}; free the CPU'
        diagnostics.set('controller', WARN, text, values)
    else:
        diagnostics.set('controller', OK, text, values)
    _report_safety(diagnostics, status)


def _report_safety(diagnostics: Diagnostics, status: ControllerStatus) -> None:
    values = {
        'limit use': status.limit_use,
        'limit': status.limit_name,
        'held back by': status.held_back or 'nothing',
        'ticks braked': status.braked,
        'gave way to the arm': status.gave_way,
        'clock jumps': status.clock_jumps,
        'teleop input': status.teleop_input or 'none',
    }
    if status.mode is Mode.ESTOP:
        text = f'emergency stop: {status.estop_reason}; reset_estop ends it'
        diagnostics.set('safety', ERROR, text, values)
    elif status.fault:
        diagnostics.set('safety', WARN, f'{status.source} because of {status.fault}', values)
    elif status.held_back:
        diagnostics.set('safety', WARN, f'held back by {status.held_back}', values)
    else:
        diagnostics.set('safety', OK, 'inside all limits', values)
