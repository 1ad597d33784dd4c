"""Does one code mean one motion on every body?"""

from __future__ import annotations

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_training.code_motion import CodeMotions
from univla_training.code_motion import code_motions
from univla_training.code_motion import consistency
from univla_training.code_motion import draw_motions
from univla_training.frame_store import EpisodeRow
from univla_training.frame_store import FrameStore

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


def turning_store(frames=100):
    """Both arms turn their first joint to the left for half of the time, then back."""
    robots, rows = ('widowx', 'franka'), []
    positions = np.full((2 * frames, 8), np.nan, dtype=np.float32)
    turn = 0.02 * np.minimum(np.arange(frames), frames - np.arange(frames))
    for number, robot in enumerate(robots):
        body = load_embodiment(robot)
        start = number * frames
        own = np.tile(body.postures['ready'], (frames, 1))
        own[:, 0] += turn - 0.5
        positions[start : start + frames, : body.axis_count] = own
        rows.append(
            EpisodeRow(
                key=robot,
                path=robot,
                robot=robot,
                task='reach',
                instruction='reach the red cube',
                seed=number,
                success=True,
                start=start,
                stop=start + frames,
                axes=body.axis_count,
                gripper=True,
                spaces=body.action_spaces,
                camera=(48, 64),
            )
        )
    return FrameStore(rows, {'positions': positions})


def test_hands_are_followed_from_the_measured_joints():
    """Code 0 is to the left (y grows), code 1 back, code 2 the one or the other by body."""
    store = turning_store()
    rising = np.tile(np.arange(100) < 50, 2)
    codes = np.where(rising, 0, 1)[:, None].repeat(2, axis=1)
    franka = np.arange(200) >= 100
    codes[:, 1] = np.where(rising == franka, 2, 3)
    found = code_motions(store, store.frames, codes, interval=4)
    assert found.robots == ('franka', 'widowx')
    assert (found.motions[:, 0, 0, 1] > 0.01).all() and (found.motions[:, 0, 1, 1] < -0.01).all()
    np.testing.assert_equal(found.alike()[:, :4], [[1, 1, np.nan, np.nan], [np.nan, np.nan, 0, 0]])
