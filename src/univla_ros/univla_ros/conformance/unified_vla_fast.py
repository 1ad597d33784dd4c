"""The FAST action tokenizer against the official ids and chunks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.errors import ActionError
from univla_models.fast_tokenizer import FastTokenizer

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json

GROUP = 'FAST'
CHUNK = 1e-9


def check_fast(folder: Path, rows: Rows, archive: Archive) -> None:
    """Compare `fast_cases.json` with `fast_*`, `fastedge_*`, `fastbatch_*` and `fit_*`."""
    everything = read_json(folder / 'fast_cases.json')
    for name, cases in everything.items():
        if name == 'fit':
            continue
        with rows.section(f'{GROUP}/{name}'):
            tokenizer = FastTokenizer.from_folder(folder / 'fast_tokenizers' / name)
            got = (tokenizer.scale, tokenizer.min_token, tokenizer.num_ids)
            wanted = (cases['scale'], cases['min_token'], cases['vocab_size'])
            rows.compare(f'{GROUP}/{name} settings', got, wanted, 0.0)
            for number, case in enumerate(cases['cases']):
                _check_case(rows, archive, tokenizer, f'fast_{name}_{number}', case)
            for case in cases['edge_cases']:
                _check_edge(rows, archive, tokenizer, f'fastedge_{name}_{case["name"]}', case)
            _check_batch(rows, archive, tokenizer, f'fastbatch_{name}', cases['batch_ids'])
    rows.require(GROUP, len(everything) > 1, 'tokenizers')
    with rows.section(f'{GROUP}/fit_*'):
        _check_fit(rows, archive, everything['fit'])


def _check_case(
    rows: Rows, archive: Archive, tokenizer: FastTokenizer, stem: str, case: Mapping[str, Any]
) -> None:
    ids, chunk = case['ids'], archive[f'{stem}_in']
    rows.compare(f'{GROUP}/{stem} ids', tokenizer.encode_like_original(chunk), ids, 0.0)
    rows.compare(f'{GROUP}/{stem} shape', chunk.shape, (case['T'], case['D']), 0.0)
    decoded = tokenizer.decode_like_original(ids, *chunk.shape)
    rows.against(GROUP, archive, f'{stem}_out', decoded, CHUNK)
    strictly = tokenizer.decode(ids, *chunk.shape)
    rows.compare(f'{GROUP}/{stem}_out (strict)', strictly, archive[f'{stem}_out'], CHUNK)


def _check_edge(
    rows: Rows, archive: Archive, tokenizer: FastTokenizer, stem: str, case: Mapping[str, Any]
) -> None:
    """What the original makes of a malformed sequence, and that we refuse to."""
    decoded = tokenizer.decode_like_original(case['ids'], case['T'], case['D'])
    rows.against(GROUP, archive, f'{stem}_out', decoded, CHUNK)
    try:
        tokenizer.decode(case['ids'], case['T'], case['D'])
    except ActionError:
        refused = True
    else:
        refused = False
    rows.compare(f'{GROUP}/{stem} is refused', refused, True, 0.0)


def _check_batch(
    rows: Rows, archive: Archive, tokenizer: FastTokenizer, stem: str, batch: list[list[int]]
) -> None:
    chunks = archive[f'{stem}_in']
    for number, (ids, chunk) in enumerate(zip(batch, chunks, strict=True)):
        got = tokenizer.encode_like_original(chunk)
        rows.compare(f'{GROUP}/{stem} ids {number}', got, ids, 0.0)
    decoded = [tokenizer.decode_like_original(ids, *chunks.shape[1:]) for ids in batch]
    rows.against(GROUP, archive, f'{stem}_out', np.array(decoded), CHUNK)


def _check_fit(rows: Rows, archive: Archive, fit: Mapping[str, Any]) -> None:
    """Ids depend on the version of the library; what they decode to does not."""
    chunks = archive['fit_in']
    tokenizer = FastTokenizer.fit(chunks, fit['scale'], fit['vocab_size_arg'])
    rows.compare(f'{GROUP}/fit min_token', tokenizer.min_token, fit['min_token'], 0.0)
    shown = chunks[: len(archive['fit_decoded'])]
    decoded = [tokenizer.decode(tokenizer.encode(chunk), *chunk.shape) for chunk in shown]
    rows.against(GROUP, archive, 'fit_decoded', np.array(decoded), CHUNK)
