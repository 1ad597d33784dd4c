"""Sensor noise of a simulated camera: no two pictures of a real one are the same."""

from __future__ import annotations

import numpy as np

_MARGIN = 64
_MOST_SIGMAS = 3.0


class CameraNoise:
    """Adds Gaussian noise, rounded to whole grey levels.

    One tile larger than the picture is drawn once; each picture gets a window of it, chosen at
    random but never the last one again. This costs a tenth of drawing it anew.

    Args:
        height: Height of the pictures [px].
        width: Width of the pictures [px].
        sigma: Standard deviation [grey levels of 0..255]; 0 adds nothing.
        seed: Seed of tile and windows.
    """

    def __init__(self, height: int, width: int, sigma: float, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._most = round(_MOST_SIGMAS * sigma)
        shape = (height + _MARGIN, width + _MARGIN, 3)
        drawn = sigma * self._rng.standard_normal(shape, dtype=np.float32)
        levels = np.clip(np.rint(drawn), -self._most, self._most)
        self._tile = levels.astype(np.int8).view(np.uint8)
        self._place = (-1, -1)

    def restart(self, seed: int) -> None:
        """Choose the windows anew, by another seed; the tile stays."""
        self._rng = np.random.default_rng(seed)
        self._place = (-1, -1)

    def add(self, picture: np.ndarray) -> np.ndarray:
        """A noisy copy of an RGB picture, uint8, (height, width, 3)."""
        if not self._most:
            return picture
        last = self._place
        while self._place == last:
            self._place = tuple(self._rng.integers(0, _MARGIN, 2).tolist())
        row, column = self._place
        height, width = picture.shape[:2]
        # Unsigned sums wrap around, which is subtraction; the margin keeps both ends from it.
        noisy = np.clip(picture, self._most, 255 - self._most)
        return np.add(noisy, self._tile[row : row + height, column : column + width], out=noisy)
