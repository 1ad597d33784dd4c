"""Our models against reference numbers of the official ones.

`run_conformance` takes a folder of conformance data, finds out whose it is and compares every
array in it. A new layout is one module and one line in `LAYOUTS`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from univla_core.errors import ConfigError

from univla_ros.conformance.rows import Row
from univla_ros.conformance.rows import Rows

# Layout name → module with `detect(folder) -> bool` and `check(folder, rows) -> None`.
LAYOUTS = {
    'univla': 'univla_ros.conformance.univla',
    'uniact': 'univla_ros.conformance.uniact',
    'unified_vla': 'univla_ros.conformance.unified_vla',
}

__all__ = ['LAYOUTS', 'Row', 'main', 'run_conformance']


def run_conformance(path: str | Path) -> list[Row]:
    """Compare every array of a folder of conformance data.

    Raises:
        ConfigError: If the folder does not exist or has no known layout.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise ConfigError(f'{folder}: no such folder; give a folder of conformance data')
    for module_name in LAYOUTS.values():
        module = importlib.import_module(module_name)
        if module.detect(folder):
            rows = Rows()
            module.check(folder, rows)
            return rows.rows
    raise ConfigError(
        f'{folder}: not the layout of any known conformance data ({", ".join(LAYOUTS)}); '
        'give the folder that holds its README and arrays'
    )


def main(path: str | Path, json_path: str | Path | None = None) -> int:
    """Print the comparison, write it as JSON if asked to, and return the exit status."""
    rows = run_conformance(path)
    console = Console()
    console.print(_table(rows))
    failed = [row for row in rows if not row.ok]
    verdict = 'all within tolerance' if not failed else f'{len(failed)} beyond tolerance'
    console.print(f'{len(rows)} comparisons, {verdict}')
    if json_path is not None:
        document = {
            'command': 'conformance',
            'ok': not failed,
            'results': [row.as_json() for row in rows],
            'versions': _versions(),
        }
        Path(json_path).write_text(json.dumps(document, indent=1), encoding='utf-8')
    return 1 if failed else 0


def _table(rows: Sequence[Row]) -> Table:
    table = Table('array', 'largest error', 'tolerance', 'verdict', title='Conformance')
    group = None
    for row in rows:
        if group not in (None, row.group):
            table.add_section()
        group = row.group
        verdict = '[green]ok[/]' if row.ok else f'[red]FAIL[/] {row.note}'
        tolerance = 'exact' if row.tolerance == 0.0 else f'{row.tolerance:g}'
        table.add_row(row.name, f'{row.error:.2e}', tolerance, verdict)
    return table


def _versions() -> dict[str, str]:
    return {
        name: importlib.import_module(name).__version__
        for name in ('numpy', 'torch', 'transformers', 'PIL')
    }
