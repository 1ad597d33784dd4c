"""The unified VLA's language model, its plans and its loss against the official numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from univla_core.norm_stats import unnormalize
from univla_decoders.weights import read_weights
from univla_models.emu3_language import language_from_state
from univla_models.emu3_language import weighted_loss
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.unified_vla import UnifiedVlaPolicy
from univla_models.unified_vla_actions import sign_gripper
from univla_models.unified_vla_recipe import Recipe
from univla_models.unified_vla_recipe import View
from univla_models.unified_vla_tokens import LAST_ACTION
from univla_models.unified_vla_tokens import heard_action
from univla_models.unified_vla_tokens import spoken_action

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json
from univla_ros.conformance.unified_vla_arithmetic import stats_of
from univla_ros.conformance.unified_vla_sequences import stand_in_writer

GROUP = 'model'
ACTIONS = 1e-6
LOGITS = 2e-2
LOSS = 1e-4
SPARSE = ('model.embed_tokens.weight', 'lm_head.weight')
STEP = re.compile(r'e2e_(\w+)_(\d+)_code')


def check_model(folder: Path, rows: Rows, archive: Archive) -> None:
    """Compare `e2e_*`, `loss_*` and the action mapping of `meta.json`."""
    meta = read_json(folder / 'meta.json')
    language = tiny_language(folder, meta['e2e']['config'])
    for name in meta['action_mapping']:
        with rows.section(f'{GROUP}/mapping of {name}'):
            _check_mapping(rows, folder, language, meta, name)
    steps = sorted(match.groups() for name in archive.names if (match := STEP.fullmatch(name)))
    for kind in dict.fromkeys(kind for kind, _ in steps):
        with rows.section(f'{GROUP}/e2e_{kind}_*'):
            count = sum(other == kind for other, _ in steps)
            _check_episode(rows, archive, folder, language, meta, kind, count)
    rows.require(GROUP, bool(steps), 'e2e_*')
    with rows.section(f'{GROUP}/loss_value'), torch.inference_mode():
        ids, labels = (
            torch.from_numpy(archive[f'loss_{name}']) for name in ('input_ids', 'labels')
        )
        logits = language(input_ids=ids[None]).logits
        weight = meta['e2e']['config']['vision_loss_weight']
        loss = weighted_loss(logits, labels[None], weight)
        rows.against(GROUP, archive, 'loss_value', [float(loss)], LOSS)


def tiny_language(folder: Path, config: dict[str, Any]) -> Any:
    """The language model of the data, whose two vocabulary tables are stored by row."""
    path = folder / 'tiny_emu3.safetensors'
    stored = read_weights(path)
    state: dict[str, Tensor] = {
        name: value.float() for name, value in stored.items() if not name.startswith('rows.')
    }
    for name in SPARSE:
        table = torch.zeros(config['vocab_size'], config['hidden_size'])
        table[stored['rows.ids']] = stored[f'rows.{name}'].float()
        state[name] = table
    return language_from_state(config, state, str(path))


def _policy(
    folder: Path, language: Any, meta: dict[str, Any], name: str, *, video: bool, official: bool
) -> UnifiedVlaPolicy:
    run = meta['e2e']
    # The mapping of ids is compared for tokenizers of other chunk lengths too.
    named = re.search(r'_[ta](\d+)', name)
    horizon = int(named[1]) if named else run['predict_action_frames']
    recipe = Recipe(
        views=(View(camera='primary'), View(camera='wrist')),
        horizon=horizon,
        action_dim=run['action_dim'],
        video=video,
        window=run['window_size'],
        max_new_tokens=run['max_new_tokens'],
    )
    fast = FastTokenizer.from_folder(folder / 'fast_tokenizers' / name)
    text = stand_in_writer().text
    return UnifiedVlaPolicy(language, None, text, fast, recipe, official_tokens=official)


def _check_mapping(
    rows: Rows, folder: Path, language: Any, meta: dict[str, Any], name: str
) -> None:
    wanted = meta['action_mapping'][name]
    policy = _policy(folder, language, meta, name, video=False, official=True)
    allowed, most = policy.allowed.tolist(), policy.fast.num_ids - 1
    for key, got in (
        ('last_token_id', LAST_ACTION),
        ('fast_id_0_to_llm', spoken_action([0])[0]),
        ('fast_id_max_to_llm', spoken_action([most])[0]),
        ('allowed_first', allowed[0]),
        ('allowed_last_action', allowed[-2]),
        ('allowed_count', len(allowed)),
        ('allowed_extra', allowed[-1]),
        ('maps_to_out_of_vocab_fast_id', LAST_ACTION - allowed[0]),
    ):
        rows.compare(f'{GROUP}/mapping of {name}: {key}', got, wanted[key], 0.0)
    ours = _policy(folder, language, meta, name, video=False, official=False).allowed.tolist()
    heard = heard_action(ours[:-1], policy.fast.num_ids)
    rows.compare(f'{GROUP}/mapping of {name}: ours', sorted(heard), range(most + 1), 0.0)


def _check_episode(
    rows: Rows,
    archive: Archive,
    folder: Path,
    language: Any,
    meta: dict[str, Any],
    kind: str,
    count: int,
) -> None:
    run = meta['e2e']
    policy, ours = (
        _policy(
            folder,
            language,
            meta,
            run['fast_tokenizer'],
            video=kind.startswith('video'),
            official=official,
        )
        for official in (True, False)
    )
    shape = policy.recipe.horizon, policy.recipe.action_dim
    for step in range(count):
        stem = f'e2e_{kind}_{step}'
        views = [archive[f'{stem}_{name}'][0] for name in ('code', 'gcode')]
        ids = policy.prompt(run['instruction'], views)
        said = policy.generate(ids)
        generated = np.array(said.tokens)
        policy.remember(views, said.tokens)
        fast_ids = LAST_ACTION - generated[:-1]
        chunk = policy.fast.decode_like_original(fast_ids, *shape)
        command = sign_gripper(unnormalize(chunk, stats_of(meta, 'libero'), 'bounds_q99'))
        for name, got, tolerance in (
            ('prompt_ids', ids, 0.0),
            ('generated', generated, 0.0),
            ('fast_ids', fast_ids, 0.0),
            ('normalized', chunk, ACTIONS),
            ('env_action', command, ACTIONS),
            ('first_logits_allowed_f16', said.first_logits.numpy(), LOGITS),
        ):
            rows.against(GROUP, archive, f'{stem}_{name}', got, tolerance)
        if policy.allowed[0] not in generated:  # else the original says an id that is none
            tokens = ours.generate(ids).tokens
            rows.compare(f'{GROUP}/{stem} plan tokens', tokens, archive[f'{stem}_generated'], 0.0)
