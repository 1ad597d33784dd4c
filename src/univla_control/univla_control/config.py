"""Parameters of the controller."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.parameters import parameter

from univla_control.safety_limits import SafetySettings


@dataclass(frozen=True, kw_only=True)
class ControlConfig(SafetySettings):
    """How chunks are executed; the limits themselves belong to the embodiment."""

    control_rate_hz: float = parameter(60.0, 'Rate of driver commands [Hz]', low=10.0, high=1000.0)
    chunk_timeout_s: float = parameter(
        0.5,
        'Silence of the policy, past the end of its chunk, until hold [s]',
        low=0.05,
        high=10.0,
    )
    heartbeat_timeout_s: float = parameter(
        0.07,
        'Silence of policy or decoder until hold [s]; 0 trusts chunks of nodes without heartbeat',
        low=0.0,
        high=5.0,
    )
    joint_state_timeout_s: float = parameter(
        0.075, 'Age of the joint state from which the robot holds [s]', low=0.02, high=5.0
    )
    clock_jump_s: float = parameter(
        0.5, 'Leap of the clock between two ticks that makes all stamps void [s]', low=0.1
    )
    hold_settle_s: float = parameter(
        0.2, 'Rest before a hold moves on to the measured joints [s]', low=0.0, high=10.0
    )
    hold_tolerance_rad: float = parameter(
        0.02,
        'Distance of command and joint that a hold leaves as it is [rad]',
        low=0.001,
        high=1.0,
    )
    teleop_timeout_s: float = parameter(
        0.08, "Silence of a person's input until it counts as released [s]", low=0.02, high=2.0
    )
    hand_back: str = parameter(
        'policy',
        'Who goes on when a person who took over lets go in mode POLICY',
        choices=('policy', 'hold'),
    )
    teleop_inputs: list[str] = parameter(
        ['joy', 'twist', 'joint_trajectory', 'latent_code'],
        'Inputs of a person that are listened to, by priority: the first living one moves',
    )
    catch_up_share: float = parameter(
        0.3,
        'Share of the velocity limits at which the robot first goes to where a leader arm is',
        low=0.01,
        high=1.0,
    )
    exploding_ratio: float = parameter(
        10.0, 'A chunk that asks for so many times the speed allowed is refused', low=1.0
    )
    seam_blend_s: float = parameter(
        0.15, 'Shortest time in which the motion passes to a new chunk [s]', low=0.0, high=2.0
    )
    look_ahead_s: float = parameter(
        0.0, 'How far ahead the reference is aimed at [s]; 0 follows the limits', low=0.0, high=0.5
    )
    delta_lag_rad: float = parameter(
        0.1,
        'Increments start from the command at the stamp, at most this far from the joint [rad]; '
        '0 starts from the measured joints',
        low=0.0,
        high=1.0,
    )
    history_s: float = parameter(
        3.0, 'Joint states kept for chunks of increments [s]', low=0.2, high=60.0
    )
    future_tolerance_s: float = parameter(
        0.1, 'How far a stamp may lie ahead of the clock [s]', low=0.0, high=5.0
    )
    longest_chunk_s: float = parameter(
        10.0, 'Longest span of a chunk that is accepted [s]', low=0.1, high=600.0
    )
    give_way_rad: float = parameter(
        0.2, 'Distance by which a held arm must be moved for the hold to give way [rad]', low=0.01
    )
    give_way_after_s: float = parameter(
        0.5, 'How long that distance must last [s]', low=0.0, high=60.0
    )
    unreachable_m: float = parameter(
        0.005, 'Distance to a target pose reported as unreachable [m]', low=1e-4, high=1.0
    )
    unreachable_rad: float = parameter(
        0.05, 'Angle to a target pose reported as unreachable [rad]', low=1e-3, high=3.0
    )
