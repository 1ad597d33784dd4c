"""Messages gone wrong: each of these spoils one in one way, in place."""

from __future__ import annotations

import array

import numpy as np

from univla_msgs.msg import ActionChunk
from univla_msgs.msg import LatentAction
from univla_ros.conversions import tensor_from_msg
from univla_ros.conversions import tensor_to_msg


def nan_latent(msg: LatentAction) -> None:
    """Not a number in every place of the latent."""
    msg.latent = tensor_to_msg(np.full_like(tensor_from_msg(msg.latent), np.nan))


def codes_out_of_range(msg: LatentAction) -> None:
    """Codes that no codebook has; the latent itself stays as it was."""
    msg.codes = array.array('i', [code + 10_000 for code in msg.codes])


def nan_chunk(msg: ActionChunk) -> None:
    """One number of the chunk is none."""
    data = np.array(msg.data)
    data[len(data) // 2] = np.nan
    msg.data = array.array('d', data.tolist())


def exploding_chunk(msg: ActionChunk) -> None:
    """Every action is ten times the one before, in alternating directions."""
    data = np.array(msg.data).reshape(msg.horizon, -1)
    signs = np.where(np.arange(msg.horizon) % 2, -1.0, 1.0)
    growth = signs * 10.0 ** np.arange(1, msg.horizon + 1)
    exploding = np.maximum(np.abs(data), 0.1) * growth[:, None]
    msg.data = array.array('d', exploding.ravel().tolist())
