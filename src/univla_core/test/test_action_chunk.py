"""An action chunk knows its times and refuses what no robot could execute."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from univla_core.action_chunk import ActionChunk
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import UnivlaError

CHUNK = ActionChunk(
    robot='widowx',
    action_space='eef_delta',
    names=('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper'),
    data=np.zeros((4, 7)),
    step_duration_s=0.2,
    stamp=10.0,
    sequence=3,
)


def test_the_last_row_is_due_at_the_end():
    """Four rows of 0.2 s after 10 s: the last one is due at 10.8 s."""
    assert CHUNK.horizon == 4
    assert CHUNK.end == pytest.approx(10.8)


def test_a_good_chunk_passes():
    """Nothing to say about it."""
    CHUNK.check('widowx')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'data': np.zeros((4, 6))}, r'chunk 3 .*\(4, 6\) for 7 names'),
        ({'data': np.zeros(7)}, 'one name per dimension'),
        ({'data': np.zeros((0, 7))}, r'\(0, 7\)'),
        ({'step_duration_s': 0.0}, 'must be positive'),
        ({'step_duration_s': float('nan')}, 'must be positive'),
        ({'robot': 'panda'}, "'panda', this controller drives 'widowx'"),
    ],
)
def test_a_malformed_chunk_is_refused_in_words(change, words):
    """Each message names the chunk and what is wrong with it."""
    with pytest.raises(ActionError, match=words):
        dataclasses.replace(CHUNK, **change).check('widowx')


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(value):
    """Step 2 of the gripper, so the reader knows where the decoder went wrong."""
    data = np.zeros((4, 7))
    data[2, 6] = value
    with pytest.raises(ActionError, match='step 2, gripper'):
        dataclasses.replace(CHUNK, data=data).check('widowx')


def test_an_unknown_action_space_lists_the_known_ones():
    """A typo is mended by reading the message; one base class catches all of them."""
    with pytest.raises(ConfigError, match='eef_delta') as caught:
        dataclasses.replace(CHUNK, action_space='eef_dleta').check('widowx')
    assert isinstance(caught.value, UnivlaError)
