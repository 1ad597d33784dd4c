"""From episodes to the rows that are printed and written."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from univla_ros.evaluation.cases import Case
from univla_ros.evaluation.episodes import EpisodeRecord
from univla_ros.evaluation.wilson import wilson

#: Different mistakes of a case that its row tells.
_MOST_ERRORS = 3


def row_of(case: Case, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """The row of a case.

    `ok` says that every episode could be run; one that could not counts neither as an episode nor
    as a failure. Rates are shares in [0, 1], the interval holds the true rate with 95 %.

    Args:
        case: What was run.
        records: Its episodes, by seed.
    """
    good = [record for record in records if not record.error]
    errors = list(dict.fromkeys(r.error for r in records if r.error))
    successes = sum(record.success for record in good)
    low, high = wilson(successes, len(good))
    decisions = [1000.0 * second for record in good for second in record.decision_s]
    row: dict[str, Any] = {
        'robot': case.robot,
        'task': case.task,
        'policy': case.policy,
        'shift': case.shift,
        'checkpoint': case.checkpoint,
        'instruction': 'wrong' if case.wrong else 'own',
        'episodes': len(good),
        'successes': successes,
        'rate': successes / len(good) if good else 0.0,
        'ci_low': low,
        'ci_high': high,
        'mean_duration_s': statistics.fmean(r.duration_s for r in good) if good else 0.0,
        'decision_ms': statistics.median(decisions) if decisions else 0.0,
        'ensembling': case.ensembling,
        'refused_share': _share([r.refused for r in good], [r.plans + r.refused for r in good]),
        'latency_s': case.latency_s,
        'seeds': [records[0].seed, records[-1].seed] if records else [],
        'failed_seeds': [record.seed for record in good if not record.success],
        'errors': sum(bool(record.error) for record in records),
        'ok': len(good) == len(records),
    }
    if case.wrong:
        # `successes` are those on the object that was named, these on the one that was not.
        original = sum(bool(record.original) for record in good)
        low, high = wilson(original, len(good))
        row['original_successes'] = original
        row['original_rate'] = original / len(good) if good else 0.0
        row['original_ci_low'], row['original_ci_high'] = low, high
    if errors:
        row['problems'] = errors[:_MOST_ERRORS]
    return row


def _share(parts: Sequence[int], wholes: Sequence[int]) -> float:
    return sum(parts) / sum(wholes) if sum(wholes) else 0.0


def document_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The JSON object of the whole run."""
    packages = ('torch', 'transformers', 'mujoco', 'ruckig', 'numpy')
    versions = {name: metadata.version(name) for name in packages}
    return {
        'command': 'eval',
        'ok': all(row['ok'] for row in rows),
        'results': list(rows),
        'versions': {'python': platform.python_version(), **versions},
    }
