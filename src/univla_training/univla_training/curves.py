"""The curves of a training as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from univla_training.training_state import write_atomically

#: Figures of a row that are no curve.
AXES = ('step', 'seconds', 'samples_per_s')


def plot_curves(history: Sequence[dict[str, float]], path: Path, title: str) -> None:
    """Draw every figure of the history over the steps, one panel each."""
    names = list(dict.fromkeys(name for row in history for name in row if name not in AXES))
    if not names:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(names) // 3)
    figure = Figure(figsize=(12.0, 2.6 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    panels = figure.subplots(rows, min(3, len(names)), squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        points = [(row['step'], row[name]) for row in history if name in row]
        panel.plot(*zip(*points, strict=True), linewidth=1.2)
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
        values = [value for _, value in points]
        if min(values) > 0.0 and max(values) > 20.0 * min(values):
            panel.set_yscale('log')
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    write_atomically(path, lambda file: figure.savefig(file, dpi=90, format='png'))
