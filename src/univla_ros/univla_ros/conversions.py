"""Messages to plain types and back, in pairs `x_from_msg` / `x_to_msg`."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from univla_core.action_chunk import ActionChunk
from univla_core.errors import ActionError
from univla_core.latent_action import LatentAction

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_msgs.msg import Tensor as TensorMsg

_DTYPES = ('float32', 'float16', 'float64', 'int32', 'int64', 'uint8')


def seconds_from_msg(msg: Time) -> float:
    """Time as seconds; exact to a quarter of a microsecond for present-day stamps."""
    return msg.sec + 1e-9 * msg.nanosec


def seconds_to_msg(seconds: float) -> Time:
    """Time message of a non-negative number of seconds."""
    whole = math.floor(seconds)
    return Time(sec=int(whole), nanosec=min(999_999_999, round((seconds - whole) * 1e9)))


def header_to_msg(stamp: float, frame: str = '') -> Header:
    """Header with a stamp [s] and a frame."""
    return Header(stamp=seconds_to_msg(stamp), frame_id=frame)


def tensor_from_msg(msg: TensorMsg) -> np.ndarray:
    """Array of the tensor's own type; bfloat16 becomes float32, which holds it exactly.

    Raises:
        ActionError: If the type is unknown or the bytes do not fill the shape.
    """
    shape = tuple(msg.shape)
    data = np.frombuffer(msg.data, dtype=np.uint8)
    dtype = _numpy_type(msg.dtype)
    if dtype is None or data.size != math.prod(shape) * dtype.itemsize:
        raise ActionError(
            f'tensor of type {msg.dtype!r} and shape {shape} holds {data.size} bytes; '
            f'types are bfloat16, {", ".join(_DTYPES)}, little-endian without padding'
        )
    values = data.view(dtype).reshape(shape)
    if msg.dtype == 'bfloat16':
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def tensor_to_msg(values: np.ndarray, dtype: str | None = None) -> TensorMsg:
    """Tensor message; `dtype` 'bfloat16' halves float32 by rounding to nearest even."""
    if dtype == 'bfloat16':
        bits = np.ascontiguousarray(values, dtype='<f4').view(np.uint32)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype('<u2')
        rounded[np.isnan(values)] = 0x7FC0  # rounding could carry NaN into zero
        return _tensor('bfloat16', values.shape, rounded)
    name = dtype or values.dtype.name
    return _tensor(name, values.shape, np.ascontiguousarray(values, dtype=name))


def latent_action_from_msg(msg: LatentActionMsg) -> LatentAction:
    """The latent action, checked.

    Raises:
        ActionError: If shapes do not belong together or values are not finite.
    """
    latent = LatentAction(
        policy=msg.policy,
        codebook=msg.codebook,
        codes=np.array(msg.codes, dtype=np.int32),
        probabilities=np.array(msg.probabilities, dtype=np.float32),
        latent=tensor_from_msg(msg.latent),
        visual=tensor_from_msg(msg.visual),
        instruction=msg.instruction,
        source=msg.source or 'policy',
        stamp=seconds_from_msg(msg.header.stamp),
        sequence=msg.sequence,
        plan_start=seconds_from_msg(msg.plan_start),
        plan_stop=seconds_from_msg(msg.plan_stop),
    )
    latent.check()
    return latent


def latent_action_to_msg(latent: LatentAction, dtype: str = 'float32') -> LatentActionMsg:
    """Message of a latent action; `dtype` is the type its tensors travel in."""
    return LatentActionMsg(
        header=header_to_msg(latent.stamp),
        sequence=latent.sequence,
        policy=latent.policy,
        codebook=latent.codebook,
        codes=array.array('i', latent.codes.tolist()),
        probabilities=array.array('f', latent.probabilities.tolist()),
        latent=tensor_to_msg(latent.latent, dtype),
        visual=tensor_to_msg(latent.visual, dtype),
        instruction=latent.instruction,
        source=latent.source,
        plan_start=seconds_to_msg(latent.plan_start),
        plan_stop=seconds_to_msg(latent.plan_stop),
    )


def action_chunk_from_msg(msg: ActionChunkMsg) -> ActionChunk:
    """The action chunk; its content is checked by the controller that executes it.

    Raises:
        ActionError: If the data do not fill (horizon, action_dim).
    """
    names = tuple(msg.names)
    if len(msg.data) != msg.horizon * len(names):
        raise ActionError(
            f'action chunk {msg.sequence} holds {len(msg.data)} numbers; horizon {msg.horizon} '
            f'times {len(names)} names makes {msg.horizon * len(names)}'
        )
    return ActionChunk(
        robot=msg.robot,
        action_space=msg.action_space,
        names=names,
        data=np.array(msg.data, dtype=float).reshape(msg.horizon, len(names)),
        step_duration_s=msg.step_duration,
        stamp=seconds_from_msg(msg.header.stamp),
        sequence=msg.sequence,
        latent_sequence=msg.latent_sequence,
        instruction=msg.instruction,
        source=msg.source or 'policy',
        plan_start=seconds_from_msg(msg.plan_start),
        plan_stop=seconds_from_msg(msg.plan_stop),
        decode_stop=seconds_from_msg(msg.decode_stop),
    )


def action_chunk_to_msg(chunk: ActionChunk, frame: str = '') -> ActionChunkMsg:
    """Message of an action chunk; `frame` is the frame of Cartesian actions."""
    return ActionChunkMsg(
        header=header_to_msg(chunk.stamp, frame),
        sequence=chunk.sequence,
        robot=chunk.robot,
        action_space=chunk.action_space,
        names=list(chunk.names),
        horizon=chunk.horizon,
        step_duration=chunk.step_duration_s,
        data=array.array('d', chunk.data.ravel().tolist()),
        latent_sequence=chunk.latent_sequence,
        instruction=chunk.instruction,
        source=chunk.source,
        plan_start=seconds_to_msg(chunk.plan_start),
        plan_stop=seconds_to_msg(chunk.plan_stop),
        decode_stop=seconds_to_msg(chunk.decode_stop),
    )


def joint_positions_from_msg(msg: JointState) -> dict[str, float]:
    """Positions by joint name [rad or m]; tolerates empty velocity and effort."""
    return dict(zip(msg.name, msg.position, strict=False))


def _numpy_type(name: str) -> np.dtype | None:
    """Little-endian type that the bytes are read as; None if the name is unknown."""
    if name == 'bfloat16':
        return np.dtype('<u2')
    return np.dtype(name).newbyteorder('<') if name in _DTYPES else None


def _tensor(dtype: str, shape: tuple[int, ...], values: np.ndarray) -> TensorMsg:
    msg = TensorMsg(dtype=dtype, shape=list(shape))
    msg.data = array.array('B', values.tobytes())
    return msg
