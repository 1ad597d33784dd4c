"""The rules of one observation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from univla_core.errors import ObservationError
from univla_core.observation import Observation

PICTURE = np.zeros((48, 64, 3), dtype=np.uint8)
OBSERVATION = Observation(images={'primary': PICTURE}, instruction='reach', stamp=1.0)


def test_a_complete_observation_passes():
    """Proprioception is optional: not every policy reads it."""
    OBSERVATION.check(('primary',))


def test_missing_cameras_are_all_named():
    """The operator looks for every cable at once."""
    with pytest.raises(ObservationError, match='left_wrist, right_wrist'):
        OBSERVATION.check(('primary', 'left_wrist', 'right_wrist'))


@pytest.mark.parametrize(
    'picture',
    [
        PICTURE.astype(np.float32),
        PICTURE[..., 0],
        PICTURE[..., :2],
        np.zeros((48, 64, 4), np.uint8),
    ],
    ids=['float', 'grey', 'two channels', 'with alpha'],
)
def test_only_rgb_bytes_are_pictures(picture):
    """A policy would take floats in [0, 1] for black without a word."""
    spoilt = dataclasses.replace(OBSERVATION, images={'primary': picture})
    with pytest.raises(ObservationError, match=r'camera primary: .*uint8 RGB'):
        spoilt.check(('primary',))


@pytest.mark.parametrize('instruction', ['', '  ', '\n'])
def test_an_empty_instruction_is_refused(instruction):
    """A policy asked to do nothing does something."""
    with pytest.raises(ObservationError, match='instruction is empty'):
        dataclasses.replace(OBSERVATION, instruction=instruction).check(('primary',))
