"""Sequences of words, pictures and actions against the official ids."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from univla_models.fast_coefficients import bytes_of_signs
from univla_models.fast_tokenizer import FastTokenizer

from univla_models import unified_vla_tokens as tokens
from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json

GROUP = 'sequences'
# Of the training samples, as the README of the data says.
TRAINING_TOKENIZER = 'fast_bridge_t5_s50'
ACTION_FRAMES = 5
LABELS = {
    'action_loss': tokens.action_labels,
    'full_loss': tokens.everything_labels,
    'world_model': tokens.vision_labels,
}
SPECIAL = {
    'bos_token': tokens.BEGIN,
    'eos_token': tokens.END,
    'pad_token': tokens.PAD,
    'img_token': tokens.IMAGE,
    'boi_token': tokens.BEGIN_IMAGE,
    'eoi_token': tokens.END_IMAGE,
    'eof_token': tokens.END_OF_FRAME,
    'boa_token': tokens.BEGIN_ACTION,
    'eoa_token': tokens.END_ACTION,
    'bot_token': tokens.BEGIN_REASON,
    'eot_token': tokens.END_REASON,
}


def stand_in_writer() -> tokens.SequenceWriter:
    """The text vocabulary of the data: single bytes only, in GPT-2's order."""
    ranks = {bytes([byte]): rank for rank, byte in enumerate(bytes_of_signs().values())}
    return tokens.SequenceWriter(tokens.TextTokenizer(ranks))


def check_sequences(folder: Path, rows: Rows, archive: Archive) -> None:
    """Compare `prompt_*` and `train_*`, and the special ids of `meta.json`."""
    meta, writer = read_json(folder / 'meta.json'), stand_in_writer()
    for name, number in SPECIAL.items():
        rows.compare(f'{GROUP}/{name}', number, meta['special_ids'][name][1], 0.0)
    rows.compare(f'{GROUP}/vocabulary', tokens.NUM_TOKENS, meta['special_ids']['vocab'], 0.0)
    words = meta['text']
    rows.against(GROUP, archive, 'text_ids_bos_plus_text', writer.instruction(words))
    with rows.section(f'{GROUP}/prompt_*'):
        _check_prompts(rows, archive, writer, words)
    with rows.section(f'{GROUP}/train_*'):
        fast = FastTokenizer.from_folder(folder / 'fast_tokenizers' / TRAINING_TOKENIZER)
        _check_training(rows, archive, writer, fast, meta)


def _check_prompts(
    rows: Rows, archive: Archive, writer: tokens.SequenceWriter, words: str
) -> None:
    main, gripper, left, right = (
        archive[f'prompt_{name}'][0]
        for name in ('code', 'gripper_code', 'left_code', 'right_code')
    )
    said = writer.instruction(words)
    main_ids = [*said, *writer.image(main)]
    begin = len(said)
    both = writer.plan(words, [[main, gripper]])
    alone = writer.plan(words, [[main]])
    for name, got in (
        ('VLA_g', both),
        ('VLA_nog', alone),
        ('VLA_Video_g', both[begin:]),
        ('VLA_Video_nog', alone[begin:]),
        ('VLA_ALOHA_g', writer.plan(words, [[main, left, right]])),
        ('VLA_COT_nog', writer.plan(words, [[main]], ask=tokens.BEGIN_REASON)),
        ('INTERLEAVE_nog', [*main_ids, *writer.opened_image(main.shape)]),
        ('IG_nog', main_ids),
        ('world_model_frame_separator', writer.frame_separator(main.shape)),
    ):
        rows.against(GROUP, archive, f'prompt_{name}_ids', got)


def _check_training(
    rows: Rows,
    archive: Archive,
    writer: tokens.SequenceWriter,
    fast: FastTokenizer,
    meta: dict[str, Any],
) -> None:
    cases = [
        match for name in archive.names if (match := re.fullmatch(r'train_(.+)_labels', name))
    ]
    for case in cases:
        name, start = case[1], meta['train_start_index'][case[1]]
        frames = 1 if name.startswith('image') else 2
        ids = _sample(archive, writer, fast, meta['text'], name, start, frames)
        (labels,) = (label for suffix, label in LABELS.items() if name.endswith(suffix))
        rows.against(GROUP, archive, f'train_{name}_input_ids', ids)
        rows.against(GROUP, archive, f'train_{name}_labels', labels(ids))
        rows.compare(f'{GROUP}/train_{name} length', len(ids), meta['train_len'][name][0], 0.0)
    rows.require(GROUP, bool(cases), 'train_*')


def _sample(
    archive: Archive,
    writer: tokens.SequenceWriter,
    fast: FastTokenizer,
    words: str,
    name: str,
    start: int,
    frames: int,
) -> list[int]:
    """A sequence of frames that lie one chunk apart, each with the chunk that begins there."""
    images, grippers = archive['train_image_codes'], archive['train_gripper_codes']
    places = [start + number * ACTION_FRAMES for number in range(frames)]
    if name == 'world_model':
        return writer.world(words, [images[place] for place in places])
    actions: np.ndarray = archive['train_actions']
    chunks = [fast.encode_like_original(actions[p : p + ACTION_FRAMES]) for p in places]
    return writer.lesson(words, [[images[p], grippers[p]] for p in places], chunks)
