"""Does one code mean one motion on every body?"""

from __future__ import annotations

import numpy as np
import pytest
from univla_training.code_motion import CodeMotions
from univla_training.code_motion import consistency
from univla_training.code_motion import draw_motions

LEFT, RIGHT, STILL = (0.0, 0.05, 0.0), (0.0, -0.05, 0.0), (0.0, 0.001, 0.0)
NONE = (np.nan,) * 3


def motions(*by_robot):
    """One place, as many codes as are given for each robot."""
    table = np.array(by_robot, dtype=float)[:, None]
    frames = np.where(np.isfinite(table).all(-1), 100, 0)
    return CodeMotions(robots=('a', 'b')[: len(by_robot)], motions=table, frames=frames)


@pytest.mark.parametrize(
    ('first', 'second', 'alike'),
    [
        (LEFT, LEFT, 1.0),
        (LEFT, RIGHT, 0.0),
        (LEFT, (0.04, 0.05, 0.0), 1.0),
        (LEFT, (0.05, 0.0, 0.0), 0.0),
        (STILL, (0.001, 0.0, 0.0), 1.0),
        (LEFT, STILL, 0.0),
        (LEFT, NONE, np.nan),
    ],
)
def test_alike_is_the_same_way_or_both_still(first, second, alike):
    np.testing.assert_equal(motions([first], [second]).alike(), [[alike]])


def test_chance_is_told_beside_the_share():
    """Four codes in four directions on both bodies: all alike, by chance a quarter."""
    ways = [(0.05, 0.0, 0.0), (-0.05, 0.0, 0.0), LEFT, RIGHT, NONE]
    facts = consistency(motions(ways, ways))
    assert facts['judged'] == 4 and facts['alike'] == 4 and facts['share'] == 1.0
    assert 0.15 < facts['by_chance'] < 0.35
    assert facts['used'] == [4, 4]


def test_nothing_to_judge_is_no_share(tmp_path):
    found = motions([LEFT, NONE], [NONE, RIGHT])
    assert consistency(found)['share'] is None
    draw_motions(found, tmp_path / 'codes.png')
    assert (tmp_path / 'codes.png').stat().st_size > 1000
