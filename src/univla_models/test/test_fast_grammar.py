"""Constrained decoding of FAST ids: whatever is said under it is one whole chunk."""

import numpy as np
import pytest
from univla_models.fast_grammar import ChunkGrammar
from univla_models.fast_tokenizer import FastTokenizer

HORIZON, ACTION_DIM = 5, 3


@pytest.fixture(scope='module', params=[10.0, 50.0], ids=['one byte', 'two bytes'])
def fast(request):
    """At a scale of 50 coefficients range over 224 integers: some need two bytes in UTF-8."""
    rng = np.random.default_rng(0)
    still = [np.full((HORIZON, ACTION_DIM), value) for value in (-1.0, 1.0)]
    chunks = [*rng.uniform(-1.0, 1.0, (200, HORIZON, ACTION_DIM)), *still]
    return FastTokenizer.fit(chunks, request.param, 400)


def test_any_walk_along_the_allowed_ids_ends_in_a_chunk(fast):
    grammar = ChunkGrammar(fast, HORIZON, ACTION_DIM)
    rng = np.random.default_rng(1)
    for _ in range(50):
        said = []
        while not said or said[-1] != fast.end:
            said.append(int(rng.choice(np.flatnonzero(grammar.allowed(said)))))
        assert len(said) <= grammar.longest
        assert fast.decode_plan(said, HORIZON, ACTION_DIM).shape == (HORIZON, ACTION_DIM)


def test_no_chunk_is_forbidden(fast):
    grammar = ChunkGrammar(fast, HORIZON, ACTION_DIM)
    for chunk in np.random.default_rng(2).uniform(-1.0, 1.0, (30, HORIZON, ACTION_DIM)):
        said = [*fast.encode(chunk), fast.end]
        assert all(grammar.allowed(said[:place])[code] for place, code in enumerate(said))


def test_the_end_comes_when_the_chunk_is_whole_and_nothing_after_that(fast):
    grammar = ChunkGrammar(fast, HORIZON, ACTION_DIM)
    said = fast.encode(np.zeros((HORIZON, ACTION_DIM)))
    assert np.flatnonzero(grammar.allowed(said)).tolist() == [fast.end]
    assert not grammar.allowed([])[fast.end]


def test_a_model_may_count_in_its_own_order(fast):
    grammar = ChunkGrammar(fast, HORIZON, ACTION_DIM)
    said = fast.encode(np.zeros((HORIZON, ACTION_DIM)))[:2]
    backward = [*range(fast.end - 1, -1, -1), fast.end]
    follow = grammar.in_order(backward)([fast.end - 1 - number for number in said])
    np.testing.assert_array_equal(follow, grammar.allowed(said)[backward])
