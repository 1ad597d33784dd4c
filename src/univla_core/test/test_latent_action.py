"""A latent action is checked before any decoder reads it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from univla_core.errors import ActionError
from univla_core.latent_action import LatentAction

LATENT = LatentAction(
    policy='univla',
    codebook='c0de',
    codes=np.array([3, 0, 15, 7], dtype=np.int32),
    probabilities=np.array([0.9, 0.5, 0.7, 0.99], dtype=np.float32),
    latent=np.zeros((4, 8), dtype=np.float32),
    visual=np.zeros((0, 8), dtype=np.float32),
    instruction='put the cube on the plate',
    sequence=12,
)


def test_a_plan_without_a_picture_passes():
    """Not every decoder reads the picture, so `visual` may have no rows."""
    LATENT.check()


@pytest.mark.parametrize('field', ['probabilities', 'latent', 'visual'])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(field, value):
    """Half precision overflows to infinity; the message says which field and which plan."""
    shape = {'probabilities': (4,), 'latent': (4, 8), 'visual': (2, 8)}[field]
    spoilt = np.zeros(shape, dtype=np.float32)
    spoilt.flat[-1] = value
    with pytest.raises(ActionError, match=f'latent action 12: {field}'):
        dataclasses.replace(LATENT, **{field: spoilt}).check()


@pytest.mark.parametrize('shape', [(3,), (5,), (4, 1)])
def test_every_code_has_one_probability(shape):
    """Codes and probabilities that do not belong together came from two plans."""
    with pytest.raises(ActionError, match='two vectors of one length'):
        dataclasses.replace(LATENT, probabilities=np.ones(shape, dtype=np.float32)).check()


@pytest.mark.parametrize(('code', 'num_codes', 'passes'), [(15, 16, 1), (16, 16, 0), (16, 0, 1)])
def test_a_code_lies_in_the_codebook_where_its_size_is_known(code, num_codes, passes):
    latent = dataclasses.replace(LATENT, codes=np.array([3, 0, code, 7], dtype=np.int32))
    if passes:
        latent.check(num_codes)
        return
    with pytest.raises(ActionError, match=r'code 16 is outside the codebook, .* 0 to 15'):
        latent.check(num_codes)


def test_a_negative_code_is_in_no_codebook():
    latent = dataclasses.replace(LATENT, codes=np.array([3, -1, 0, 7], dtype=np.int32))
    with pytest.raises(ActionError, match='code -1 is outside the codebook'):
        latent.check()
