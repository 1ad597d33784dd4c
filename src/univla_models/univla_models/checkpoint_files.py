"""Reading checkpoint files strictly: every tensor is accounted for, nothing is executed."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import safe_open
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError

INDEX = 'model.safetensors.index.json'
SINGLE = 'model.safetensors'
SHOWN = 6


class TensorAudit:
    """Compares tensors as they arrive with those that a module wants.

    Args:
        module: Module whose tensors are wanted; may live on the meta device.
        is_unused: Tells names that may be present although the module does not need them.
    """

    def __init__(self, module: nn.Module, is_unused: Callable[[str], bool]) -> None:
        self._wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        self._missing = dict.fromkeys(self._wanted)
        self._is_unused = is_unused
        self._faults: list[str] = []

    def wants(self, name: str, shape: tuple[int, ...], file: str) -> bool:
        """Whether to load this tensor; a tensor that does not fit is noted as a fault."""
        if name not in self._wanted:
            if not self._is_unused(name):
                self._faults.append(f'{name} in {file} is unexpected')
            return False
        self._missing.pop(name, None)
        if shape != self._wanted[name]:
            self._faults.append(f'{name} in {file} has shape {shape}, not {self._wanted[name]}')
            return False
        return True

    def note(self, fault: str) -> None:
        """Add a fault found elsewhere."""
        self._faults.append(fault)

    def finish(self, where: str) -> None:
        """Refuse the checkpoint if anything did not fit.

        Raises:
            CheckpointError: Naming tensors and files.
        """
        faults = self._faults + [f'{name} is missing' for name in self._missing]
        if faults:
            more = f' … and {len(faults) - SHOWN} more' if len(faults) > SHOWN else ''
            raise CheckpointError(
                f'{where}: weights do not fit the model: {"; ".join(faults[:SHOWN])}{more}; '
                'copy the checkpoint again or correct the sizes in its config.json'
            )


def load_folder(
    module: nn.Module,
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    is_unused: Callable[[str], bool] = lambda name: False,
) -> None:
    """Fill a module, built on the meta device, from the safetensors of a folder.

    Reads shard by shard, so that memory never holds more than one tensor twice.

    Raises:
        CheckpointError: If a shard is missing or truncated, or any tensor is missing,
            unexpected, misshapen or not finite; tensor and file are named.
    """
    audit = TensorAudit(module, is_unused)
    for file, names in shards(folder).items():
        with _opened(folder / file) as shard:
            present = set(shard.keys())
            for name in sorted(names - present):
                audit.note(f'{name} is listed in {INDEX} but absent from {file}')
            fitting = {}
            for name in sorted(present):
                if audit.wants(name, tuple(shard.get_slice(name).get_shape()), file):
                    tensor = shard.get_tensor(name).to(device=device, dtype=dtype)
                    if not torch.isfinite(tensor).all():
                        audit.note(f'{name} in {file} holds NaN or infinity')
                    fitting[name] = tensor
            module.load_state_dict(fitting, strict=False, assign=True)
    audit.finish(str(folder))


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    is_unused: Callable[[str], bool] = lambda name: False,
) -> None:
    """Fill a module from a dictionary of tensors, as strictly as `load_folder`.

    Raises:
        CheckpointError: Naming every tensor that does not fit.
    """
    audit = TensorAudit(module, is_unused)
    fitting = {
        name: tensor
        for name, tensor in state.items()
        if audit.wants(name, tuple(tensor.shape), Path(where).name)
    }
    for name, tensor in fitting.items():
        if not torch.isfinite(tensor).all():
            audit.note(f'{name} holds NaN or infinity')
    audit.finish(where)
    module.load_state_dict(fitting, strict=False)


def read_tensor(folder: Path, name: str) -> Tensor:
    """Read one tensor of a folder in the precision it is stored in.

    Raises:
        CheckpointError: If it is in none of the shards.
    """
    for file in shards(folder):
        with _opened(folder / file) as shard:
            if name in shard.keys():  # noqa: SIM118, a shard is no mapping
                return shard.get_tensor(name)
    raise CheckpointError(f'{folder}: no shard holds {name}; copy the checkpoint again')


def shards(folder: Path) -> dict[str, set[str]]:
    """Shard files of a folder and the tensor names the index promises for each.

    Raises:
        CheckpointError: If the folder holds no safetensors, or lacks an indexed shard.
    """
    if not (folder / INDEX).is_file():
        if (folder / SINGLE).is_file():
            return {SINGLE: set()}
        raise CheckpointError(
            f'{folder}: neither {INDEX} nor {SINGLE} is there; give the folder of a checkpoint '
            'in safetensors format'
        )
    weight_map = read_json(folder / INDEX).get('weight_map')
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f'{folder / INDEX}: has no weight_map; copy the checkpoint again')
    files: dict[str, set[str]] = {}
    for name, file in weight_map.items():
        files.setdefault(Path(file).name, set()).add(name)
    for file, names in files.items():
        if not (folder / file).is_file():
            raise CheckpointError(
                f'{folder / file}: shard is missing; it holds {min(names)} and '
                f'{len(names) - 1} more tensors, copy the checkpoint again'
            )
    return files


def read_torch_file(path: Path) -> dict[str, Any]:
    """Read a `.ckpt` or `.pt` of plain tensors and numbers.

    Raises:
        CheckpointError: If it is missing, truncated or would execute code.
    """
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f'{path}: no such file; give the checkpoint') from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f'{path}: truncated, or holds more than plain tensors '
            f'({type(error).__name__}: {str(error).splitlines()[0]}); save its state_dict alone'
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path}: holds a {type(content).__name__}, not a dictionary')
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: If the file is missing or holds no JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise CheckpointError(f'{path}: cannot be read ({error}); copy the file again') from error
    if not isinstance(document, dict):
        raise CheckpointError(f'{path}: must hold one JSON object')
    return document


class _opened:
    """A safetensors file whose every failure is a `CheckpointError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        try:
            self._file = safe_open(self._path, framework='pt', device='cpu')
            return self._file.__enter__()
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f'{self._path}: truncated or no safetensors file ({error}); copy it again'
            ) from error

    def __exit__(self, *stopped: Any) -> None:
        self._file.__exit__(*stopped)


def tensors_below(state: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors whose name starts with `prefix`, with it removed."""
    for name, tensor in state.items():
        if name.startswith(prefix):
            yield name[len(prefix) :], tensor
