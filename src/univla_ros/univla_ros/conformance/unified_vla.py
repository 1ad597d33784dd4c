"""Layout of the unified VLA's conformance data."""

from __future__ import annotations

from pathlib import Path

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.unified_vla_arithmetic import check_arithmetic
from univla_ros.conformance.unified_vla_fast import check_fast
from univla_ros.conformance.unified_vla_model import check_model
from univla_ros.conformance.unified_vla_sequences import check_sequences
from univla_ros.conformance.unified_vla_vision import check_vision

MARKS = ('fast_cases.json', 'fast_tokenizers', 'tiny_emu3.safetensors', 'vision_vq.npz')


def detect(folder: Path) -> bool:
    """Whether the folder has this layout, perhaps incompletely."""
    return sum((folder / mark).exists() for mark in MARKS) >= 2


def check(folder: Path, rows: Rows) -> None:
    """Compare everything in the folder."""
    rows.archive(
        'arrays', folder / 'fixtures.npz', lambda archive: _check_fixtures(folder, rows, archive)
    )
    check_vision(folder, rows)


def _check_fixtures(folder: Path, rows: Rows, archive: Archive) -> None:
    for name, part in (
        ('FAST', check_fast),
        ('arithmetic', check_arithmetic),
        ('sequences', check_sequences),
        ('model', check_model),
    ):
        with rows.section(f'{name}/*'):
            part(folder, rows, archive)
