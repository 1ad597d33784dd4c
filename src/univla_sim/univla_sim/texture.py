"""Random textures for the surface that objects stand on: stripes, patches and grain.

Domain randomisation (Tobin et al., arXiv:1703.06907) shows a network so many looks that the real
one is just another. Checks are not among these: they are what the shift `visual` holds out.
"""

from __future__ import annotations

import numpy as np

#: Pixels along each side of a texture, which covers one metre of the surface.
SIDE = 256

# Stripes to a metre, patches in a texture, and cells of the coarsest and finest grain.
_STRIPES = (1.5, 14.0)
_PATCHES = (6, 60)
_GRAIN = (3, 64)
# Least share of a texture's depth that a colour channel takes.
_LEAST_CHANNEL = 0.7


def draw_texture(rng: np.random.Generator, depth: float) -> np.ndarray:
    """A random texture, to be multiplied with a surface's own colour.

    Args:
        rng: Decides kind, size, direction and tint.
        depth: How much darker its darkest places are, in [0, 1].

    Returns:
        RGB, uint8, (SIDE, SIDE, 3); white where the surface keeps its colour.
    """
    kind = (_stripes, _patches, _grain)[int(rng.integers(3))]
    channels = rng.uniform(_LEAST_CHANNEL, 1.0, 3)
    values = 1.0 - depth * kind(rng)[..., None] * channels
    return np.round(255.0 * values).astype(np.uint8)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    """Bars in one direction, soft or with hard edges; (SIDE, SIDE) in [0, 1]."""
    angle, phase = rng.uniform(0.0, np.pi), rng.uniform(0.0, 2.0 * np.pi)
    x, y = np.meshgrid(*(np.arange(SIDE) / SIDE,) * 2)
    along = np.cos(angle) * x + np.sin(angle) * y
    wave = np.sin(2.0 * np.pi * rng.uniform(*_STRIPES) * along + phase)
    if rng.random() < 0.5:
        return (wave > rng.uniform(-0.7, 0.7)).astype(float)
    return 0.5 + 0.5 * wave


def _patches(rng: np.random.Generator) -> np.ndarray:
    """Rectangles of all sizes on top of each other; (SIDE, SIDE) in [0, 1]."""
    values = np.full((SIDE, SIDE), rng.random())
    for _ in range(int(rng.integers(*_PATCHES))):
        height, width = rng.integers(SIDE // 24, SIDE // 2, 2)
        row, column = rng.integers(0, SIDE, 2)
        values[row : row + height, column : column + width] = rng.random()
    return values


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, perhaps drawn out as in wood; (SIDE, SIDE) in [0, 1]."""
    rows, columns = np.exp(rng.uniform(*np.log(_GRAIN), 2)).astype(int)
    coarse = rng.random((rows + 2, columns + 2))
    smooth = _interpolated(_interpolated(coarse).T).T
    low, high = smooth.min(), smooth.max()
    return (smooth - low) / (high - low)


def _interpolated(values: np.ndarray) -> np.ndarray:
    """Rows between which is interpolated linearly, SIDE of them."""
    at = np.linspace(0.0, len(values) - 1.0, SIDE)
    below = np.minimum(at.astype(int), len(values) - 2)
    share = (at - below)[:, None]
    return (1.0 - share) * values[below] + share * values[below + 1]
