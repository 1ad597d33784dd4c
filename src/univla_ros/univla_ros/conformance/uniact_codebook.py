"""UniAct's codebook and its temperature against the official numbers."""

from __future__ import annotations

from typing import Any

import torch
from univla_models.uniact_codebook import TemperatureSchedule

from univla_ros.conformance.rows import Rows
from univla_ros.conformance.uniact_reference import Reference

GROUP = 'codebook'
LOGITS, SELECTION = 1e-4, 1e-5
SCHEDULE = 1e-12


def check_schedule(rows: Rows, cases: list[dict[str, Any]]) -> None:
    """Compare the temperature of every soft selection; a hard one does not count."""
    for number, case in enumerate(cases):
        given = case['args']
        schedule = TemperatureSchedule(
            given['max_steps'], given['initial_t'], given['final_t'], given['start_iters']
        )
        wanted = case['temperature_used_by_forward_k']
        got = [schedule.temperature]
        for _ in wanted[1:]:
            schedule.step()
            got.append(schedule.temperature)
        rows.compare(f'temperature/case {number}', got, wanted, SCHEDULE)
        # A firm selection after the last one, which has no way to the schedule.
        last = case['after_one_extra_hard_forward']
        rows.compare(f'temperature/case {number} hard', schedule.temperature, last, SCHEDULE)
    rows.require('temperature', bool(cases), 'temperature_schedule.json')


@torch.inference_mode()
def check_codebook(rows: Rows, reference: Reference) -> None:
    """Compare `vq_*`."""
    archive, book = reference.archive, reference.network().universal_actions_codebook
    logits = book(reference['vq_in'])
    rows.against(GROUP, archive, 'vq_logits', logits, LOGITS)
    firm = book.hard(logits)
    rows.against(GROUP, archive, 'vq_hard_u', firm.vector, SELECTION)
    rows.against(GROUP, archive, 'vq_hard_index', firm.index)
    rows.against(GROUP, archive, 'vq_hard_max', firm.largest, SELECTION)
    rows.against(GROUP, archive, 'vq_entropy', firm.entropy[None], SELECTION)
    for number, temperature in enumerate(reference.meta['taus']):
        prefix = f'vq_soft{number}'
        mixed = book.soft(logits, temperature, reference[f'{prefix}_noise'])
        rows.against(GROUP, archive, f'{prefix}_u', mixed.vector, SELECTION)
        rows.against(GROUP, archive, f'{prefix}_index', mixed.index)
        rows.against(GROUP, archive, f'{prefix}_max', mixed.largest, SELECTION)
