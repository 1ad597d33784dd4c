"""Picture preparation of UniVLA against the official numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.image_crop import center_crop
from univla_core.image_crop import center_crop_float
from univla_models.image_presets import preset
from univla_models.image_presets import rotate_half_turn
from univla_models.image_processor import ImageProcessor
from univla_models.jpeg import jpeg_round_trip
from univla_models.resample import resize

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import Rows
from univla_ros.conformance.rows import read_json

PIXELS = 1e-5
LEVEL = 1.0
JPEG_LEVELS = 3.0
JPEG_MEAN = 0.5
ARRAY = re.compile(
    r'(img\d+)_((?:resize_naive|letterbox|resize_crop)_\w+?)_(resized_u8|pv_sub8|pv_mean)'
)


def check_pictures(folder: Path, rows: Rows) -> None:
    """Compare `image_processor.npz` and `center_crop_tf.npz`."""
    rows.archive(
        'image processor',
        folder / 'image_processor.npz',
        lambda archive: _check_processor(folder, rows, archive),
    )
    rows.archive(
        'centre crop',
        folder / 'center_crop_tf.npz',
        lambda archive: _check_crops(rows, archive),
    )


def _check_processor(folder: Path, rows: Rows, archive: Archive) -> None:
    settings = read_json(folder / 'image_processor.json')
    matches = [match for name in archive.names if (match := ARRAY.fullmatch(name))]
    for match in matches:
        with rows.section(f'image processor/{match[0]}'):
            _check_processed(rows, archive, settings, match)
    rows.require('image processor', bool(matches), 'img*')


def _check_processed(
    rows: Rows, archive: Archive, settings: dict[str, Any], match: re.Match[str]
) -> None:
    picture, variant, kind = match.groups()
    strategy, _, precision = variant.rpartition('_')
    processor = _processor(settings[f'{strategy.replace("_", "-")}_{precision}'], strategy)
    image = archive[picture]
    if kind == 'resized_u8':
        got, tolerance = processor.resize(image), 0.0
    else:
        pixels = processor(image).numpy()
        got = pixels[:, ::8, ::8] if kind == 'pv_sub8' else pixels.mean(axis=(1, 2), dtype=float)
        tolerance = PIXELS
    rows.against('image processor', archive, match[0], got, tolerance)


def _processor(settings: dict[str, Any], strategy: str) -> ImageProcessor:
    (size,) = {crop.split('(')[-1].split(',')[0] for crop in settings['crop']}
    values = {
        'image_resize_strategy': strategy.replace('_', '-'),
        'input_sizes': [[3, int(size), int(size)]] * len(settings['norm']),
        'tvf_normalize_params': settings['norm'],
        'tvf_letterbox_fill': settings['fill'],
    }
    return ImageProcessor.from_mapping(values, 'image_processor.json')


def _check_crops(rows: Rows, archive: Archive) -> None:
    inputs = [name for name in archive.names if re.fullmatch(r'crop\d+_in', name)]
    for name in inputs:
        image, stem = archive[name], name.removesuffix('_in')
        rows.against('centre crop', archive, f'{stem}_out_u8', center_crop(image), LEVEL)
        small = center_crop_float(image)[::8, ::8]
        # Above TensorFlow's own float error of 1e-5.
        rows.against('centre crop', archive, f'{stem}_out_float_sub8', small, 5e-5)
    rows.require('centre crop', bool(inputs), 'crop*_in')
    _check_libero(rows, archive)


def _check_libero(rows: Rows, archive: Archive) -> None:
    """LIBERO's way from the camera to the network, step by step and at once."""
    image = archive['libero_agentview']
    turned = rotate_half_turn(image)
    coded = jpeg_round_trip(turned)
    plain = resize(turned, 224, 224, 'lanczos3')
    rows.against('centre crop', archive, 'lanczos3_no_jpeg_224', plain, LEVEL)
    steps: tuple[tuple[str, np.ndarray], ...] = (
        ('libero_after_jpeg', coded),
        ('libero_224', resize(coded, 224, 224, 'lanczos3')),
        ('libero_224_cropped', preset('libero').prepare(image)),
    )
    for name, got in steps:
        rows.against('centre crop', archive, name, got, JPEG_LEVELS)
        if name in archive:
            rows.mean(f'centre crop/{name} (mean)', got, archive[name], JPEG_MEAN)
