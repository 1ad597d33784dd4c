"""Videos of a LeRobot data set: H.264, every other frame a key frame, no frame reordered."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from univla_core.errors import DataError

CODEC, PIXELS = 'h264', 'yuv420p'
_OPTIONS = {'crf': '18', 'preset': 'veryfast', 'g': '2', 'bf': '0'}


def write_video(path: Path, pictures: np.ndarray, rate_hz: int) -> None:
    """Write RGB pictures (T, height, width, 3); frame `i` is shown at `i / rate_hz`.

    Raises:
        DataError: If the pictures have an odd width or height, or the disk is full.
    """
    height, width = pictures.shape[1:3]
    if height % 2 or width % 2:
        raise DataError(
            f'{path.name}: pictures of {width} × {height} make no video, whose width and height '
            'are even; export with --format hdf5'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.stem}.part{path.suffix}')
    try:
        with av.open(str(part), 'w') as container:
            stream: Any = container.add_stream('libx264', rate=rate_hz, options=_OPTIONS)
            stream.width, stream.height, stream.pix_fmt = width, height, PIXELS
            stream.codec_context.thread_count = 1
            stream.codec_context.time_base = Fraction(1, rate_hz)
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
                frame.pts, frame.time_base = number, Fraction(1, rate_hz)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        part.replace(path)
    except (OSError, av.FFmpegError) as error:
        raise DataError(f'{path} cannot be written: {error}') from error


def video_feature(height: int, width: int, rate_hz: int) -> dict[str, Any]:
    """What `info.json` says of one camera."""
    return {
        'dtype': 'video',
        'shape': [height, width, 3],
        'names': ['height', 'width', 'channels'],
        'info': {
            'video.height': height,
            'video.width': width,
            'video.codec': CODEC,
            'video.pix_fmt': PIXELS,
            'video.is_depth_map': False,
            'video.fps': rate_hz,
            'video.channels': 3,
            'has_audio': False,
        },
    }
