"""Low-rank adapters on every linear layer of a policy (arXiv:2106.09685), merged when done."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn

#: Read by its weight alone, row by row, and often tied to the embeddings.
_LEFT_ALONE = 'lm_head'


class LoraLinear(nn.Module):
    """A frozen linear layer plus `scale · up(down(x))`, which begins at nothing.

    Args:
        linear: The layer.
        rank: Rank of what is added.
        scale: Its factor.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        told = {'bias': False, 'device': linear.weight.device, 'dtype': linear.weight.dtype}
        self.linear = linear.requires_grad_(False)
        self.down = nn.Linear(linear.in_features, rank, **told)
        self.up = nn.Linear(rank, linear.out_features, **told)
        self._scale = scale
        nn.init.normal_(self.down.weight, std=1.0 / rank)
        nn.init.zeros_(self.up.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (…, in) → (…, out)."""
        return self.linear(inputs) + self._scale * self.up(self.down(inputs))

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with what was added in its weight."""
        self.linear.weight += self._scale * self.up.weight @ self.down.weight
        return self.linear


def add_lora(network: nn.Module, rank: int, alpha: float) -> None:
    """Freeze a network and put adapters on its linear layers, in place.

    Args:
        network: Its `lm_head` is left alone.
        rank: Rank of each adapter.
        alpha: Divided by the rank, the factor of each.
    """
    network.requires_grad_(False)
    layers = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and name.rpartition('.')[2] != _LEFT_ALONE
    ]
    for name, layer in layers:
        _replace(network, name, LoraLinear(layer, rank, alpha / rank))


def merge_lora(network: nn.Module) -> None:
    """Put what the adapters learned into the layers and take them off, in place."""
    adapters = [
        (n, layer) for n, layer in network.named_modules() if isinstance(layer, LoraLinear)
    ]
    for name, adapter in adapters:
        _replace(network, name, adapter.merged())


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, local = name.rpartition('.')
    setattr(network.get_submodule(owner), local, layer)
