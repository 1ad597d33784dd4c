"""One row per robot: what was planned, how fast, inside which limits, and how it ended."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
from univla_control.limits_report import LimitsReport
from univla_control.limits_report import check_commands
from univla_core.embodiment import Embodiment

from univla_ros.demo.observer import RobotObserver
from univla_ros.demo.stall_watch import stalled

#: Driver messages carry float32, which rounds accelerations by less than this share.
_ROUNDING = 2e-3
_MIN_RATE_HZ, _MAX_GAP_PERIODS = 50.0, 2.0


def summarize(observer: RobotObserver, facts: dict[str, Any]) -> dict[str, Any]:
    """The JSON row of one robot.

    `ok` tells whether the loop did its duty: it planned, commanded at 50 Hz or more without a
    gap above two periods, and kept every limit. Of a gap, the time that the machine itself stood
    still is not counted; both figures are in the row. Whether the task succeeded stands beside it.
    """
    embodiment = observer.embodiment
    row: dict[str, Any] = {'robot': embodiment.name, **facts}
    row['plans'] = len(observer.plans)
    row['plan_rate_hz'] = _rate(observer.plan_times)
    row['codes'] = [list(codes) for codes, _ in Counter(observer.plans).most_common(4)]
    row['distinct_plans'] = len(set(observer.plans))
    row['plan_latency_ms'] = _quantiles(observer.plan_latencies)
    row['chain_latency_ms'] = _quantiles(list(observer.chain_latencies.values()))
    row['chunks_executed'] = len(observer.chain_latencies)
    row['faults'] = dict(observer.faults)
    row.update(_control(embodiment, observer))
    row['outcome'] = dict(observer.outcome)
    row['problems'] = _problems(row)
    row['ok'] = not row['problems']
    return row


def limits_of(observer: RobotObserver) -> LimitsReport | None:
    """Recorded commands against the robot's limits; None without commands."""
    if len(observer.commands.values) < 3:
        return None
    period = 1.0 / observer.embodiment.control_rate_hz
    return check_commands(observer.embodiment, np.array(observer.commands.values), period)


def _control(embodiment: Embodiment, observer: RobotObserver) -> dict[str, Any]:
    report = limits_of(observer)
    if report is None:
        return {'commands': len(observer.commands.values), 'limits': None}
    gaps = observer.commands.gaps()
    own = gaps - _stalled_in_gaps(observer)
    return {
        'commands': len(observer.commands.values),
        'control_rate_hz': float(1.0 / gaps.mean()),
        'largest_gap_periods': float(gaps.max() * embodiment.control_rate_hz),
        'largest_own_gap_periods': float(own.max() * embodiment.control_rate_hz),
        'machine_stalls': len(observer.stalls),
        'longest_machine_stall_ms': 1000.0 * max((b - a for a, b in observer.stalls), default=0.0),
        'limits': {
            'ok': bool(report.finite and report.shares.largest <= 1.0 + _ROUNDING),
            'position': float(report.shares.position.max()),
            'velocity': float(report.shares.velocity.max()),
            'acceleration': float(report.shares.acceleration.max()),
            'largest_of_maker': report.maker_shares.largest,
            'worst': str(report),
        },
    }


def _stalled_in_gaps(observer: RobotObserver) -> np.ndarray:
    """How much of each gap between commands the machine itself stood still [s]."""
    times = observer.commands.times
    return np.array(
        [stalled(observer.stalls, begin, end) for begin, end in itertools.pairwise(times)]
    )


def _problems(row: dict[str, Any]) -> list[str]:
    problems = []
    if not row['plans'] or not row['chunks_executed']:
        problems.append('the policy made no plan that was executed')
    if not row['limits']:
        return [*problems, 'no commands were sent to the driver']
    if not row['limits']['ok']:
        problems.append(f'commands left the limits: {row["limits"]["worst"]}')
    if row['control_rate_hz'] < _MIN_RATE_HZ:
        problems.append(f'control rate {row["control_rate_hz"]:.1f} Hz is below {_MIN_RATE_HZ} Hz')
    if row['largest_own_gap_periods'] > _MAX_GAP_PERIODS:
        problems.append(
            f'longest gap between commands was {row["largest_gap_periods"]:.1f} periods, more '
            f'than {_MAX_GAP_PERIODS} even without the time that the machine stood still'
        )
    return problems


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    array = 1000.0 * np.array(values)
    return {
        'median': float(np.median(array)),
        'p99': float(np.quantile(array, 0.99)),
        'max': float(array.max()),
        'count': len(values),
    }


def _rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
