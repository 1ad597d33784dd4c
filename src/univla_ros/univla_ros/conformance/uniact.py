"""Layout of the UniAct conformance data."""

from __future__ import annotations

from pathlib import Path

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json
from univla_ros.conformance.uniact_codebook import check_codebook
from univla_ros.conformance.uniact_codebook import check_schedule
from univla_ros.conformance.uniact_data import check_data
from univla_ros.conformance.uniact_evaluation import check_evaluation
from univla_ros.conformance.uniact_heads import check_heads
from univla_ros.conformance.uniact_policy import check_policy
from univla_ros.conformance.uniact_reference import Reference

MARKS = ('tiny_vlm_config.json', 'temperature_schedule.json', 'basemodel.safetensors')


def detect(folder: Path) -> bool:
    """Whether the folder has this layout, perhaps incompletely."""
    return sum((folder / mark).exists() for mark in MARKS) >= 2


def check(folder: Path, rows: Rows) -> None:
    """Compare everything in the folder."""
    with rows.section('temperature/temperature_schedule.json'):
        check_schedule(rows, read_json(folder / 'temperature_schedule.json'))
    rows.archive(
        'uniact',
        folder / 'fixtures.npz',
        lambda archive: _check_archive(folder, rows, archive),
    )


def _check_archive(folder: Path, rows: Rows, archive: Archive) -> None:
    reference = Reference(folder, archive)
    for check_part in (check_codebook, check_heads, check_policy, check_data, check_evaluation):
        with rows.section(f'uniact/{check_part.__name__}'):
            check_part(rows, reference)
