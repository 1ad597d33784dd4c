"""Layout of the UniVLA conformance data."""

from __future__ import annotations

from pathlib import Path

from univla_ros.conformance.rows import Rows
from univla_ros.conformance.univla_arithmetic import check_arithmetic
from univla_ros.conformance.univla_heads import check_heads
from univla_ros.conformance.univla_lam import check_lam
from univla_ros.conformance.univla_pictures import check_pictures
from univla_ros.conformance.univla_policy import check_policy

MARKS = ('policy_cases.json', 'policy_cases.npz', 'lam_stage2', 'image_processor.npz')


def detect(folder: Path) -> bool:
    """Whether the folder has this layout, perhaps incompletely."""
    return sum((folder / mark).exists() for mark in MARKS) >= 2


def check(folder: Path, rows: Rows) -> None:
    """Compare everything in the folder."""
    check_policy(folder, rows)
    check_heads(folder, rows)
    check_arithmetic(folder, rows)
    check_pictures(folder, rows)
    check_lam(folder, rows)
