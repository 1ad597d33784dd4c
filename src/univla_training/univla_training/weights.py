"""Weights that one stage leaves for the next: safetensors in full precision."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save_file
from torch import Tensor
from torch import nn
from univla_core.errors import TrainingError


def save_module(module: nn.Module, path: Path) -> None:
    """Write all tensors of a module, whole or not at all."""
    unfinished = path.with_suffix('.part')
    # Copies, because tied weights may not share their memory in the file.
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in module.state_dict().items()
    }
    save_file(tensors, unfinished)
    unfinished.chmod(0o644)
    unfinished.rename(path)


def load_module(module: nn.Module, path: Path) -> None:
    """Fill a module with what `save_module` wrote.

    Raises:
        TrainingError: If the tensors do not fit, naming the first that does not.
    """
    fit_into(module, load_file(path), str(path))


def fit_into(module: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Fill a module with exactly these tensors.

    Raises:
        TrainingError: If they do not fit.
    """
    try:
        with torch.no_grad():
            module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise TrainingError(
            f'{where}: its weights do not fit the recipe ({reason}); train that stage anew with '
            '--fresh, or use the recipe it was trained with'
        ) from error
