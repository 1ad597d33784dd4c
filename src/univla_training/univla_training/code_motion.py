"""Does one code mean one motion on every body? What each code does to the hand of each arm."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.embodiment import load_embodiment

from univla_training.frame_store import FrameStore
from univla_training.training_state import write_atomically

#: Codes seen less often on a body are not judged there.
LEAST_FRAMES = 30
#: Mean motion below which a hand stands still [m].
STILL_M = 0.005
#: Least cosine between two mean motions that are called alike.
ALIKE = 0.5


@dataclass(frozen=True, kw_only=True)
class CodeMotions:
    """Mean motion of the hand while a code is in force.

    Attributes:
        robots: The arms.
        motions: In each base frame [m], (robots, places, codes, 3); NaN where a code was seen on
            fewer than `LEAST_FRAMES` frames of a robot.
        frames: How often it was seen, (robots, places, codes).
    """

    robots: tuple[str, ...]
    motions: np.ndarray
    frames: np.ndarray

    def alike(self) -> np.ndarray:
        """Whether a code moves all bodies that know it alike, (places, codes).

        1 or 0; NaN for codes that fewer than two bodies know. Alike are two that both stand still,
        or both move within 60 degrees of each other.
        """
        verdict = np.full(self.motions.shape[1:3], np.nan)
        for place in np.ndindex(*verdict.shape):
            motions = self.motions[:, place[0], place[1]]
            known = [motion for motion in motions if np.isfinite(motion).all()]
            if len(known) >= 2:
                verdict[place] = all(_alike(*pair) for pair in combinations(known, 2))
        return verdict


def _alike(first: np.ndarray, second: np.ndarray) -> bool:
    sizes = [float(np.linalg.norm(motion)) for motion in (first, second)]
    if max(sizes) < STILL_M:
        return True
    if min(sizes) < STILL_M:
        return False
    return float(first @ second) >= ALIKE * sizes[0] * sizes[1]


def code_motions(
    store: FrameStore, rows: np.ndarray, codes: np.ndarray, interval: int, num_codes: int = 16
) -> CodeMotions:
    """Mean motion of each arm's hand over `interval` frames, by code.

    Args:
        store: Episodes of two arms or more; bases are left out.
        rows: Frames.
        codes: Their codes, (frames, places).
        interval: Frames that a latent action spans.
        num_codes: Codes in the vocabulary.
    """
    arms = tuple(robot for robot in store.robots if load_embodiment(robot).kind != 'base')
    robot_of = np.array(store.robots)[store.robot_of(rows)]
    shape = (len(arms), codes.shape[1], num_codes)
    motions, frames = np.full((*shape, 3), np.nan), np.zeros(shape, dtype=np.int64)
    for number, robot in enumerate(arms):
        mine = robot_of == robot
        moved = _hand_motion(store, rows[mine], robot, interval)
        for place, code in np.ndindex(*shape[1:]):
            chosen = codes[mine, place] == code
            frames[number, place, code] = chosen.sum()
            if chosen.sum() >= LEAST_FRAMES:
                motions[number, place, code] = moved[chosen].mean(axis=0)
    return CodeMotions(robots=arms, motions=motions, frames=frames)


def _hand_motion(store: FrameStore, rows: np.ndarray, robot: str, interval: int) -> np.ndarray:
    """Displacement of the measured end effector over `interval` frames [m], (frames, 3)."""
    embodiment = load_embodiment(robot)
    later = store.window(rows, interval)
    needed, place = np.unique(np.concatenate([rows, later]), return_inverse=True)
    joints = store.arrays['positions'][needed, : embodiment.axis_count].astype(float)
    hands = np.array([embodiment.chain.forward(q)[:3, 3] for q in joints]).reshape(-1, 3)
    return hands[place[len(rows) :]] - hands[place[: len(rows)]]


def consistency(found: CodeMotions, seed: int = 0, shuffles: int = 200) -> Mapping[str, Any]:
    """Share of the judged codes that move all bodies alike, and what chance would give.

    For chance the codes of each body are dealt out anew; `by_chance` is the mean share.
    """
    verdict = found.alike()
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(shuffles):
        dealt = found.motions.copy()
        for own in dealt:
            for place in own:  # (codes, 3): known codes change places with each other
                known = np.flatnonzero(np.isfinite(place).all(axis=1))
                place[known] = place[rng.permutation(known)]
        other = CodeMotions(robots=found.robots, motions=dealt, frames=found.frames).alike()
        shares.append(np.nanmean(other) if np.isfinite(other).any() else np.nan)
    judged = np.isfinite(verdict)
    return {
        'robots': list(found.robots),
        'judged': int(judged.sum()),
        'alike': int(np.nansum(verdict)),
        'share': float(np.nanmean(verdict)) if judged.any() else None,
        'by_chance': float(np.nanmean(shares)) if judged.any() else None,
        'used': [int((own > 0).sum()) for own in found.frames],
    }


def draw_motions(found: CodeMotions, path: Path, colors: Sequence[str] = ()) -> None:
    """One panel a code: where it takes the hand of each arm, seen from above [cm]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    tints = colors or ('tab:blue', 'tab:orange', 'tab:green', 'tab:purple')
    places, count = found.motions.shape[1:3]
    figure = Figure(figsize=(1.05 * count, 1.15 * places + 0.7), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(places, count, squeeze=False)
    verdict = found.alike()
    reach = 100.0 * np.nanmax(np.abs(found.motions[..., :2]), initial=0.01)
    for place, code in np.ndindex(places, count):
        panel = panels[place, code]
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        panel.set_aspect('equal')
        panel.set_title(f'{place}:{code}', fontsize=7)
        judged = verdict[place, code]
        panel.set_facecolor('white' if np.isnan(judged) else '#e8f5e9' if judged else '#fdecea')
        for number, tint in enumerate(tints[: len(found.robots)]):
            motion = 100.0 * found.motions[number, place, code]
            if np.isfinite(motion).all():
                # Forward (x) is up, left (y) is left.
                tip = {'xy': (-motion[1], motion[0]), 'xytext': (0.0, 0.0)}
                style = {'arrowstyle': '->', 'color': tint, 'lw': 1.3}
                panel.annotate('', **tip, arrowprops=style)
    handles = [Line2D([], [], color=t) for t in tints[: len(found.robots)]]
    figure.legend(handles, found.robots, loc='outside upper center', ncols=len(handles))
    write_atomically(path, lambda file: figure.savefig(file, dpi=110, format='png'))
