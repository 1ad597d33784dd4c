"""Random textures are what they say."""

import numpy as np
import pytest
from univla_sim.texture import SIDE
from univla_sim.texture import draw_texture


@pytest.mark.parametrize('depth', [0.0, 0.3, 1.0])
def test_a_texture_darkens_by_no_more_than_its_depth(depth):
    for seed in range(12):
        texture = draw_texture(np.random.default_rng(seed), depth)
        assert texture.shape == (SIDE, SIDE, 3)
        assert texture.dtype == np.uint8
        assert texture.min() >= np.floor(255.0 * (1.0 - depth))
        if depth:
            assert np.ptp(texture) > 0.3 * 255.0 * depth, seed


def test_each_seed_has_a_texture_of_its_own():
    drawn = [draw_texture(np.random.default_rng(seed), 0.5) for seed in range(12)]
    again = draw_texture(np.random.default_rng(3), 0.5)
    assert np.array_equal(drawn[3], again)
    assert len({texture.tobytes() for texture in drawn}) == len(drawn)
