"""FAST: what is copied from the original, and what never becomes motion."""

import numpy as np
import pytest
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_models.fast_tokenizer import FastTokenizer

HORIZON, ACTION_DIM, SCALE = 5, 3, 50.0


def smooth_chunks(count, seed=0):
    """Slow motions over the whole range, constant ends included."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(0.0, 1.0, HORIZON)[:, None]
    ends = rng.uniform(-1.0, 1.0, (2, count, 1, ACTION_DIM))
    chunks = ends[0] * (1.0 - steps) + ends[1] * steps
    still = [np.full((HORIZON, ACTION_DIM), value) for value in (-1.0, 0.0, 1.0)]
    return [*chunks, *still]


@pytest.fixture(scope='module')
def fast():
    return FastTokenizer.fit(smooth_chunks(200), SCALE, 400)


def test_a_chunk_survives_within_the_rounding(fast):
    """Rounding moves a coefficient by 1/100; by orthonormality the chunk moves no more in norm."""
    for chunk in smooth_chunks(20, seed=1):
        moved = fast.decode(fast.encode(chunk), HORIZON, ACTION_DIM) - chunk
        assert np.linalg.norm(moved) <= 0.5 / SCALE * np.sqrt(chunk.size) + 1e-12


def test_frequency_zero_of_all_dimensions_comes_first(fast):
    """A constant has only frequency 0: value · √5, scaled by 50, for each dimension."""
    chunk = np.broadcast_to([1.0, 0.0, -1.0], (HORIZON, ACTION_DIM))
    text = fast._characters(fast.encode(chunk))
    coefficients = [ord(sign) + fast.min_token for sign in text]
    assert coefficients[:ACTION_DIM] == [112, 0, -112]  # 50 · 2.236 = 111.8
    assert not any(coefficients[ACTION_DIM:])


def test_what_was_fitted_is_saved_and_read_back(fast, tmp_path):
    fast.save(tmp_path)
    again = FastTokenizer.from_folder(tmp_path)
    chunk = smooth_chunks(1)[0]
    assert again.encode(chunk) == fast.encode(chunk)
    assert again.codebook == fast.codebook
    assert (again.scale, again.min_token, again.num_ids) == (SCALE, fast.min_token, 400)


def test_another_scale_is_another_codebook(fast):
    other = FastTokenizer(fast.tokenizer, SCALE / 2, fast.min_token, fast.num_ids)
    assert other.codebook != fast.codebook


def test_fitting_drops_nothing_that_the_range_allows(fast):
    """Mended: the original's alphabet holds characters, not the bytes they are written with."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        chunk = rng.uniform(-0.99, 0.99, (HORIZON, ACTION_DIM))
        assert len(fast._characters(fast.encode(chunk))) == chunk.size


def test_fitting_needs_chunks_and_room():
    with pytest.raises(ConfigError, match='at least one'):
        FastTokenizer.fit([])
    with pytest.raises(ConfigError, match='lower the scale'):
        FastTokenizer.fit(smooth_chunks(20), 1000.0, 400)


@pytest.mark.parametrize(
    ('spoil', 'why'),
    [
        (lambda ids: [], 'no action token'),
        (lambda ids: ids[: len(ids) // 2], 'too short|malformed'),
        (lambda ids: [*ids, *ids], 'overlong'),
        (lambda ids: [*ids, 400], 'malformed'),
        (lambda ids: [-1, *ids], 'malformed'),
    ],
)
def test_a_spoilt_sequence_is_refused_where_the_original_moves(fast, spoil, why):
    """Mended: the original drops, cuts and fills up, and always has a chunk."""
    ids = spoil(fast.encode(smooth_chunks(1)[0]))
    with pytest.raises(ActionError, match=why):
        fast.decode(ids, HORIZON, ACTION_DIM)
    known = fast.decode_like_original([i for i in ids if i >= 0], HORIZON, ACTION_DIM)
    assert known.shape == (HORIZON, ACTION_DIM)


def test_no_tokens_are_a_motion_in_the_original_only(fast):
    """Zeros in normalised space lie in the middle of the range, which is no "stay"."""
    assert not fast.decode_like_original([], HORIZON, ACTION_DIM).any()
    with pytest.raises(ActionError, match='no action token'):
        fast.decode_plan([fast.end], HORIZON, ACTION_DIM)
    with pytest.raises(ActionError, match='no action token'):
        fast.decode_plan([], HORIZON, ACTION_DIM)


def test_a_plan_ends_once_and_at_its_end(fast):
    """Mended: the original drops the last token whatever it is."""
    chunk = smooth_chunks(1)[0]
    ids = fast.encode(chunk)
    whole = fast.decode_plan([*ids, fast.end], HORIZON, ACTION_DIM)
    np.testing.assert_allclose(whole, chunk, atol=0.03)
    with pytest.raises(ActionError, match='without coming to an end'):
        fast.decode_plan(ids, HORIZON, ACTION_DIM)
    with pytest.raises(ActionError, match='go on after'):
        fast.decode_plan([*ids, fast.end, *ids, fast.end], HORIZON, ACTION_DIM)


def test_a_plan_stays_within_the_training_range(fast):
    """Mended: the original clips nowhere. A well-formed plan of large coefficients is clipped."""
    largest = fast._ids(np.full(HORIZON * ACTION_DIM, 112 - fast.min_token))
    assert np.abs(fast.decode(largest, HORIZON, ACTION_DIM)).max() > 1.0
    plan = fast.decode_plan([*largest, fast.end], HORIZON, ACTION_DIM)
    assert np.abs(plan).max() == 1.0


def test_a_chunk_of_another_length_is_refused_where_the_original_bends_it(fast):
    """A constant -1 over 10 steps begins with -158, below -112: the original raises it by 0.29."""
    chunk = np.full((10, ACTION_DIM), -1.0)
    assert fast.holds(HORIZON)
    assert not fast.holds(10)
    with pytest.raises(ActionError, match='number of steps'):
        fast.encode(chunk)
    bent = fast.decode(fast.encode_like_original(chunk), 10, ACTION_DIM)
    # 46 units of 1/50 are spread over 10 steps: 46 / 50 / √10 = 0.29.
    np.testing.assert_allclose(bent - chunk, 0.29, atol=0.005)


def test_the_shape_is_given_and_not_remembered(fast):
    """Mended: the original keeps the shape of its first chunk."""
    ids = fast.encode(smooth_chunks(1)[0])
    with pytest.raises(ActionError, match='overlong'):
        fast.decode(ids, HORIZON, ACTION_DIM - 1)
    assert fast.decode(ids, ACTION_DIM, HORIZON).shape == (ACTION_DIM, HORIZON)


def test_damaged_folders_are_named(fast, tmp_path):
    with pytest.raises(CheckpointError, match=r'processor_config\.json'):
        FastTokenizer.from_folder(tmp_path)
    fast.save(tmp_path)
    (tmp_path / 'processor_config.json').write_text('{"scale": 10}')
    with pytest.raises(CheckpointError, match='min_token'):
        FastTokenizer.from_folder(tmp_path)
    (tmp_path / 'processor_config.json').write_text(
        '{"scale": 10, "min_token": -5, "vocab_size": 7}'
    )
    with pytest.raises(CheckpointError, match='do not belong together'):
        FastTokenizer.from_folder(tmp_path)
