"""Which parameters learn, how fast, and which of them decay."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from torch import nn


def parameter_groups(
    modules: Mapping[str, nn.Module],
    weight_decay: float,
    factor_of: Callable[[str], float] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups of an optimiser.

    Weights of linear layers and convolutions decay; norms, biases, embeddings, codebooks and
    learned tokens do not.

    Args:
        modules: By name; a parameter's full name begins with it.
        weight_decay: For what decays.
        factor_of: Full name → factor on the learning rate; 0 or less leaves the parameter out.

    Returns:
        Groups with `params`, `weight_decay` and `rate_factor`.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter, decays in _learning(modules):
        factor = 1.0 if factor_of is None else factor_of(name)
        if factor > 0.0:
            groups.setdefault((weight_decay if decays else 0.0, factor), []).append(parameter)
    return [
        {'params': parameters, 'weight_decay': decay, 'rate_factor': factor}
        for (decay, factor), parameters in groups.items()
    ]


def _learning(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Parameter, bool]]:
    seen: set[int] = set()
    for prefix, root in modules.items():
        for path, owner in root.named_modules(prefix=prefix):
            for local, parameter in owner.named_parameters(recurse=False):
                if parameter.requires_grad and id(parameter) not in seen:
                    seen.add(id(parameter))
                    table = isinstance(owner, nn.Embedding)
                    decays = local == 'weight' and parameter.ndim >= 2 and not table
                    yield f'{path}.{local}', parameter, decays
