"""Checkpoints that hold a part of the vocabulary: only rows of ids that are said or told.

A vocabulary of 32 000 or 185 000 ids would outweigh a small network. `kept_ids` in `config.json`
lists the ids whose rows a file holds; the loader puts them back in their places, all else is as in
a released checkpoint. Released ones have no such key and hold every row.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from univla_core.errors import CheckpointError


def kept_ids(values: Mapping[str, Any], num_tokens: int, where: str) -> Tensor | None:
    """Ids whose rows the file holds, ascending; None where it holds them all.

    Args:
        values: Content of `config.json`; `kept_ids` lists them as `[first, last]` pairs.
        num_tokens: Size of the vocabulary.
        where: The file, for messages.

    Raises:
        CheckpointError: If that is no list of ascending ranges in the vocabulary.
    """
    ranges = values.get('kept_ids')
    if ranges is None:
        return None
    try:
        ids = torch.cat([torch.arange(int(first), int(last) + 1) for first, last in ranges])
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f'{where}: kept_ids must be a list of [first, last] pairs ({error})'
        ) from error
    if not len(ids) or ids[0] < 0 or ids[-1] >= num_tokens or (ids.diff() <= 0).any():
        raise CheckpointError(
            f'{where}: kept_ids must be ascending ranges within 0 … {num_tokens - 1}'
        )
    return ids


def ranges_of(ids: Sequence[int]) -> list[list[int]]:
    """Ascending ids as `[first, last]` pairs."""
    ranges: list[list[int]] = []
    for number in ids:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = int(number)
        else:
            ranges.append([int(number), int(number)])
    return ranges


class KeptRows:
    """A network as a file with a part of the vocabulary holds it; other rows become 0.

    Args:
        network: The whole network.
        kept: Ids whose rows are stored, ascending.
        tables: Names of its tensors with one row for each id.
    """

    def __init__(self, network: Any, kept: Tensor, tables: Collection[str]) -> None:
        self._network, self._kept, self._tables = network, kept, tables

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors with the tables in their stored size."""
        state = self._network.state_dict()
        return {
            name: value[: len(self._kept)] if name in self._tables else value
            for name, value in state.items()
        }

    def load_state_dict(
        self, state: Mapping[str, Tensor], strict: bool = False, assign: bool = False
    ) -> None:
        """Take over stored tensors."""
        rows = {
            name: len(value)
            for name, value in self._network.state_dict().items()
            if name in self._tables
        }
        whole = {n: self._whole(v, rows[n]) if n in rows else v for n, v in state.items()}
        self._network.load_state_dict(whole, strict=strict, assign=assign)

    def _whole(self, stored: Tensor, rows: int) -> Tensor:
        table = stored.new_zeros((rows, stored.shape[1]))
        table[self._kept.to(stored.device)] = stored
        return table
