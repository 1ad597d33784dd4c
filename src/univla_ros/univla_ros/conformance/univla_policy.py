"""Policy, quirks and teacher forcing of UniVLA against the official numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from univla_core.latent_action import LatentAction
from univla_core.temporal_ensembling import TemporalEnsembler
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.decoder import RobotDecoder
from univla_models.prompts import build_prompt
from univla_models.prompts import end_with_lone_space
from univla_models.sampling import Sampling
from univla_models.sampling import sampling_probabilities
from univla_models.teacher_forcing import teacher_forced
from univla_models.univla import UnivlaOptions
from univla_models.univla import UnivlaPolicy
from univla_models.univla import official_filter
from univla_models.univla_network import Generated

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json

GROUP = 'policy'
STATES = 5e-4
FEATURES = 1e-4
SHOWN_LOGITS = slice(32000, 32064)
SAMPLINGS = {'sample': Sampling(temperature=0.75), 'sampleT3': Sampling(temperature=3.0)}


def check_policy(folder: Path, rows: Rows) -> None:
    """Compare `policy_cases.npz` with the checkpoint in `policy/`."""
    rows.archive(
        GROUP, folder / 'policy_cases.npz', lambda archive: _check_archive(folder, rows, archive)
    )


def _check_archive(folder: Path, rows: Rows, archive: Archive) -> None:
    cases = read_json(folder / 'policy_cases.json')
    official = _policy(folder, official_tokens=True)
    planner = _policy(folder, official_tokens=False)
    decoder = _decoder(folder, cases, archive)
    ensembler = TemporalEnsembler(cases['window'])
    for case in cases['cases']:
        prefix = f'c{case["case"]}_'
        with rows.section(f'{GROUP}/{prefix}*'):
            generated = _check_case(rows, archive, official, case)
            _check_plan(rows, archive, planner, case)
            raw = decoder.predict(_latent_action(official, generated))
            rows.against(GROUP, archive, f'{prefix}decoder_raw', raw, FEATURES)
            action = decoder.to_robot_units(ensembler.step(raw))
            rows.against(GROUP, archive, f'{prefix}ensembled_action', action, FEATURES)
    for name in ('vision_features', 'projected', 'pixel_values'):
        found = any(f'c{case["case"]}_{name}' in archive for case in cases['cases'])
        rows.require(GROUP, found, f'c*_{name}')
    _check_quirks(rows, archive, official)
    with rows.section('training/train_*'):
        _check_training(rows, archive, official, decoder)


def _policy(folder: Path, *, official_tokens: bool) -> UnivlaPolicy:
    return UnivlaPolicy.from_pretrained(
        folder / 'policy',
        device='cpu',
        dtype='float32',
        options=UnivlaOptions(official_tokens=official_tokens),
    )


def _decoder(folder: Path, cases: dict[str, Any], archive: Archive) -> RobotDecoder:
    first = f'c{cases["cases"][0]["case"]}_decoder_raw'
    horizon, action_dim = archive[first].shape
    declaration = DecoderDeclaration(
        head='manipulation',
        horizon=horizon,
        action_dim=action_dim,
        action_space='eef_delta',
        names=tuple(f'axis_{index}' for index in range(action_dim)),
        step_duration_s=0.05,
        num_heads=cases['decoder_heads'],
        unnorm_key=cases['unnorm_key'],
    )
    return RobotDecoder.load(folder / 'policy', declaration)


def _check_case(
    rows: Rows, archive: Archive, policy: UnivlaPolicy, case: dict[str, Any]
) -> Generated:
    prefix = f'c{case["case"]}_'
    prompt = build_prompt(case['instruction'], _history(case))
    rows.compare(f'{GROUP}/{prefix}prompt', prompt, case['prompt'], 0.0)
    # One case leaves a trailing space, so that the lone-space token is already there.
    trailing = ' ' if case['processor_ids_end_with_29871'] else ''
    ids = policy.tokenizer.encode(prompt + trailing)
    rows.against(GROUP, archive, f'{prefix}input_ids_processor', ids)
    ids = end_with_lone_space(ids)
    rows.against(GROUP, archive, f'{prefix}input_ids', ids)
    pixels = policy.pixels(archive[f'{prefix}image'])
    small = pixels[0, :, ::8, ::8]
    rows.against(GROUP, archive, f'{prefix}pixel_values_sub8', small, 1e-5)
    with torch.inference_mode():
        features = policy.network.vision_backbone(pixels)
        projected = policy.network.projector(features)
    for name, got, tolerance in (
        ('pixel_values', pixels, 1e-5),
        ('vision_features', features, FEATURES),
        ('projected', projected, FEATURES),
    ):
        if prefix + name in archive:
            rows.against(GROUP, archive, prefix + name, got[0], tolerance)
    generated = policy.generate(pixels, ids)
    _check_generated(rows, archive, prefix, ids, generated)
    return generated


def _check_generated(
    rows: Rows, archive: Archive, prefix: str, ids: list[int], generated: Generated
) -> None:
    sequence = [*ids, *generated.tokens]
    rows.against(GROUP, archive, f'{prefix}sequence', sequence)
    rows.against(GROUP, archive, f'{prefix}generated_ids', official_filter(sequence))
    for name, got in (
        ('prefill_last_hidden', generated.prefill),
        ('latent_action', generated.latent),
        ('visual_embed', generated.visual),
        ('step_logits_act', generated.logits[:, SHOWN_LOGITS]),
    ):
        rows.against(GROUP, archive, prefix + name, got, STATES)
    for name, sampling in SAMPLINGS.items():
        probabilities = sampling_probabilities(generated.logits[0], sampling).numpy()
        kept = np.flatnonzero(probabilities)
        rows.against(GROUP, archive, f'{prefix}{name}_ids', kept)
        rows.against(GROUP, archive, f'{prefix}{name}_probs', probabilities[kept], FEATURES)


def _check_plan(rows: Rows, archive: Archive, policy: UnivlaPolicy, case: dict[str, Any]) -> None:
    """The way a robot takes: one call, codes only. Equal where official tokens were codes."""
    prefix = f'c{case["case"]}_'
    if not np.isin(case['greedy_new_tokens'], policy.tokenizer.action_ids).all():
        return
    plan = policy.plan(
        archive[f'{prefix}image'], case['instruction'], history_codes=_history(case)
    )
    tokens = policy.tokenizer.action_ids[plan.codes]
    rows.compare(f'{GROUP}/{prefix}plan codes', tokens, case['greedy_new_tokens'], 0.0)
    rows.compare(
        f'{GROUP}/{prefix}plan latent', plan.latent, archive[f'{prefix}latent_action'], STATES
    )


def _check_quirks(rows: Rows, archive: Archive, policy: UnivlaPolicy) -> None:
    """Runs in which an altered row of the output layer beats the action tokens."""
    head = policy.network.language_model.lm_head.weight
    found = [re.fullmatch(r'quirk(\d*)_lm_head_row(\d+)', name) for name in archive.names]
    for match in filter(None, found):
        prefix = match[0].partition('_')[0] + '_'
        case = match[1] or '1'
        with rows.section(f'{GROUP}/{prefix}*'):
            row = int(match[2])
            before = head[row].clone()
            head[row] = torch.from_numpy(archive[match[0]])
            ids = archive[f'c{case}_input_ids'].tolist()
            generated = policy.generate(policy.pixels(archive[f'c{case}_image']), ids)
            head[row] = before
            sequence = [*ids, *generated.tokens]
            rows.against(GROUP, archive, f'{prefix}sequence', sequence)
            rows.against(GROUP, archive, f'{prefix}generated_ids', official_filter(sequence))
            name = f'{prefix}latent_action'
            if name in archive:
                rows.against(GROUP, archive, name, generated.latent, STATES)
    rows.require(GROUP, any(found), 'quirk_*')


def _check_training(
    rows: Rows, archive: Archive, policy: UnivlaPolicy, decoder: RobotDecoder
) -> None:
    """Teacher forcing on the pictures of the first cases."""
    group = 'training'
    ids = torch.from_numpy(archive['train_input_ids'])
    pixels = torch.cat([policy.pixels(archive[f'c{i}_image']) for i in range(len(ids))])
    with torch.inference_mode():
        forced = teacher_forced(
            policy.network,
            pixels,
            ids,
            torch.from_numpy(archive['train_labels']),
            torch.from_numpy(archive['train_attention_mask']),
        )
        predicted = decoder.head(forced.latent, forced.visual, None).numpy()
    distance = np.abs(predicted - archive['train_actions'])
    for name, got in (
        ('ce', forced.loss),
        ('latent_tokens', forced.latent),
        ('visual_embed', forced.visual),
        ('act_logits', forced.logits[..., SHOWN_LOGITS]),
        ('pred_action', predicted),
        ('l1', distance.mean()),
        ('l1_first_step', distance[:, 0].mean()),
    ):
        rows.against(group, archive, f'train_{name}', got, STATES)


def _history(case: dict[str, Any]) -> list[int]:
    return [int(code) for code in re.findall(r'<ACT_(\d+)>', case['history'])]


def _latent_action(policy: UnivlaPolicy, generated: Generated) -> LatentAction:
    return LatentAction(
        policy=policy.name,
        codebook=policy.codebook,
        codes=np.zeros(len(generated.tokens), dtype=np.int32),
        probabilities=np.array(generated.probabilities, dtype=np.float32),
        latent=generated.latent.numpy(),
        visual=generated.visual.numpy(),
        instruction='',
    )
