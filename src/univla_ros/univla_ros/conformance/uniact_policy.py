"""UniAct from pictures and words to chunks against the official numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from univla_decoders.heads import DecoderHead
from univla_decoders.uniact_data import masked_huber
from univla_models.uniact_extractor import last_attended
from univla_models.uniact_resnet import PROCESSOR
from univla_models.uniact_resnet import TOKENS_PER_VIEW

from univla_ros.conformance.rows import Rows
from univla_ros.conformance.uniact_heads import run
from univla_ros.conformance.uniact_reference import ACT
from univla_ros.conformance.uniact_reference import MLP
from univla_ros.conformance.uniact_reference import Reference

GROUP = 'policy'
PIXELS, STATES, FEATURES = 1e-5, 1e-4, 1e-3
DEPLOYED_TEMPERATURE = 1.4


@torch.inference_mode()
def check_policy(rows: Rows, reference: Reference) -> None:
    """Compare everything from the pictures `in_*` to the chunks `pred_*`."""
    ids, keep = _check_prompts(rows, reference)
    pixels = _check_pictures(rows, reference)
    logits = _check_extractor(rows, reference, pixels, ids, keep)
    horizon = reference.archive['pred_mlp_hard_eval'].shape[1]
    heads = {kind: reference.domain_head(kind, horizon) for kind in (MLP, ACT)}
    vision = _vision(reference, heads[ACT].config.visual_tokens // TOKENS_PER_VIEW)
    shown = vision[:, 0, ::4]
    rows.against(GROUP, reference.archive, 'vision_tokens_view0_eval', shown, FEATURES)
    _check_chunks(rows, reference, heads, vision, logits)
    _check_plan(rows, reference, heads)
    _check_codes(rows, reference, heads[MLP], vision)
    _check_frames(rows, reference, heads[MLP], logits)


def _check_prompts(rows: Rows, reference: Reference) -> tuple[Tensor, Tensor]:
    prompts = reference.meta['prompts']
    for name, template in (('current_template', 'current'), ('older_template', 'older')):
        built = [reference.prompt(template).text(words) for words in prompts['instructions']]
        rows.compare(f'{GROUP}/{name}', built, prompts[name], 0.0)
    number = reference.config.num_video_tokens
    rows.compare(f'{GROUP}/num_video_tokens', number, prompts['num_video_tokens'], 0.0)
    ids, keep = map(torch.tensor, reference.prompt().batch(prompts['instructions']))
    rows.against(GROUP, reference.archive, 'in_input_ids', ids)
    rows.against(GROUP, reference.archive, 'in_attention_mask', keep)
    return ids, keep


def _check_pictures(rows: Rows, reference: Reference) -> Tensor:
    """Both ways a picture is prepared; returns the extractor's."""
    archive, prompts = reference.archive, reference.meta['prompts']
    pictures = archive['in_raw_u8']
    pixels = torch.stack([reference.policy.processor(picture) for picture in pictures])
    features = torch.stack([PROCESSOR(picture) for picture in pictures])
    for name, got, step in (
        ('in_pixel_values_videos_s24', pixels, 24),
        ('in_r18_s16', features, 16),
    ):
        rows.against(GROUP, archive, name, got[:, None, :, ::step, ::step], PIXELS)
    for name, value in (
        ('pixel_values_videos_mean', pixels.mean()),
        ('pixel_values_videos_std', pixels.std()),
        ('r18_mean', features.mean()),
    ):
        rows.compare(f'{GROUP}/{name}', value, prompts[name], PIXELS)
    return pixels


def _check_extractor(
    rows: Rows, reference: Reference, pixels: Tensor, ids: Tensor, keep: Tensor
) -> Tensor:
    archive, network = reference.archive, reference.policy.network
    rows.against(GROUP, archive, 'ua_last_index', last_attended(keep))
    hidden = network.ua_extractor(pixels, ids, keep)
    rows.against(GROUP, archive, 'ua_hidden', hidden, STATES)
    logits = network.universal_actions_codebook(hidden)
    rows.against(GROUP, archive, 'ua_logits', logits, STATES)
    first, second = logits.topk(2).values.T
    rows.compare(f'{GROUP}/argmax_margin', first - second, reference.meta['argmax_margin'], STATES)
    return logits


def _views(reference: Reference, count: int) -> list[np.ndarray]:
    """The views of each sample: raw, wrist, and the wrist upside down if there are three."""
    wrist = reference.archive['in_wrist_u8']
    everything = (reference.archive['in_raw_u8'], wrist, wrist[:, ::-1])
    return list(np.stack(everything[:count], axis=1))


def _vision(reference: Reference, count: int) -> Tensor:
    views = _views(reference, count)
    return torch.stack([reference.policy.features(sample) for sample in views])


def _check_chunks(
    rows: Rows,
    reference: Reference,
    heads: dict[str, DecoderHead],
    vision: Tensor,
    logits: Tensor,
) -> None:
    archive, book = reference.archive, reference.policy.network.universal_actions_codebook
    firm = book.hard(logits)
    mixed = book.soft(logits, DEPLOYED_TEMPERATURE, reference['infer_noise'])
    rows.against(GROUP, archive, 'code_index', firm.index)
    for way, action in (('hard', firm.vector), ('soft1p4', mixed.vector)):
        chunk = run(heads[MLP], vision, action, None)
        rows.against(GROUP, archive, f'pred_mlp_{way}_eval', chunk, FEATURES)
        chunk = run(heads[ACT], vision, action, reference['in_proprio'])
        rows.against(GROUP, archive, f'pred_act_{way}_eval', chunk, FEATURES)
    predicted = run(heads[MLP], vision, firm.vector, None)
    loss = masked_huber(predicted, reference['loss_action'], reference['loss_mask'])
    rows.against(GROUP, archive, 'loss_value', loss[None], STATES)
    for name, value in reference.meta['loss_log'].items():
        got = {'entropy_loss': firm.entropy, 'gumbel_temp': DEPLOYED_TEMPERATURE}
        rows.compare(f'{GROUP}/{name}', got.get(name, loss), value, STATES)


def _check_plan(rows: Rows, reference: Reference, heads: dict[str, DecoderHead]) -> None:
    """The way a robot takes: one call, one latent action for both heads."""
    archive = reference.archive
    views = _views(reference, heads[ACT].config.visual_tokens // TOKENS_PER_VIEW)
    plans = [
        reference.policy.plan({f'view{n}': view for n, view in enumerate(sample)}, words)
        for sample, words in zip(views, reference.meta['prompts']['instructions'], strict=True)
    ]
    codes = np.concatenate([plan.codes for plan in plans])
    rows.compare(f'{GROUP}/plan codes', codes, archive['code_index'], 0.0)
    latent = torch.from_numpy(np.stack([plan.latent for plan in plans]))
    visual = torch.from_numpy(np.stack([plan.visual for plan in plans]))
    for kind, name in ((MLP, 'pred_mlp_hard_eval'), (ACT, 'pred_act_hard_eval')):
        chunk = heads[kind](latent, visual, reference['in_proprio'])
        rows.compare(f'{GROUP}/plan {name}', chunk, archive[name], FEATURES)


def _check_codes(rows: Rows, reference: Reference, head: DecoderHead, vision: Tensor) -> None:
    """Universal actions that a person picked, with the first picture; by `plan`, too."""
    archive, policy = reference.archive, reference.policy
    codes = archive['codeid_list']
    actions = torch.stack([policy.vector(int(code)) for code in codes])
    got = run(head, vision[:1].expand(len(codes), -1, -1, -1), actions, None)
    rows.against(GROUP, archive, 'codeid_mlp_out', got, FEATURES)
    plan = policy.plan(archive['in_raw_u8'][0], '', codes=codes[:1])
    chunk = head(torch.from_numpy(plan.latent)[None], torch.from_numpy(plan.visual)[None], None)
    rows.compare(f'{GROUP}/plan codeid', chunk, archive['codeid_mlp_out'][:1], FEATURES)


def _check_frames(rows: Rows, reference: Reference, head: DecoderHead, logits: Tensor) -> None:
    """Batch norms on the statistics of each frame, which drift as the original's do."""
    network = reference.network()
    action = network.universal_actions_codebook.hard(logits).vector
    backbone = network.vision_backbone.train()
    chunks = []
    for number, picture in enumerate(reference.archive['in_raw_u8']):
        vision = backbone.tokens(PROCESSOR(picture)[None, None])
        chunks.append(run(head, vision, action[[number]], None)[0])
    name = 'pred_mlp_hard_bn_train_single'
    rows.against(GROUP, reference.archive, name, torch.stack(chunks), FEATURES)
    name = 'bn1_running_mean_after_train_calls'
    rows.against(GROUP, reference.archive, name, backbone.bn1.running_mean, STATES)
