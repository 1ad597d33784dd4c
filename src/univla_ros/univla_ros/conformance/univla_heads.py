"""Pooling blocks and decoder heads of UniVLA against the official numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from univla_core.temporal_ensembling import softmax
from univla_decoders.heads import HEADS
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import HeadConfig
from univla_decoders.heads import head_config
from univla_decoders.map_block import MapBlock
from univla_decoders.map_block import MapBlockConfig
from univla_decoders.map_block import map_block_config
from univla_decoders.weights import load_strictly
from univla_decoders.weights import read_weights

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows

GROUP = 'decoders'
FULL_SIZE = 'full size'
NUM_HEADS = 4
TOLERANCE = 1e-5
FULL_TOLERANCE = 1e-4
BLOCK_FILE = re.compile(r'mapblock_(\w+)')
HEAD_FILE = re.compile(r'(\w+)_w(\d+)')


def check_heads(folder: Path, rows: Rows) -> None:
    """Compare everything in `decoders/`."""
    folder = folder / 'decoders'
    rows.archive(GROUP, folder / 'io.npz', lambda archive: _check_folder(folder, rows, archive))
    rows.archive(
        FULL_SIZE,
        folder / 'full_size_outputs.npz',
        lambda archive: _check_full_size(rows, archive),
    )


def _check_folder(folder: Path, rows: Rows, archive: Archive) -> None:
    files = sorted(folder.glob('*.safetensors'))
    blocks = [(match, path) for path in files if (match := BLOCK_FILE.fullmatch(path.stem))]
    heads = [(match, path) for path in files if (match := HEAD_FILE.fullmatch(path.stem))]
    for match, path in blocks:
        with rows.section(f'{GROUP}/{path.name}'), torch.inference_mode():
            _check_block(rows, archive, path, match[1])
    for match, path in heads:
        with rows.section(f'{GROUP}/{path.name}'), torch.inference_mode():
            _check_head(rows, archive, path, match[1], int(match[2]))
    rows.require(GROUP, bool(blocks), 'mapblock_*.safetensors')
    rows.require(GROUP, bool(heads), '*_w*.safetensors')


def _check_block(rows: Rows, archive: Archive, path: Path, variant: str) -> None:
    state = read_weights(path)
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    block = MapBlock(map_block_config(shapes, NUM_HEADS))
    load_strictly(block, state, str(path))
    visual = torch.from_numpy(archive['visual'])
    added = torch.from_numpy(archive['mapblock_init_embed'])
    keep = torch.from_numpy(archive['mapblock_mask'])
    name = f'mapblock_{variant}_out'
    rows.against(GROUP, archive, name, block(visual), TOLERANCE)
    rows.against(GROUP, archive, f'{name}_init', block(visual, added), TOLERANCE)
    if f'{name}_masked' in archive:
        rows.against(GROUP, archive, f'{name}_masked', block(visual, keep=keep), TOLERANCE)


def _check_head(rows: Rows, archive: Archive, path: Path, name: str, horizon: int) -> None:
    state = read_weights(path)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    config = head_config(shapes, horizon, NUM_HEADS, str(path))
    head = HEADS[config.kind](config)
    load_strictly(head, state, str(path))
    inputs = (torch.from_numpy(archive[key]) for key in ('latent', 'visual', 'proprio'))
    out = head(*inputs).numpy()
    if config.kind != 'navigation':
        rows.against(GROUP, archive, f'{name}_out', out, TOLERANCE)
        return
    rows.against(GROUP, archive, f'{name}_logits', out, TOLERANCE)
    if f'{name}_probs' in archive or config.visual:
        shares = softmax(out)
        rows.against(GROUP, archive, f'{name}_probs', shares, TOLERANCE)
        rows.against(GROUP, archive, f'{name}_argmax_first', shares[:, 0].argmax(axis=-1))


def _check_full_size(rows: Rows, archive: Archive) -> None:
    """Official sizes with weights drawn by the recipe of the reference."""
    inputs = np.random.RandomState(int(archive['seed_inputs']))
    shapes = ((1, 4, 4096), (1, 256, 4096), (1, 7))
    tensors = [torch.from_numpy(inputs.standard_normal(s).astype(np.float32)) for s in shapes]
    for key in archive.names:
        match = HEAD_FILE.fullmatch(key)
        if not match:
            continue
        _, horizon, action_dim = archive[key].shape
        head = _full_head(match[1], horizon, action_dim)
        _draw(head, int(archive['seed_weights_base']) + horizon)
        with torch.inference_mode():
            rows.against(FULL_SIZE, archive, key, head(*tensors), FULL_TOLERANCE)


def _full_head(name: str, horizon: int, action_dim: int) -> DecoderHead:
    kinds = {'real_world': 'proprioception', 'r2r': 'navigation', 'r2r_novisual': 'navigation'}
    kind = kinds.get(name, 'manipulation')
    config = HeadConfig(
        kind=kind,
        horizon=horizon,
        action_dim=action_dim,
        pool=MapBlockConfig(),
        proprioception_dim=7 if kind == 'proprioception' else 0,
        visual='novisual' not in name,
    )
    return HEADS[kind](config)


def _draw(head: DecoderHead, seed: int) -> None:
    random = np.random.RandomState(seed)
    state = {}
    for name, value in sorted(head.state_dict().items()):
        noise = random.standard_normal(tuple(value.shape)).astype(np.float32)
        if name.endswith('.g'):
            noise = 1 + np.float32(0.1) * noise
        elif noise.ndim >= 2 and not name.endswith('latents'):
            noise = noise / np.sqrt(np.float32(noise.shape[1]))
        else:
            noise = np.float32(0.1) * noise
        state[name] = torch.from_numpy(noise)
    head.load_state_dict(state)
