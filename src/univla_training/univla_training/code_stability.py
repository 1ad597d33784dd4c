"""Do codes say what the hand did, also when the camera shakes and a distractor moves?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from univla_models.lam import LatentActionModel

from univla_training.lam_task import frame_features
from univla_training.motion_pairs import MotionPairs
from univla_training.prompting import Prompts
from univla_training.training_state import write_atomically

#: Codes that are compared, and what they are called.
KINDS = {
    'stage 1': 'codes of one stage, the instruction at hand',
    'stage 2': 'task-centric codes of stage 2: the labels of the policy',
    'stage 2, the rest': 'codes of stage 2 for what the task does not explain',
}
_RIDGE = 3.0


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How one kind of codes takes a disturbance.

    Attributes:
        same: Share of the codes that the disturbance leaves as they are.
        told: R² of the hand's motion read off the codes by a linear map, on scenes that the map
            was not fitted to.
        told_disturbed: The same from codes of disturbed pictures, by the same map.
    """

    same: float
    told: float
    told_disturbed: float


def stability(calm: np.ndarray, disturbed: np.ndarray, motion: np.ndarray) -> Stability:
    """Judge codes.

    Args:
        calm: Codes of undisturbed pairs, (n, places).
        disturbed: Codes of the same pairs disturbed.
        motion: Of the hand [m], (n, 3); the first half fits the map, the second judges it.
    """
    half = len(motion) // 2
    count = int(max(calm.max(), disturbed.max())) + 1
    before, after = (_one_hot(codes, count) for codes in (calm, disturbed))
    middle = motion[:half].mean(axis=0)
    gram = before[:half].T @ before[:half] + _RIDGE * np.eye(before.shape[1])
    weights = np.linalg.solve(gram, before[:half].T @ (motion[:half] - middle))
    wanted = motion[half:] - middle
    return Stability(
        same=float((calm == disturbed).mean()),
        told=_r2(before[half:] @ weights, wanted),
        told_disturbed=_r2(after[half:] @ weights, wanted),
    )


def _one_hot(codes: np.ndarray, count: int) -> np.ndarray:
    return np.eye(count)[codes].reshape(len(codes), -1)


def _r2(said: np.ndarray, wanted: np.ndarray) -> float:
    return float(1.0 - np.sum((said - wanted) ** 2) / np.sum((wanted - wanted.mean(axis=0)) ** 2))


@torch.inference_mode()
def pair_codes(
    model: LatentActionModel,
    first: np.ndarray,
    later: np.ndarray,
    instructions: tuple[str, ...],
    prompts: Prompts,
    batch: int = 128,
) -> Mapping[str, np.ndarray]:
    """Codes of picture pairs by kind, each (n, 4).

    Args:
        model: Stage 1 or 2.
        first: Uint8 pictures, (n, side, side, 3).
        later: Those that follow.
        instructions: For stage 1.
        prompts: Tokenizer of the instructions.
        batch: Pairs at a time.
    """
    model.eval()
    patches = (first.shape[1] // 14) ** 2
    features = [
        np.empty((len(first), patches, model.config.dino_dim), np.float16) for _ in range(2)
    ]
    for table, pictures in zip(features, (first, later), strict=True):
        frame_features(model, pictures, np.arange(len(pictures)), table)
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(first), batch):
        part = slice(start, start + batch)
        both = torch.from_numpy(np.stack([t[part] for t in features], axis=1).astype(np.float32))
        text = None
        if model.config.stage == 1:
            words = prompts.batch(list(instructions[part]))
            text = (words.ids, words.keep.long())
        out = model.predict(both, text)
        kinds = {f'stage {model.config.stage}': out.codes}
        if out.uncontrolled is not None:
            kinds['stage 2, the rest'] = out.uncontrolled
        for kind, codes in kinds.items():
            found.setdefault(kind, []).append(codes.indices.cpu().numpy())
    return {kind: np.concatenate(parts) for kind, parts in found.items()}


def draw_stability(
    pairs: MotionPairs, found: Mapping[str, Stability], path: Path, title: str
) -> None:
    """Three scenes, calm and disturbed, beside bars of what the codes still tell."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.6), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.1))
    shown = left.subplots(3, 3)
    headings = ('first', '0.8 s later', 'disturbed')
    columns = (pairs.first, pairs.later, pairs.disturbed)
    for column, (heading, pictures) in enumerate(zip(headings, columns, strict=True)):
        for row in range(3):
            shown[row, column].imshow(pictures[row])
            shown[row, column].set_axis_off()
        shown[0, column].set_title(heading, fontsize=9)
    axes = right.subplots()
    spots = np.arange(len(found))
    bars = (
        ('codes unchanged', [s.same for s in found.values()], 'tab:gray'),
        ('motion told (R²)', [s.told for s in found.values()], 'tab:blue'),
        ('motion told, disturbed (R²)', [s.told_disturbed for s in found.values()], 'tab:orange'),
    )
    for number, (label, values, tint) in enumerate(bars):
        axes.bar(spots + 0.27 * (number - 1), values, width=0.25, label=label, color=tint)
    axes.set_xticks(spots, list(found))
    axes.axhline(0.0, color='black', lw=0.8)
    axes.legend(fontsize=8)
    axes.set_title(title, fontsize=10)
    write_atomically(path, lambda file: figure.savefig(file, dpi=110, format='png'))
