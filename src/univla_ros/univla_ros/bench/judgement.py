"""What one trial came to, and whether that is as it must be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from univla_ros.bench import timing
from univla_ros.bench.timing import Said

#: A measured robot may overshoot its commands, but no further than to this share of its velocity
#: limit: a command that jumps would be seen here even if it was not heard.
MEASURED_SHARE = 1.25
#: Rounding of float32 in driver messages, as a share of an acceleration limit.
ROUNDING = 2e-3


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of one injection; times are in seconds, NaN where the event never came.

    Attributes:
        at: When it was injected [s, system time].
        began: When the fault began [s, system time].
        safe: When the robot was safe [s, system time].
        time_to_safe: From the beginning of the fault.
        from_injection: From the act of injecting it.
        reaction: From the beginning of the fault to the first command that is not the policy's.
        detected: The fault that `control_state` reported.
        reason: The same in words.
        limit_use: Largest share of a limit that any command used.
        limit: Which limit that was.
        measured_use: Largest share of a velocity limit that the measured robot used.
        recovery: From healing, or from the injection of what heals by itself, until the policy
            moved the robot again.
        problems: What was not as it must be.
        own_gap: Longest silence of what the bench itself said steadily, as a person's gamepad.
    """

    at: float
    began: float
    safe: float
    time_to_safe: float
    from_injection: float
    reaction: float
    detected: str
    reason: str
    limit_use: float
    limit: str
    measured_use: float
    recovery: float
    problems: tuple[str, ...] = ()
    own_gap: float = 0.0


def reported(states: list[Said], expected: tuple[str, ...]) -> Said:
    """The state that named the fault: an expected name, else the first that stopped the policy."""
    for said in states:
        if said.fault in expected:
            return said
    for said in states:
        if said.fault and said.source != 'policy':
            return said
    return Said(time=math.nan, source='')


def judge(trial: Trial, expected: tuple[str, ...], limit_s: float) -> tuple[str, ...]:
    """What was not as it must be: never safe, too late, not named, or beyond a limit."""
    problems = []
    if math.isnan(trial.time_to_safe):
        problems.append('never safe')
    elif trial.time_to_safe > limit_s:
        problems.append(
            f'safe after {1000.0 * trial.time_to_safe:.0f} ms, limit {1000.0 * limit_s:.0f} ms'
        )
    if expected and trial.detected not in expected:
        problems.append(f'reported {trial.detected or "nothing"}, not {" or ".join(expected)}')
    if trial.limit_use > 1.0 + ROUNDING:
        problems.append(f'{100.0 * trial.limit_use:.0f} % of the limit on {trial.limit}')
    if trial.measured_use > MEASURED_SHARE:
        problems.append(f'the robot moved at {100.0 * trial.measured_use:.0f} % of its speed')
    return tuple(problems)


def relapse(states: list[Said], taken: float, healed: float) -> list[str]:
    """Whether the policy moved the robot again before the fault was healed."""
    again = timing.first_said(states, taken, lambda said: said.source == 'policy')
    if again is None or again.time > healed:
        return []
    return [f'the policy was back {1000.0 * (again.time - taken):.0f} ms later, not yet healed']
