"""Let a trained decoder feel where its end effector is, without changing what it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from univla_core.embodiment import load_embodiment
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.felt import POSITION_DIM
from univla_decoders.felt import with_position
from univla_decoders.heads import QueryHead

from univla_training.frame_store import FrameStore


def can_be_widened(declared: DecoderDeclaration) -> bool:
    """Whether a decoder feels the joints of an arm, and only those."""
    return (
        declared.head == 'query'
        and declared.proprioception_dim > 0
        and not declared.end_effector_position
        and load_embodiment(declared.robot).kind == 'arm'
    )


def widen(
    head: QueryHead, declared: DecoderDeclaration, entry: Mapping[str, Any], store: FrameStore
) -> tuple[DecoderDeclaration, dict[str, Any]]:
    """Add the position to what a head feels, in place; at first it counts for nothing.

    Args:
        head: The head.
        declared: Its declaration.
        entry: Its entry of `dataset_statistics.json`.
        store: Episodes of the robot, for the statistics of the position.

    Returns:
        Declaration and entry of the wider head.
    """
    embodiment = load_embodiment(declared.robot)
    measured = np.asarray(store.proprioception(store.frames), dtype=float)
    places = with_position(measured, embodiment)[:, -POSITION_DIM:]
    low, high = np.quantile(places, (0.01, 0.99), axis=0)
    figures = {
        'mean': places.mean(axis=0),
        'std': places.std(axis=0),
        'min': places.min(axis=0),
        'max': places.max(axis=0),
        'q01': low,
        'q99': high,
    }
    felt = {
        name: [*values, *figures[name].tolist()] if name in figures else values
        for name, values in entry['proprio'].items()
    }
    assert head.reader.body_in is not None
    before = head.reader.body_in[0]
    assert isinstance(before, nn.Linear)
    after = nn.Linear(before.in_features + POSITION_DIM, before.out_features)
    with torch.no_grad():
        after.weight.zero_()
        after.weight[:, : before.in_features] = before.weight
        after.bias.copy_(before.bias)
    head.reader.body_in[0] = after.to(before.weight.device)
    dim = declared.proprioception_dim + POSITION_DIM
    head.config = dataclasses.replace(head.config, proprioception_dim=dim)
    wider = dataclasses.replace(declared, proprioception_dim=dim, end_effector_position=True)
    return wider, {**entry, 'proprio': felt}
