"""Latent action model of UniVLA, both stages, against the official numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from univla_models.lam import LatentActionModel
from univla_models.lam_config import LamConfig
from univla_models.lam_config import TextSizes
from univla_models.lam_output import LamOutput
from univla_models.lam_output import Quantized

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json

TOLERANCE = 5e-4
# The official log divides the uncontrolled codes in use by 32, whatever the codebook's size.
UNCONTROLLED_LOG_CODES = 32


def check_lam(folder: Path, rows: Rows) -> None:
    """Compare `lam_stage1/` and `lam_stage2/`."""
    for name in ('lam_stage1', 'lam_stage2'):
        check = partial(_check_stage, rows, folder / name)
        rows.archive(name, folder / name / 'io.npz', check)


def _config(values: dict[str, Any]) -> LamConfig:
    dino = values['dino']
    return LamConfig(
        stage=values['stage'],
        model_dim=values['model_dim'],
        latent_dim=values['latent_dim'],
        num_codes=values['num_latents'],
        num_uncontrolled_codes=values['stage2_uncontrolled_codes'],
        encoder_blocks=values['enc_blocks'],
        decoder_blocks=values['dec_blocks'],
        num_heads=values['num_heads'],
        dino_dim=dino['embed_dim'],
        dino_depth=dino['depth'],
        dino_heads=dino['num_heads'],
        dino_image_size=dino['img_size'],
        text=TextSizes(**values['t5']) if values['t5'] else TextSizes(),
    )


@torch.inference_mode()
def _check_stage(rows: Rows, folder: Path, archive: Archive) -> None:
    group = folder.name
    model = LatentActionModel.from_checkpoint(
        folder / 'lam.ckpt',
        _config(read_json(folder / 'config.json')),
        device='cpu',
        official_mask=True,
    )
    frames = archive['videos_u8']
    videos = torch.from_numpy(frames).float() / 255.0
    text = None
    if model.config.stage == 1:
        ids, mask = archive['t5_input_ids'], archive['t5_attention_mask']
        text = torch.from_numpy(ids), torch.from_numpy(mask)
        rows.against(group, archive, 't5_last_hidden', model.text_states(*text), TOLERANCE)
    out = model(videos, text)
    for name, got in (
        ('patches', out.patches),
        ('encoder_out', out.encoded),
        ('decoder_out', out.decoded),
        ('recon', out.recon),
        ('target', out.target),
        ('loss', out.loss),
        ('log_mse_loss', out.reconstruction_loss),
    ):
        rows.against(group, archive, name, got, TOLERANCE)
    _check_branch(rows, archive, out.codes, group, '', model.config.num_codes)
    if out.uncontrolled is not None:
        branch = '_uncontrol'
        _check_branch(rows, archive, out.uncontrolled, group, branch, UNCONTROLLED_LOG_CODES)
        labels = model.label(np.ascontiguousarray(frames.transpose(0, 1, 3, 4, 2)))
        rows.compare(f'{group}/label()', labels, archive['indices'], 0.0)
    _check_singles(rows, archive, model, group, videos, text)


def _check_branch(
    rows: Rows, archive: Archive, branch: Quantized, group: str, suffix: str, num_codes: int
) -> None:
    rows.against(group, archive, f'indices{suffix}', branch.indices)
    usage = len(np.unique(branch.indices)) / num_codes
    for name, got in (
        ('emb', branch.emb),
        ('z', branch.z),
        ('z_q', branch.z[:, None]),
        ('log_q_loss', branch.loss),
        ('log_commit_loss', branch.loss),
        ('log_code_usage', usage),
    ):
        rows.against(group, archive, name + suffix, got, TOLERANCE)


def _check_singles(
    rows: Rows,
    archive: Archive,
    model: LatentActionModel,
    group: str,
    videos: Tensor,
    text: tuple[Tensor, Tensor] | None,
) -> None:
    """Each sample by itself, without the padding that a batch brings."""
    outs: list[LamOutput] = []
    for number in range(len(videos)):
        own = None
        if text is not None:
            words = int(text[1][number].sum())
            own = text[0][[number], :words], text[1][[number], :words]
        outs.append(model(videos[[number]], own))
    indices = torch.cat([out.codes.indices for out in outs])
    rows.against(group, archive, 'indices_single', indices)
    if text is None:
        return
    for number, out in enumerate(outs):
        rows.against(group, archive, f'single{number}_emb', out.codes.emb[0], TOLERANCE)
        rows.against(group, archive, f'single{number}_recon', out.recon[0], TOLERANCE)
