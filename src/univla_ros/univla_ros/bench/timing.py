"""Times of faults and of safety, worked out from recorded streams.

All times are seconds of system time: the source time stamps that the middleware gives a message
when it is published, and the bench's own clock for what it does itself. Both are one clock, as
everything runs on one machine.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from univla_control.limits_report import check_commands
from univla_core.embodiment import Embodiment

from univla_ros.command_recorder import CommandRecorder

#: Commands further apart than this are two streams, with a silence between them [periods].
GAP_PERIODS = 2.5
#: From this gap on a command may have been said that was not heard [control periods].
MISSING_PERIODS = 1.6
#: Time over which measured joints are differentiated [s].
_SPAN_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Said:
    """One `control_state`, as far as the bench needs it.

    Attributes:
        time: When it was published [s].
        mode: One of the MODE_ constants.
        source: Who commands: `policy`, `teleop`, `hold` or `none`.
        fault: Name of the active fault; `estop` while the emergency stop is latched.
        reason: The fault in words.
        instruction: Task of the chunk being executed.
    """

    time: float
    source: str
    mode: int = 1
    fault: str = ''
    reason: str = ''
    instruction: str = ''


def period_of(times: Sequence[float]) -> float:
    """Usual time between the messages of a stream [s]; NaN with fewer than two."""
    return float(np.median(np.diff(times))) if len(times) > 1 else math.nan


def next_due(times: Sequence[float]) -> float:
    """When the message after the last one of a stream should have come [s]."""
    return times[-1] + period_of(times) if len(times) > 1 else math.nan


def first_after(times: Sequence[float], begin: float) -> float:
    """The first of these times not before `begin` [s]; NaN if there is none."""
    return next((time for time in times if time >= begin), math.nan)


def first_said(
    states: Sequence[Said], begin: float, condition: Callable[[Said], bool]
) -> Said | None:
    """The first state not before `begin` that meets a condition."""
    return next((said for said in states if said.time >= begin and condition(said)), None)


def settled_said(
    states: Sequence[Said], begin: float, deadline: float, condition: Callable[[Said], bool]
) -> Said | None:
    """As `first_said`, but the last such state that the policy did not leave by `deadline`.

    A robot may have stopped a moment earlier for another reason, a busy computer for one, and
    gone on before the fault at hand stopped it: then the second stop is the one to time.
    """
    said = first_said(states, begin, condition)
    while said is not None:
        again = first_said(states, said.time, lambda s: s.source == 'policy')
        later = first_said(states, again.time, condition) if again is not None else None
        if again is None or again.time > deadline or later is None:
            return said
        said = later
    return None


def confirmed(said: Said, commands: CommandRecorder, period_s: float) -> float:
    """When the first command of a new control source went out [s].

    State and command of one tick are published one after the other, in either order: the command
    is the first one later than half a period before the state. A source that has fallen silent
    counts from its state on.
    """
    command = first_after(commands.times, said.time - 0.5 * period_s)
    if math.isnan(command) or command > said.time + GAP_PERIODS * period_s:
        return said.time
    return max(said.time, command)


def first_rest(
    times: Sequence[float], speeds: Sequence[float], begin: float, slow: float
) -> float:
    """When a motion first stood still, not before `begin` [s]; NaN if it never did.

    Args:
        times: Of the samples [s], (n,).
        speeds: Speed at each sample, as a share of the limit, (n,).
        begin: Samples before are not looked at [s].
        slow: Speeds up to this count as standing.
    """
    samples = zip(times, speeds, strict=True)
    return next((time for time, speed in samples if time >= begin and speed <= slow), math.nan)


def final_rest(
    times: Sequence[float], speeds: Sequence[float], begin: float, slow: float
) -> float:
    """When a motion came to the rest that lasts to the end of the record [s]; else NaN.

    Arguments as of `first_rest`.
    """
    rest = math.nan
    for time, speed in zip(times, speeds, strict=True):
        if time < begin:
            continue
        if speed > slow:
            rest = math.nan
        elif math.isnan(rest):
            rest = time
    return rest


def speeds_of(embodiment: Embodiment, commands: CommandRecorder) -> np.ndarray:
    """Speed of each command as the largest share of a velocity limit, shape (n,).

    Joint targets are differentiated over one control period, as drivers take them.
    """
    values = np.array(commands.values, dtype=float).reshape(-1, embodiment.axis_count)
    if embodiment.kind == 'arm':
        steps = np.diff(values, axis=0, prepend=values[:1])
        values = steps * embodiment.control_rate_hz
    return np.abs(values / embodiment.limits.velocity).max(axis=1, initial=0.0)


def measured_speeds(embodiment: Embodiment, measured: CommandRecorder) -> CommandRecorder:
    """Speed of the measured robot as the largest share of a velocity limit, and when.

    Joint angles are differentiated over `_SPAN_S` or more: messages come at uneven times.

    Returns:
        Times [s] and shares, each of shape ().
    """
    speeds = CommandRecorder()
    last = 0
    for index, (time, value) in enumerate(zip(measured.times, measured.values, strict=True)):
        if embodiment.kind == 'arm':
            elapsed = time - measured.times[last]
            if elapsed < _SPAN_S:
                continue
            value = (value - measured.values[last]) / elapsed
            last = index
        speeds.times.append(time)
        speeds.values.append(np.abs(value / embodiment.limits.velocity).max())
    return speeds


def streams(commands: CommandRecorder, period_s: float) -> list[CommandRecorder]:
    """The unbroken pieces of a command stream, cut where a command may be missing.

    Across a command that was not heard, differences say nothing about jerk.
    """
    cuts = np.flatnonzero(commands.gaps() > MISSING_PERIODS * period_s) + 1
    edges = [0, *cuts.tolist(), len(commands.times)]
    return [
        CommandRecorder(commands.times[a:b], commands.values[a:b])
        for a, b in itertools.pairwise(edges)
        if b > a
    ]


def limit_use(embodiment: Embodiment, commands: CommandRecorder) -> tuple[float, str]:
    """The largest share of a limit that any command used, and which; infinite if not finite."""
    period_s = 1.0 / embodiment.control_rate_hz
    largest, words = 0.0, ''
    for piece in streams(commands, period_s):
        values = np.array(piece.values)
        report = check_commands(_from_where_it_was(embodiment, values[0]), values, period_s)
        share = report.shares.largest if report.finite else math.inf
        if share >= largest:
            largest, words = share, ' '.join(map(str, report.worst[:2]))
    return largest, words


def _from_where_it_was(embodiment: Embodiment, first: np.ndarray) -> Embodiment:
    """The robot with position limits that reach to where a stream had to begin.

    A stream begins at the measured joints; outside the limits it may only lead back.
    """
    if embodiment.kind != 'arm':
        return embodiment
    limits = embodiment.limits
    reaching = dataclasses.replace(
        limits, lower=np.minimum(limits.lower, first), upper=np.maximum(limits.upper, first)
    )
    return dataclasses.replace(embodiment, limits=reaching)


def share_of_time(states: Sequence[Said], end: float, source: str) -> float:
    """Share of the time from the first state to `end` [s] in which `source` commanded."""
    if not states or end <= states[0].time:
        return 0.0
    ends = [*(said.time for said in states[1:]), end]
    spent = sum(
        b - said.time for said, b in zip(states, ends, strict=True) if said.source == source
    )
    return spent / (end - states[0].time)
