"""How well a fitted camera explains where a policy points, as a picture for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univla_training.camera_fit import CameraFit
from univla_training.camera_fit import Sightings
from univla_training.training_state import write_atomically

_COLUMNS, _ROWS = 4, 2
_LOOKS = (('hand', '#ffcc00'), ('named thing', '#ff3fd0'))


def draw_camera(
    fit: CameraFit, seen: Sightings, frames: np.ndarray, pictures: np.ndarray, path: Path
) -> None:
    """Frames with rings where the policy points and crosses where the camera shows that.

    Args:
        fit: The camera.
        seen: What it was fitted to.
        frames: Which picture each sighting is of, (n,).
        pictures: All of them, (m, side, side, 3) uint8.
        path: A PNG, replaced.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = np.unique(frames)
    some = known[np.linspace(0, len(known) - 1, _COLUMNS * _ROWS).round().astype(int)]
    figure = Figure(figsize=(3.0 * _COLUMNS, 3.0 * _ROWS + 0.6), layout='constrained')
    FigureCanvasAgg(figure)
    side = pictures.shape[1]
    shown = fit.shown(seen)
    for panel, frame in zip(figure.subplots(_ROWS, _COLUMNS).ravel(), some, strict=True):
        panel.imshow(pictures[frame], extent=(0.0, 1.0, 1.0, 0.0))
        panel.set_axis_off()
        for own, (name, color) in zip((True, False), _LOOKS, strict=True):
            here = (frames == frame) & (seen.hand == own)
            panel.scatter(*seen.places[here].T, s=120, facecolors='none', edgecolors=color)
            panel.scatter(*shown[here].T, s=50, marker='x', color=color, label=name)
        panel.set_xlim(0.0, 1.0)
        panel.set_ylim(1.0, 0.0)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc='outside lower center', ncols=2, frameon=False)
    figure.suptitle(f'{fit.words(seen)}\nrings: pointed at, crosses: shown by that camera')
    write_atomically(path, lambda file: figure.savefig(file, dpi=max(90, side), format='png'))
