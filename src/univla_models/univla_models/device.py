"""Where a network runs and in which precision."""

from __future__ import annotations

import torch
from univla_core.errors import ConfigError

DTYPES = {
    'float32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}


def resolve_device(name: str) -> torch.device:
    """Device from `auto`, `cpu`, `cuda` or `cuda:<index>`.

    Raises:
        ConfigError: If the name is unknown, or that CUDA device is absent.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    kind, _, index = name.partition(':')
    if name != 'cpu' and (kind != 'cuda' or (index and not index.isdigit())):
        raise ConfigError(f'unknown device {name!r}; choose auto, cpu, cuda or cuda:<index>')
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == 'cuda' and int(index or 0) >= count:
        raise ConfigError(
            f'device {name!r} was asked for but {count} CUDA devices are usable here; '
            'install a CUDA build of torch and its driver, or choose device auto or cpu'
        )
    return torch.device(name)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Precision from `auto`, `float32`, `bfloat16` or `float16`; `auto` follows the device.

    Raises:
        ConfigError: If the name is unknown.
    """
    if name == 'auto':
        return torch.bfloat16 if device.type == 'cuda' else torch.float32
    if name not in DTYPES:
        raise ConfigError(f'unknown dtype {name!r}; choose one of auto, {", ".join(DTYPES)}')
    return DTYPES[name]
