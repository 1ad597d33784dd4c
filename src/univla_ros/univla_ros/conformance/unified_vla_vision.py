"""Emu3's image processor and vision tokenizer against the official numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from univla_decoders.weights import read_weights
from univla_models.emu3_image_processor import Emu3ImageProcessor
from univla_models.emu3_vision import Emu3Vision
from univla_models.unified_vla_recipe import View

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json

GROUP = 'vision'
PIXELS = 1e-5
LATENT = 1e-3
SURE = 1e-2
# List of sizes in the data → smallest area it was made with.
SIZES = {'smart_resize_h_w_min80': 80 * 80, 'smart_resize_h_w_default': 512 * 512}


def check_vision(folder: Path, rows: Rows) -> None:
    """Compare `vision_vq.npz` and the sizes in `vision_vq_meta.json`."""
    rows.archive(
        GROUP, folder / 'vision_vq.npz', lambda archive: _check_archive(folder, rows, archive)
    )


def _check_archive(folder: Path, rows: Rows, archive: Archive) -> None:
    meta = read_json(folder / 'vision_vq_meta.json')
    for name, area in SIZES.items():
        processor = Emu3ImageProcessor(min_pixels=area)
        got = [[*size[:2], *processor.size(*size[:2])] for size in meta[name]]
        rows.compare(f'{GROUP}/{name}', got, meta[name], 0.0)
    path = folder / 'tiny_vision_vq.safetensors'
    state = {name: value.float() for name, value in read_weights(path).items()}
    vision = Emu3Vision.from_state(meta['config'], state, str(path))
    for number, case in enumerate(meta['cases']):
        with rows.section(f'{GROUP}/vq{number}_*'):
            _check_case(rows, archive, vision, meta['min_pixels'], f'vq{number}', case)
    rows.require(GROUP, bool(meta['cases']), 'vq*')


def _check_case(
    rows: Rows,
    archive: Archive,
    vision: Emu3Vision,
    min_pixels: int,
    stem: str,
    case: dict[str, Any],
) -> None:
    raw = archive[f'{stem}_raw_u8']
    rows.compare(f'{GROUP}/{stem} size', raw.shape[:2], case['raw_hw'], 0.0)
    width, height = case['pil_resize_wh'] or (0, 0)
    picture = View(camera='primary', width=width, height=height).prepare(raw)
    pixels = Emu3ImageProcessor(min_pixels=min_pixels)(picture)[None]
    rows.compare(f'{GROUP}/{stem} pixels', pixels.shape, case['pixel_values_shape'], 0.0)
    small = pixels[..., ::4, ::4].numpy()
    rows.against(GROUP, archive, f'{stem}_pixel_values_s4', small, PIXELS)
    latent, codes = vision.latent(pixels).numpy(), vision.encode(pixels).numpy()
    rows.against(GROUP, archive, f'{stem}_latent_f32', latent, LATENT)
    wanted = archive[f'{stem}_codes']
    sure = np.reshape(archive[f'{stem}_margin'], wanted.shape) > SURE
    got = np.reshape(codes, wanted.shape) if codes.size == wanted.size else codes
    rows.compare(f'{GROUP}/{stem}_codes (sure)', got[sure], wanted[sure], 0.0)
    book = vision.network.quantize.embedding.weight.numpy()
    distance = np.linalg.norm(book[got] - np.moveaxis(latent[:, 0], 1, -1), axis=-1)
    best = np.linalg.norm(book[wanted] - np.moveaxis(latent[:, 0], 1, -1), axis=-1)
    rows.compare(f'{GROUP}/{stem}_codes (as near)', distance, best, LATENT)
