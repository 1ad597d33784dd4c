"""From the trials of one fault to one row of the matrix."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from univla_ros.bench.clean_run import CleanRun
from univla_ros.bench.judgement import ROUNDING
from univla_ros.bench.judgement import Trial
from univla_ros.bench.safety import CLEAN
from univla_ros.bench.safety import FALSE_STOP_SHARE

Row = dict[str, Any]


def fault_row(
    robot: str, name: str, trials: Sequence[Trial], limit_s: float, discarded: int = 0
) -> Row:
    """The JSON row of one fault and robot.

    Args:
        robot: Name of the robot.
        name: Name of the fault.
        trials: What came of each repeat, at least one.
        limit_s: Time to be safe in [s].
        discarded: Trials not counted because the machine stood still meanwhile.
    """
    detected = Counter(trial.detected for trial in trials if trial.detected)
    return {
        'robot': robot,
        'name': name,
        'ok': not any(trial.problems for trial in trials),
        'detected': detected.most_common(1)[0][0] if detected else '',
        'reason': next((trial.reason for trial in trials if trial.reason), ''),
        'time_to_safe_ms': _ms(_median([trial.time_to_safe for trial in trials])),
        'time_to_safe_max_ms': _ms(_largest([trial.time_to_safe for trial in trials])),
        'limit_ms': 1000.0 * limit_s,
        'from_injection_ms': _ms(_median([trial.from_injection for trial in trials])),
        'reaction_ms': _ms(_median([trial.reaction for trial in trials])),
        'limit_use': _finite(_largest([trial.limit_use for trial in trials])),
        'limit': max(trials, key=lambda trial: trial.limit_use).limit,
        'measured_use': _largest([trial.measured_use for trial in trials]),
        'recovery_s': _finite(_median([trial.recovery for trial in trials])),
        'repeats': len(trials),
        'discarded_trials': discarded,
        'times_ms': [_ms(trial.time_to_safe) for trial in trials],
        'problems': sorted({problem for trial in trials for problem in trial.problems}),
    }


def broken_row(robot: str, name: str, reason: str) -> Row:
    """The row of a fault that could not be tried to the end."""
    empty = dict.fromkeys(
        (
            'time_to_safe_ms',
            'time_to_safe_max_ms',
            'limit_ms',
            'from_injection_ms',
            'reaction_ms',
            'limit_use',
            'measured_use',
            'recovery_s',
        )
    )
    return {
        'robot': robot,
        'name': name,
        'ok': False,
        'detected': '',
        'reason': '',
        **empty,
        'limit': '',
        'repeats': 0,
        'discarded_trials': 0,
        'times_ms': [],
        'problems': [reason],
    }


def clean_row(robot: str, run: CleanRun, stalled_s: float) -> Row:
    """The row of the run without any fault: false stops.

    Args:
        robot: Name of the robot.
        run: What came of it.
        stalled_s: How long the machine stood still meanwhile [s].
    """
    problems = []
    if run.held > FALSE_STOP_SHARE:
        problems.append(
            f'held {100.0 * run.held:.1f} % of the time, at most {100.0 * FALSE_STOP_SHARE:.0f} % '
            f'allowed ({", ".join(run.faults) or "no fault named"}; load {run.load:.1f} a core)'
        )
    if run.limit_use > 1.0 + ROUNDING:
        problems.append(f'{100.0 * run.limit_use:.0f} % of the limit on {run.limit}')
    row = broken_row(robot, CLEAN, '')
    return {
        **row,
        'ok': not problems,
        'detected': ', '.join(run.faults),
        'false_stops': run.held,
        'duration_s': run.end - run.begin,
        'stalled_s': stalled_s,
        'load': run.load,
        'limit_use': _finite(run.limit_use),
        'limit': run.limit,
        'repeats': 1,
        'problems': problems,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or math.isnan(seconds) else round(1000.0 * seconds, 2)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def _largest(values: Sequence[float]) -> float:
    """The largest; not a number if any is none, as that one was never safe."""
    return float(np.max(values))
