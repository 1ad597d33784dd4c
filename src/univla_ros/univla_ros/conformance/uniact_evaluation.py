"""UniAct's evaluation in LIBERO against the official rollout, driven by a fake environment."""

from __future__ import annotations

import numpy as np
from univla_core.norm_stats import normalize
from univla_core.norm_stats import unnormalize
from univla_decoders.uniact_data import LIBERO_WARM_UP
from univla_decoders.uniact_data import libero_command
from univla_models.uniact_options import prepare
from univla_models.uniact_resnet import PROCESSOR

from univla_ros.conformance.rows import Rows
from univla_ros.conformance.uniact_reference import Reference

GROUP = 'evaluation'
ACTION, LEVEL, PIXELS, BF16 = 1e-6, 1.0, 1e-5, 1e-2
# Kind of head → how its actions were normalised.
RULES = {'mlp': 'moments', 'act': 'min_max'}


def check_evaluation(rows: Rows, reference: Reference) -> None:
    """Compare `eval_*`."""
    for kind, rule in RULES.items():
        with rows.section(f'{GROUP}/eval_{kind}_*'):
            _check_pictures(rows, reference, kind)
            _check_actions(rows, reference, kind, rule)


def _check_pictures(rows: Rows, reference: Reference, kind: str) -> None:
    archive, prefix = reference.archive, f'eval_{kind}_'
    views = [archive[f'{prefix}agentview_u8']]
    if f'{prefix}wrist_u8' in archive:
        views.append(archive[f'{prefix}wrist_u8'])
    prepared = [
        np.stack([prepare(picture, f'libero_{kind}', number == 0) for picture in view])
        for number, view in enumerate(views)
    ]
    shape = reference.meta[f'eval_{kind}']['vlm_image_shape']
    rows.compare(f'{GROUP}/{prefix}vlm_image_shape', prepared[0][:1].shape, shape, 0.0)
    shown = prepared[0][:, ::8, ::8]
    rows.against(GROUP, archive, f'{prefix}vlm_image_u8', shown, LEVEL)
    features = [[PROCESSOR(picture).numpy() for picture in view] for view in prepared]
    small = np.stack(features, axis=1)[..., ::16, ::16]  # (steps, views, 3, 14, 14)
    rows.against(GROUP, archive, f'{prefix}r18_s16', small, PIXELS)
    settings = reference.meta[f'eval_{kind}']
    words = reference.meta['prompts']['instructions'][0]
    prompt = reference.prompt().text(words)
    rows.compare(f'{GROUP}/{prefix}prompt', prompt, settings['prompt'], 0.0)


def _check_actions(rows: Rows, reference: Reference, kind: str, rule: str) -> None:
    """Only the first action of each chunk is carried out, and no chunks are averaged."""
    archive, prefix = reference.archive, f'eval_{kind}_'
    stats = reference.statistics[f'AIR/{reference.meta[f"eval_{kind}"]["domain"]}']
    action = unnormalize(archive[f'{prefix}pred'][:, 0], stats.action, rule)
    action[:, -1] = libero_command(action[:, -1])
    rows.against(GROUP, archive, f'{prefix}env_action', action, ACTION)
    rows.against(GROUP, archive, f'{prefix}warmup_action', [LIBERO_WARM_UP], 0.0)
    if f'{prefix}proprio_raw' in archive and stats.proprioception is not None:
        body = normalize(archive[f'{prefix}proprio_raw'], stats.proprioception, 'moments')
        rows.against(GROUP, archive, f'{prefix}proprio_bf16_as_f32', body, BF16)
