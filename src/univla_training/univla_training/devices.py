"""Batches on the device of what learns."""

from __future__ import annotations

import dataclasses
from typing import Any
from typing import TypeVar

import torch
from torch import Tensor
from torch import nn

BatchT = TypeVar('BatchT')


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are."""
    return next(module.parameters()).device


def on_device(batch: BatchT, device: torch.device) -> BatchT:
    """The same batch with all its tensors on a device.

    Args:
        batch: A tensor, or dataclasses, tuples, lists and mappings of them at any depth; whatever
            else is in there stays as it is.
        device: Where to.
    """
    return _moved(batch, device)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        moved = {name: _moved(getattr(value, name), device) for name in names}
        return dataclasses.replace(value, **moved)
    if isinstance(value, tuple | list):
        return type(value)(_moved(entry, device) for entry in value)
    if isinstance(value, dict):
        return {name: _moved(entry, device) for name, entry in value.items()}
    return value
