"""Reading decoder weights: safetensors, or a `.pt` of plain tensors."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict by name; nothing in the file is executed.

    Raises:
        CheckpointError: If the file is missing, truncated or holds anything but tensors.
    """
    path = Path(path)
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        state = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f'{path}: no such file; give the decoder weights') from error
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f'{path}: truncated, or not plain tensors ({type(error).__name__}: {error}); '
            'copy the file again'
        ) from error
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise CheckpointError(f'{path}: must hold one dictionary of tensors')
    return state


def load_strictly(module: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Give a module exactly these tensors, as float32.

    Raises:
        CheckpointError: Naming every tensor that is missing, unexpected, misshapen or not finite.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    faults = [f'{name} is missing' for name in sorted(set(wanted) - set(state))]
    faults += [f'{name} is unexpected' for name in sorted(set(state) - set(wanted))]
    for name in sorted(set(wanted) & set(state)):
        if tuple(state[name].shape) != wanted[name]:
            faults.append(f'{name} has shape {tuple(state[name].shape)}, not {wanted[name]}')
        elif not torch.isfinite(state[name]).all():
            faults.append(f'{name} holds NaN or infinity')
    if faults:
        raise CheckpointError(
            f'{where}: does not fit its {type(module).__name__}: {"; ".join(faults[:6])}'
            f'{" …" if len(faults) > 6 else ""}; choose the head and sizes it was trained with'
        )
    module.load_state_dict({name: value.float() for name, value in state.items()})
