"""Averaged weights: an exponential moving average of what the optimiser makes."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import nn


class WeightAverages:
    """Moving averages of all learning parameters; a decay of 0 keeps none."""

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self._live = {
            f'{prefix}.{name}': parameter
            for prefix, module in modules.items()
            for name, parameter in module.named_parameters()
            if decay > 0.0 and parameter.requires_grad
        }
        self.values = {name: value.detach().clone() for name, value in self._live.items()}
        self._count = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present weights; young averages forget faster."""
        self._count += 1
        decay = min(self.decay, (1.0 + self._count) / (10.0 + self._count))
        for name, value in self.values.items():
            value.lerp_(self._live[name].detach().to(value.dtype), 1.0 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Put the averages into the modules."""
        for name, value in self.values.items():
            self._live[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages in the modules for a while."""
        kept = {name: value.detach().clone() for name, value in self._live.items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in kept.items():
                    self._live[name].copy_(value)

    def state(self) -> dict[str, Tensor | int]:
        """For a checkpoint."""
        return {'count': self._count, **self.values}

    def restore(self, state: Mapping[str, Tensor | int]) -> None:
        """From a checkpoint."""
        self._count = int(state['count'])
        for name, value in self.values.items():
            value.copy_(torch.as_tensor(state[name]))
