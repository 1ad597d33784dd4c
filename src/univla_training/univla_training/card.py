"""The model card: what a checkpoint was made of, what it can do, where it fails."""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from univla_core.errors import TrainingError

from univla_training.run import TrainingRun
from univla_training.training_state import write_atomically

NAME = 'model_card.md'
LIMITS = (
    'Learned in simulation only, with the randomisation of `univla_sim`; not for a real robot.',
    'Knows the tasks, objects and words of its data, and one camera for each robot.',
)
RATES = ('robot', 'task', 'policy', 'shift', 'episodes', 'successes', 'rate', 'ci_low', 'ci_high')


def write_card(
    folder: Path,
    run: TrainingRun,
    *,
    title: str,
    results: Path | None = None,
    limits: Sequence[str] = LIMITS,
    notes: str = '',
) -> Path:
    """Write `model_card.md` beside a checkpoint.

    Args:
        folder: The checkpoint.
        run: Where it comes from; the results of its stages are listed.
        title: Its heading.
        results: JSON of `./univla eval --json`.
        limits: What it cannot do, one sentence each.
        notes: Paragraphs after the heading.

    Raises:
        TrainingError: If the results cannot be read.
    """
    stages = {
        str(path.parent.relative_to(run.out)): json.loads(path.read_text(encoding='utf-8'))
        for path in sorted(run.out.rglob('result.json'))
    }
    head = {'trained': True, 'recipe': run.recipe.name, 'seed': run.seed, 'license': 'apache-2.0'}
    parts = [
        f'---\n{yaml.safe_dump(head, sort_keys=False)}---',
        f'# {title}',
        *([notes] if notes else []),
        '## Data',
        _table(run.store.describe(), ('robot', 'task', 'episodes', 'frames', 'clean')),
        f'Episodes of `{run.data}`, made by scripted experts in simulation. `clean`: frames whose '
        'actions were imitated.',
        '## Training',
        f'Recipe `{run.recipe.name}`, seed {run.seed}, on {run.device}. Versions: '
        + ', '.join(f'{k} {v}' for k, v in run.provenance()['versions'].items())
        + '.',
        _code(_commands(run, stages)),
        _table([_figures(name, stage) for name, stage in stages.items()]),
        '## Results',
        _results(results),
        '## Limits',
        '\n'.join(f'- {limit}' for limit in limits),
        '## Settings',
        _code([yaml.safe_dump(run.recipe.document(), sort_keys=False).rstrip()], 'yaml'),
    ]
    path = folder / NAME
    text = '\n\n'.join(part for part in parts if part) + '\n'
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _commands(run: TrainingRun, stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    said = [
        command
        for stage in stages.values()
        for command in stage.get('provenance', {}).get('commands', ())
    ]
    return list(dict.fromkeys([*said, *run.commands]))


def _figures(name: str, stage: Mapping[str, Any]) -> dict[str, Any]:
    """The plain numbers of a stage's result, as one line."""
    plain = [
        f'{key} {_cell(value)}'
        for key, value in stage.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return {'stage': name, 'figures': ', '.join(plain)}


def _results(path: Path | None) -> str:
    if path is None:
        return 'Not measured yet: `./univla eval --checkpoint … --json …`.'
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
        rows = [{key: row[key] for key in RATES if key in row} for row in document['results']]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f'{path}: no results of `./univla eval --json` ({error!r}); give that file'
        ) from error
    return _table(rows) + '\n\nClosed loop in simulation; 95 % Wilson intervals.'


def _table(rows: Sequence[Mapping[str, Any]], names: Iterable[str] = ()) -> str:
    columns = list(names) or list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        return ''
    lines = [columns, ['---'] * len(columns)]
    lines += [[_cell(row.get(name, '')) for name in columns] for row in rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def _cell(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def _code(lines: Sequence[str], language: str = '') -> str:
    return f'```{language}\n' + '\n'.join(lines) + '\n```'
