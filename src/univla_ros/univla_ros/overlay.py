"""Draw onto a camera picture what the robot is about to do and why."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_COLOURS = {
    'policy': (60, 200, 90),
    'teleop': (80, 160, 255),
    'hold': (250, 180, 40),
    'none': (190, 190, 190),
}


@dataclass
class OverlayState:
    """What is known at the moment of drawing.

    Attributes:
        codes: Latent codes of the newest plan.
        probabilities: Probability of each code.
        path: Planned path in pixels, shape (n, 2), may hold NaN; empty draws none.
        outcome: One sentence on the task, empty if nobody judges it.
    """

    robot: str = ''
    instruction: str = ''
    source: str = 'none'
    fault: str = ''
    latency_s: float = float('nan')
    control_rate_hz: float = 0.0
    plans: int = 0
    codes: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    path: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    outcome: str = ''


def annotated(picture: np.ndarray, state: OverlayState) -> np.ndarray:
    """A copy of an RGB picture (uint8, (height, width, 3)) with the state drawn on it."""
    canvas = picture.copy()
    _draw_path(canvas, state.path)
    height, width = canvas.shape[:2]
    canvas[:44] = canvas[:44] // 3
    canvas[height - 44 :] = canvas[height - 44 :] // 3
    colour = _COLOURS.get(state.source, _COLOURS['none'])
    _text(canvas, f'"{state.instruction}"' if state.instruction else 'no instruction', (10, 18))
    label = f'{state.source} ({state.fault})' if state.fault else state.source
    _text(canvas, f'{state.robot}: {label}', (10, 36), colour)
    latency = '-' if np.isnan(state.latency_s) else f'{1000 * state.latency_s:.0f} ms'
    _text(canvas, f'chain {latency}   control {state.control_rate_hz:.0f} Hz', (width - 260, 36))
    _draw_codes(canvas, state)
    if state.outcome:
        _text(canvas, state.outcome[:80], (10, height - 8))
    return canvas


def _draw_path(canvas: np.ndarray, path: np.ndarray) -> None:
    height, width = canvas.shape[:2]
    inside = np.isfinite(path).all(axis=1)
    near = [
        (int(x), int(y))
        for x, y in path[inside]
        if -width < x < 2 * width and -height < y < 2 * height
    ]
    for index in range(len(near) - 1):
        share = index / max(1, len(near) - 2)
        colour = (int(255 * (1 - share)), int(80 + 120 * share), 255)
        cv2.line(canvas, near[index], near[index + 1], colour, 2, cv2.LINE_AA)
    if near:
        cv2.circle(canvas, near[-1], 5, (255, 255, 255), 2, cv2.LINE_AA)


def _draw_codes(canvas: np.ndarray, state: OverlayState) -> None:
    """One box per latent code, as bright as the policy was sure."""
    height = canvas.shape[0]
    _text(canvas, f'plan {state.plans}', (10, height - 26))
    sure = state.probabilities or (1.0,) * len(state.codes)
    for index, (code, probability) in enumerate(zip(state.codes, sure, strict=False)):
        left = 110 + 48 * index
        shade = int(70 + 185 * float(np.clip(probability, 0.0, 1.0)))
        cv2.rectangle(canvas, (left, height - 40), (left + 42, height - 22), (0, shade, shade), -1)
        cv2.putText(
            canvas, str(code), (left + 10, height - 26), _FONT, 0.45, (0, 0, 0), 1, cv2.LINE_AA
        )


def _text(
    canvas: np.ndarray,
    text: str,
    at: tuple[int, int],
    colour: tuple[int, int, int] = (240, 240, 240),
) -> None:
    cv2.putText(canvas, text, at, _FONT, 0.47, colour, 1, cv2.LINE_AA)
