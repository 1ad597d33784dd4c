"""What a disturbance does to codes: by hand, and on drawn scenes."""

from __future__ import annotations

import numpy as np
import pytest
from univla_sim.disturbance import ASIDE_M
from univla_sim.disturbance import TOWARDS_M
from univla_training.code_stability import stability
from univla_training.motion_pairs import draw_motion_pairs


def test_codes_that_say_the_motion_tell_it_until_they_are_disturbed():
    """Place 0 says which of two ways the hand goes, place 1 nothing; half of place 0 is wrong."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, (4000, 2))
    motion = np.array([[0.0, 0.05, 0.0], [0.03, -0.05, 0.0]])[codes[:, 0]]
    spoiled = codes.copy()
    spoiled[1::2, 0] = 1 - spoiled[1::2, 0]
    found = stability(codes, spoiled, motion)
    assert found.same == pytest.approx(0.75)  # a quarter of all codes
    assert found.told == pytest.approx(1.0, abs=0.01)
    assert found.told_disturbed == pytest.approx(-1.0, abs=0.05)  # half say the opposite
    calm = stability(codes, codes, motion)
    assert calm.same == 1.0 and calm.told_disturbed == calm.told


def test_scenes_differ_by_what_is_told():
    pairs = draw_motion_pairs('widowx', 6, 84, seed=3)
    assert pairs.first.shape == (6, 84, 84, 3) and len(pairs.instructions) == 6
    ways = np.linalg.norm(pairs.motion, axis=1)
    assert (ways < TOWARDS_M[1] + np.sqrt(3.0) * ASIDE_M + 0.005).all() and ways.max() > 0.02
    gaps = [
        np.abs(a.astype(int) - b).mean() for a, b in zip(pairs.first, pairs.later, strict=True)
    ]
    assert min(gaps) > 0.2, 'the hand moved'
    shaken = np.abs(pairs.later.astype(int) - pairs.disturbed).mean(axis=(1, 2, 3))
    assert (shaken > 0.2).all()
    again = draw_motion_pairs('widowx', 6, 84, seed=3)
    assert pairs.instructions == again.instructions
    np.testing.assert_allclose(pairs.motion, again.motion)
