import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from univla_core.errors import ConfigError
from univla_models.sampling import Sampling
from univla_models.sampling import choose_token
from univla_models.sampling import sampling_probabilities


def logits_of(*shares):
    return torch.tensor([math.log(share) for share in shares])


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    # 0.5 + 0.3 = 0.8 < 0.9, so the third stays; the fourth goes; the rest is rescaled.
    got = sampling_probabilities(
        logits_of(0.5, 0.3, 0.15, 0.05), Sampling(temperature=1.0, top_p=0.9)
    )
    torch.testing.assert_close(got, torch.tensor([0.5, 0.3, 0.15, 0.0]) / 0.95)


def test_top_k_comes_before_top_p():
    # Two of four stay and are rescaled to 5/8 and 3/8; 5/8 > 0.6 then stands alone.
    got = sampling_probabilities(
        logits_of(0.5, 0.3, 0.15, 0.05), Sampling(temperature=1.0, top_k=2, top_p=0.6)
    )
    torch.testing.assert_close(got, torch.tensor([1.0, 0.0, 0.0, 0.0]))


def test_temperature_one_half_squares_the_odds():
    got = sampling_probabilities(logits_of(0.8, 0.2), Sampling(temperature=0.5, top_p=1.0))
    torch.testing.assert_close(got, torch.tensor([16.0, 1.0]) / 17.0)


@given(
    st.lists(st.floats(-20, 20), min_size=1, max_size=80),
    st.floats(0.1, 5.0),
    st.integers(1, 60),
    st.floats(0.05, 1.0),
)
def test_it_is_a_distribution_that_keeps_the_likeliest(values, temperature, top_k, top_p):
    logits = torch.tensor(values)
    got = sampling_probabilities(
        logits, Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    )
    assert float(got.sum()) == pytest.approx(1.0, abs=1e-5)
    assert got[logits == logits.max()].sum() > 0.0


def test_without_sampling_the_likeliest_is_chosen():
    assert choose_token(torch.tensor([0.0, 3.0, 1.0]), None, torch.Generator()) == 1


@pytest.mark.parametrize('wrong', [{'temperature': 0.0}, {'top_k': 0}, {'top_p': 1.5}])
def test_sampling_that_leaves_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match='must be positive'):
        Sampling(**wrong)
