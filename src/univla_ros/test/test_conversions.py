"""Messages and plain types are two forms of one thing; bad bytes never become numbers."""

from __future__ import annotations

import array
import dataclasses

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from univla_core.action_chunk import ActionChunk
from univla_core.errors import ActionError
from univla_core.latent_action import LatentAction
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.conversions import action_chunk_to_msg
from univla_ros.conversions import joint_positions_from_msg
from univla_ros.conversions import latent_action_from_msg
from univla_ros.conversions import latent_action_to_msg
from univla_ros.conversions import seconds_from_msg
from univla_ros.conversions import seconds_to_msg
from univla_ros.conversions import tensor_from_msg
from univla_ros.conversions import tensor_to_msg

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_msgs.msg import Tensor

DTYPES = ('float32', 'float16', 'float64', 'int32', 'int64', 'uint8')
floats = st.floats(-1e6, 1e6, width=32)
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)


def through_the_wire(msg):
    return deserialize_message(serialize_message(msg), type(msg))


# --- time -----------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(0, 999_999_999))
def test_stamps_of_simulated_time_survive_exactly(sec, nanosec):
    stamp = Time(sec=sec, nanosec=nanosec)
    assert seconds_to_msg(seconds_from_msg(stamp)) == stamp


@given(st.floats(0.0, 2.1e9))
def test_present_day_seconds_survive_to_half_a_microsecond(seconds):
    assert abs(seconds_from_msg(seconds_to_msg(seconds)) - seconds) <= 0.5e-6


def test_nanoseconds_never_overflow_into_a_second():
    assert seconds_to_msg(1.0 - 1e-12) == Time(sec=0, nanosec=999_999_999)


# --- tensors --------------------------------------------------------------------------------


@given(st.sampled_from(DTYPES), shapes, st.integers(0, 2**32 - 1))
def test_tensors_survive_in_every_type_and_shape(dtype, shape, seed):
    """Empty tensors and scalars too."""
    values = (100 * np.random.default_rng(seed).random(shape)).astype(dtype)
    back = tensor_from_msg(through_the_wire(tensor_to_msg(values)))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, values)
    assert back.shape == shape


def test_bytes_are_little_endian_and_row_major():
    msg = tensor_to_msg(np.array([[1, 2], [3, 256]], dtype='>i4'), 'int32')
    assert bytes(msg.data) == bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 1, 0, 0])
    assert list(msg.shape) == [2, 2]


def test_a_view_with_strides_is_written_in_its_own_order():
    values = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(tensor_from_msg(tensor_to_msg(values)), values)


@pytest.mark.parametrize(
    ('bits', 'rounded'),
    [
        (0x3F800000, 0x3F80),  # 1.0 is kept
        (0x3F808000, 0x3F80),  # a tie goes to the even neighbour, down …
        (0x3F818000, 0x3F82),  # … or up
        (0x3F808001, 0x3F81),  # just above a tie
        (0x3F807FFF, 0x3F80),  # just below
        (0xC0490FDB, 0xC049),  # -pi
        (0x7F7FFFFF, 0x7F80),  # the largest float becomes infinite, as IEEE says
        (0x80000000, 0x8000),  # minus zero keeps its sign
        (0x7F800000, 0x7F80),  # infinity
    ],
)
def test_bfloat16_rounds_to_the_nearest_and_ties_to_even(bits, rounded):
    value = np.array([bits], dtype=np.uint32).view(np.float32)
    msg = tensor_to_msg(value, 'bfloat16')
    assert bytes(msg.data) == rounded.to_bytes(2, 'little')


@given(st.lists(floats, max_size=8))
def test_bfloat16_errs_by_less_than_one_in_256_and_then_no_more(numbers):
    values = np.array(numbers, dtype=np.float32)
    once = tensor_from_msg(tensor_to_msg(values, 'bfloat16'))
    assert once.dtype == np.float32
    assert (np.abs(once - values) <= np.abs(values) / 256 + 1e-38).all()
    np.testing.assert_array_equal(tensor_from_msg(tensor_to_msg(once, 'bfloat16')), once)


def test_bfloat16_agrees_with_torch():
    torch = pytest.importorskip('torch')
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    ours = tensor_from_msg(tensor_to_msg(values, 'bfloat16'))
    np.testing.assert_array_equal(ours, torch.from_numpy(values).bfloat16().float().numpy())


def test_not_a_number_stays_one_in_bfloat16():
    """All bits set: rounding up would carry into the sign and make it a harmless zero."""
    values = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000, 0x7F800001], np.uint32).view(np.float32)
    assert np.isnan(tensor_from_msg(tensor_to_msg(values, 'bfloat16'))).all()


@pytest.mark.parametrize(
    ('dtype', 'shape', 'count'),
    [
        ('float32', [2, 3], 23),
        ('float32', [2, 3], 25),
        ('float32', [], 0),
        ('float32', [2**32 - 1, 2**32 - 1, 2**32 - 1], 4),
        ('bfloat16', [2], 8),
        ('complex64', [1], 8),
        ('O', [1], 8),
        ('', [1], 4),
    ],
)
def test_bytes_that_do_not_fill_the_shape_are_refused(dtype, shape, count):
    msg = Tensor(dtype=dtype, shape=shape, data=array.array('B', bytes(count)))
    with pytest.raises(ActionError, match=f'holds {count} bytes; types are bfloat16, float32'):
        tensor_from_msg(msg)


# --- latent actions -------------------------------------------------------------------------


def latent_action(**changes) -> LatentAction:
    random = np.random.default_rng(3)
    values = {
        'policy': 'univla',
        'codebook': 'abc',
        'codes': np.array([3, 0, 15, 7], dtype=np.int32),
        'probabilities': np.array([0.9, 0.5, 0.25, 1.0], dtype=np.float32),
        'latent': random.normal(size=(4, 8)).astype(np.float32),
        'visual': random.normal(size=(6, 8)).astype(np.float32),
        'instruction': 'pick up the red cube',
        'stamp': 12.5,
        'sequence': 41,
        'plan_start': 12.625,
        'plan_stop': 12.75,
    }
    return LatentAction(**{**values, **changes})


def assert_same(a, b) -> None:
    for field in dataclasses.fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), field.name)


@pytest.mark.parametrize('visual', [np.zeros((0, 8), np.float32), np.ones((6, 8), np.float32)])
def test_a_latent_action_survives_the_wire(visual):
    latent = latent_action(visual=visual)
    assert_same(latent_action_from_msg(through_the_wire(latent_action_to_msg(latent))), latent)


def test_bfloat16_halves_what_travels():
    full, half = (latent_action_to_msg(latent_action(), t) for t in ('float32', 'bfloat16'))
    assert len(full.latent.data) == 2 * len(half.latent.data)
    back = latent_action_from_msg(half)
    np.testing.assert_allclose(back.latent, latent_action().latent, rtol=1 / 256)


@pytest.mark.parametrize(
    'changes',
    [
        {'probabilities': np.ones(3, np.float32)},
        {'latent': np.full((4, 8), np.nan, np.float32)},
        {'visual': np.full((6, 8), np.inf, np.float32)},
        {'probabilities': np.array([0.1, np.nan, 0.2, 0.3], np.float32)},
    ],
)
def test_a_latent_action_that_does_not_hold_together_is_refused(changes):
    with pytest.raises(ActionError):
        latent_action_from_msg(latent_action_to_msg(latent_action(**changes)))


def test_an_empty_latent_action_message_is_refused():
    with pytest.raises(ActionError):
        latent_action_from_msg(LatentActionMsg())


# --- action chunks --------------------------------------------------------------------------


@given(st.integers(0, 6), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_an_action_chunk_survives_the_wire(horizon, dimension, seed):
    chunk = ActionChunk(
        robot='widowx',
        action_space='joint_position',
        names=tuple(f'joint{i}' for i in range(dimension)),
        data=np.random.default_rng(seed).normal(size=(horizon, dimension)),
        step_duration_s=0.2,
        stamp=3.25,
        sequence=9,
        latent_sequence=8,
        instruction='wipe',
        plan_start=3.5,
        plan_stop=3.75,
        decode_stop=4.0,
    )
    back = action_chunk_from_msg(through_the_wire(action_chunk_to_msg(chunk, 'base_link')))
    assert_same(back, chunk)
    assert back.data.shape == (horizon, dimension)


def test_a_chunk_is_row_major_and_names_its_frame():
    chunk = ActionChunk(
        robot='r', action_space='eef_delta', names=('a', 'b'), data=np.array([[1.0, 2], [3, 4]]),
        step_duration_s=0.1,
    )  # fmt: skip
    msg = action_chunk_to_msg(chunk, 'base_link')
    assert list(msg.data) == [1.0, 2.0, 3.0, 4.0]
    assert msg.header.frame_id == 'base_link'


@pytest.mark.parametrize(('horizon', 'count'), [(2, 5), (3, 4), (0, 2), (2**32 - 1, 4)])
def test_a_chunk_whose_data_do_not_fill_it_is_refused(horizon, count):
    msg = ActionChunkMsg(sequence=7, horizon=horizon, names=['x', 'y'], data=[0.0] * count)
    with pytest.raises(ActionError, match=f'action chunk 7 holds {count} numbers'):
        action_chunk_from_msg(msg)


# --- joint states ---------------------------------------------------------------------------


def test_positions_come_by_name_without_velocity_and_effort():
    msg = JointState(name=['b', 'a'], position=[2.0, 1.0])
    assert joint_positions_from_msg(msg) == {'a': 1.0, 'b': 2.0}


def test_a_joint_without_a_position_is_absent():
    assert joint_positions_from_msg(JointState(name=['a', 'b'], position=[1.0])) == {'a': 1.0}
